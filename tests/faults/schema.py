"""The properties of a HOATenant's spec as the CRD itself lists them, each with values that are good and values that are
bad. What the schema says (enums, ranges, types) is taken from it; what CEL says comes from examples, a pool for each
property. A property or a rule that is new and has no pool is an error, so that nothing is left out unseen."""

from __future__ import annotations

import copy
import functools
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any, Final

import yaml

from tests.programs import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Json = dict[str, Any]
CRD: Final = REPOSITORY / "crds" / "hoatenants.yaml"


class NoPoolError(Exception):
    """A property or a rule of the CRD that the generator knows no values for."""


@dataclass(frozen=True)
class Pool:
    """Examples; ``{name}`` stands for the tenant's name. `bad` ones are refused by the API server."""

    good: tuple[Any, ...]
    bad: tuple[Any, ...]


_EMAIL = Pool(("owner@{name}.example", "second.owner+hoa@{name}.example"), ("nobody", "two@at@{name}.example", "a@b"))
_NAME = Pool(("Dana Reyes", "José O'Neil", "李 Wei"), ("two\nlines", ""))
_LABEL_BAD = ("Upper", "-begins", "two words")
#: By path; "[]" stands for the items of a list.
POOLS: Final[Mapping[str, Pool]] = {
    "slug": Pool(("{name}", "{name}-homes"), ("www", "Upper", "xn--{name}", "-begins", "a" * 64)),
    "displayName": Pool(
        ("{name} Management", "Über Hausverwaltung {name}"), (" begins with a space", "two\nlines", "")
    ),
    "admin.email": _EMAIL,
    "admin.name": _NAME,
    "tier": Pool(("Auto", "small", "medium", "large", "enterprise"), ("No_Tier", "")),
    "region": Pool(("us-east-1",), ("US East", "")),
    "timeZone": Pool(("America/New_York", "UTC", "Pacific/Honolulu"), ("new york", "+01:00")),
    "database.serverName": Pool(("default",), _LABEL_BAD),
    "database.extensions[]": Pool(("citext", "pg_trgm", "unaccent"), ("Drop Table", "1up")),
    "database.undeleteWindow": Pool(("0s", "30m", "168h"), ("forever", "1h30m", "9000h", "1d")),
    # A request older than the tenant asks for nothing; a life rotates by an action of its own.
    "credentials.rotateRequestedAt": Pool(("2020-01-01T00:00:00Z",), ("yesterday",)),
    "credentials.rotationInterval": Pool(("2160h", "87600h"), ("1h", "90d", "36h30m")),
    "domains[].host": Pool(
        ("portal.{name}.example", "owners.{name}.example", "{name}.homes.example"),
        ("Portal.{name}.example", "*.{name}.example", "https://{name}.example", "10.0.0.1", "nodots"),
    ),
    "domains[].tls.secretName": Pool(("{name}-tls",), ("Not A Secret",)),
    "domains[].tls.issuerRef.name": Pool(("letsencrypt",), ("Not An Issuer",)),
    "branding.primaryColor": Pool(("#0b6e99", "#FFFFFF"), ("blue", "#12345g")),
    "branding.logoURL": Pool(("https://{name}.example/logo.svg",), ("http://{name}.example/logo.svg", "logo.svg")),
    "branding.supportEmail": _EMAIL,
    "backup.schedule": Pool(("0 3 * * *", "*/15 1-4 * * 0,6"), ("0 3 * *", "61 3 * * *", "0 24 * * *", "@daily  at")),
    "limits.statementTimeout": Pool(("100ms", "45s", "1h"), ("99ms", "2h", "1h30m", "soon")),
    "limits.storage": Pool(("1Gi", "50Gi", "64Ti"), ("1Mi", "65Ti", "a lot")),
    "limits.cpu": Pool(("10m", "500m", 2), ("9m", 65, "fast")),
    "limits.memory": Pool(("64Mi", "1Gi"), ("1Mi", "513Gi", "much")),
}
#: Numbers whose neighbours the operator takes to be the same are chosen clear of them: a tier is left downwards late.
NUMBERS: Final[Mapping[str, tuple[int, ...]]] = {"homeowners": (0, 40, 80, 250, 900, 5000)}
#: Of these properties an object has exactly one.
ONE_OF: Final[Mapping[str, tuple[str, ...]]] = {"domains[].tls": ("secretName", "issuerRef")}
#: Objects with rules of their own that generated values are known to keep.
RULED: Final = frozenset({"", *ONE_OF})


@dataclass(frozen=True)
class Property:
    """One property of spec: its path and its part of the schema."""

    path: str
    schema: Json
    required: bool

    @property
    def children(self) -> tuple[Property, ...]:
        """The properties of an object, or of the items of a list of objects."""
        return tuple(_children(self.path, self.schema))

    @property
    def is_list(self) -> bool:
        """Whether it is a list."""
        return self.schema.get("type") == "array"

    def value(self, random: Random, name: str) -> Any:
        """Return a good value for the tenant of that name."""
        if self.is_list:
            return self._list(random, name)
        if self.schema.get("type") == "object":
            return self._object(random, name)
        return self._scalar(random, name)

    def bad(self, name: str) -> list[Any]:
        """Return every kind of bad value there is for the property itself."""
        if self.is_list:
            return [["same"] * (self.schema["maxItems"] + 1), "no list"]
        if self.schema.get("type") == "object":
            return ["no object", *([{}] if self.schema.get("required") else [])]
        kind = self.schema.get("type")
        if "enum" in self.schema:
            return ["NoSuchWord", 7]
        if kind == "integer":
            return [self.schema["minimum"] - 1, self.schema["maximum"] + 1, "many"]
        if kind == "boolean":
            return ["perhaps"]
        long = ["x" * (self.schema["maxLength"] + 1)] if "maxLength" in self.schema else []
        return [_named(value, name) for value in self._pool().bad] + long

    def _scalar(self, random: Random, name: str) -> Any:
        if "enum" in self.schema:
            return random.choice(self.schema["enum"])
        if self.schema.get("type") == "boolean":
            return random.random() < 0.5
        if self.schema.get("type") == "integer":
            low, high = self.schema["minimum"], self.schema["maximum"]
            return random.choice(NUMBERS.get(self.path) or (low, high, random.randint(low, high)))
        return _named(random.choice(self._pool().good), name)

    def _list(self, random: Random, name: str) -> list[Any]:
        items = Property(f"{self.path}[]", self.schema["items"], required=True)
        key = next(iter(self.schema.get("x-kubernetes-list-map-keys", ())), None)
        found: dict[str, Any] = {}
        for _ in range(random.randint(0, 3)):
            item = items.value(random, name)
            found[str(item[key] if key else item)] = item
        return list(found.values())

    def _object(self, random: Random, name: str) -> Json:
        exclusive = ONE_OF.get(self.path, ())
        kept = random.choice(exclusive) if exclusive else None
        found = {}
        for child in self.children:
            word = child.path.rsplit(".", 1)[-1]
            wanted = child.required or word == kept or (word not in exclusive and random.random() < 0.5)
            if wanted:
                found[word] = child.value(random, name)
        return found

    def _pool(self) -> Pool:
        if self.path not in POOLS:
            raise NoPoolError(f"spec.{self.path} has no examples; give it some in tests/faults/schema.py")
        return POOLS[self.path]


@functools.cache
def _spec_schema() -> Json:
    crd = yaml.safe_load(CRD.read_text())
    found: Json = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    return found


def spec_schema() -> Json:
    """Return the schema of spec, as the CRD has it; a copy of its own."""
    return copy.deepcopy(_spec_schema())


@functools.cache
def _properties() -> tuple[Property, ...]:
    return tuple(_children("", _spec_schema()))


def properties(schema: Json | None = None) -> tuple[Property, ...]:
    """Return the properties directly below spec."""
    return _properties() if schema is None else tuple(_children("", schema))


def every_property(schema: Json | None = None) -> Iterator[Property]:
    """Yield every property at any depth, the items of lists among them."""
    waiting = list(properties(schema))
    while waiting:
        found = waiting.pop(0)
        yield found
        if found.is_list:
            waiting.append(Property(f"{found.path}[]", found.schema["items"], required=True))
        else:
            waiting += found.children


def dropped_at_once() -> Json:
    """Return spec.database of a tenant whose data are dropped when it is deleted, and not a week later."""
    return {"deletionPolicy": "Delete", "undeleteWindow": "0s"}


def check(schema: Json | None = None) -> None:
    """Raise NoPoolError if there is a property or a rule that the generator has nothing for."""
    for found in every_property(schema):
        if found.schema.get("type") == "object":
            if found.path not in RULED and "x-kubernetes-validations" in found.schema:
                raise NoPoolError(
                    f"spec.{found.path} has a rule of its own; say in tests/faults/schema.py how it is kept"
                )
        elif not found.is_list and (found.value(Random(0), "any") is None or not found.bad("any")):
            raise NoPoolError(f"spec.{found.path} has no examples, or none that are bad")


def _children(path: str, schema: Json) -> Iterator[Property]:
    for word, child in schema.get("properties", {}).items():
        yield Property(f"{path}.{word}" if path else word, child, word in schema.get("required", ()))


def _named(value: Any, name: str) -> Any:
    return value.replace("{name}", name) if isinstance(value, str) else value

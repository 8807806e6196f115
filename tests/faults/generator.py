"""Lives of tenants, made from a seed: changes from the CRD's own schema, good, bad, reverted and impossible ones, deletes
and undeletes, what people break by hand, and the faults that strike meanwhile. Pure: the same seed is the same life."""

from __future__ import annotations

import copy
import random
from typing import TYPE_CHECKING, Any, Final

from tests.faults.actions import ENDS, Action, Apply, Hand, Impossible, Life, Reborn, Refused, Reverted, Rotated, Struck
from tests.faults.schema import Property, properties

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from random import Random

Json = dict[str, Any]

#: What is fixed once the tenant exists: a change is refused by the API server.
IMMUTABLE: Final = ("slug", "region")
#: What has effects that outlast a change back, so that a life sets it at its beginning only.
AT_BIRTH: Final = frozenset({*IMMUTABLE, "timeZone"})
#: How often another value than the present one is looked for.
TRIES: Final = 5
#: What each word of managementPolicy but Managed means: nothing follows from a change before it is taken back.
UNMANAGED: Final = ("Paused", "ObserveOnly")
HANDS: Final = (
    "delete credentials",
    "delete migrator",
    "delete ingress",
    "edit ingress",
    "edit migrator",
    "disown ingress",
    "alter role",
    "strip a label",
    "strip a label and put it back",
)
#: What labels are taken off, and those by which the operator sees that it is there and whose it is.
LABELLED: Final = ("Ingress", "credentials", "migrator")
SEEN_BY: Final = ("app.kubernetes.io/managed-by", "app.kubernetes.io/instance", "hoaconnect.com/tenant")
API_FAULTS: Final = ("drop", "delay", "duplicate", "reply lost", "409", "422", "429", "500")
SQL_FAULTS: Final = ("drop", "delay", "reply lost")
JOB_FAULTS: Final = ("killed", "passing", "unexpected", "image")
STORMS: Final = (
    "kill operator",
    "freeze operator",
    "replace leader",
    "crash postgres",
    "reset sessions",
    "expire watches",
    "freeze watches",
    "api errors",
)


def life(seed: int, length: int = 5) -> Life:
    """Return the life that belongs to a seed."""
    chance = random.Random(seed)
    writer = _Writer(chance, f"t{seed}")
    writer.be_born()
    for _ in range(chance.randint(1, length)):
        chance.choices(writer.kinds, weights=writer.weights)[0]()
    writer.settle()
    return Life(seed, writer.name, tuple(writer.actions), writer.spec)


def storms(seed: int, lives: int) -> tuple[str, ...]:
    """Return the faults that strike a whole installation, in their order: each at least once, more for more lives."""
    chance = random.Random(f"storms of {seed}")
    wanted = max(len(STORMS), lives // 12)
    rounds = -(-wanted // len(STORMS))
    every = [storm for _ in range(rounds) for storm in chance.sample(STORMS, len(STORMS))]
    return tuple(every[:wanted])


class _Writer:
    """Writes a life down, action by action."""

    def __init__(self, chance: Random, name: str) -> None:
        self.chance = chance
        self.name = name
        self.spec: Json = {}
        self.actions: list[Action] = []
        self._known = {found.path: found for found in properties()}
        table: Mapping[Callable[[], None], int] = {
            self._change: 6,
            self._reverted: 4,
            self._refused: 4,
            self._impossible: 1,
            self._hand: 2,
            self._struck: 4,
            self._reborn: 1,
            self._rotated: 1,
        }
        self.kinds, self.weights = list(table), list(table.values())

    def be_born(self) -> None:
        """Apply a first spec with what is required and some of what is not."""
        if self.chance.random() < 0.4:
            self._struck()
        for path, found in self._known.items():
            if found.required or self.chance.random() < 0.3:
                self.spec[path] = found.value(self.chance, self.name)
        self._make_possible()
        self.spec["managementPolicy"] = "Managed"
        self.actions.append(Apply(copy.deepcopy(self.spec), "the first spec"))

    def settle(self) -> None:
        """End with a spec that is managed, applied and awaited."""
        self.spec["managementPolicy"] = "Managed"
        self.actions.append(Apply(copy.deepcopy(self.spec), "the last spec"))

    def _make_possible(self) -> None:
        """Leave out what this installation cannot give: it has one server, of no region."""
        self.spec.pop("region", None)

    def _changed(self) -> tuple[Json, str]:
        """Return the spec with one property set, changed or taken out, in words."""
        paths = [path for path in self._known if path not in AT_BIRTH]
        found = self._known[self.chance.choice(paths)]
        spec = copy.deepcopy(self.spec)
        if found.path in spec and not found.required and self.chance.random() < 0.3:
            before = spec.pop(found.path)
            why = f"without {found.path} (was {before!r})"
        else:
            for _ in range(TRIES):
                spec[found.path] = found.value(self.chance, self.name)
                if spec[found.path] != self.spec.get(found.path):
                    break
            why = f"{found.path} is {spec[found.path]!r}"
        return _with_sticky(spec, self.spec), why

    def _change(self) -> None:
        spec, why = self._changed()
        self.spec = spec
        managed = spec.get("managementPolicy", "Managed") not in UNMANAGED
        awaited = managed and self.chance.random() < 0.6
        self.actions.append(Apply(copy.deepcopy(spec), why, awaited))

    def _reverted(self) -> None:
        self._managed()
        spec, why = self._changed()
        if _lasting(spec) != _lasting(self.spec):
            return
        awaited = spec.get("managementPolicy", "Managed") not in UNMANAGED and self.chance.random() < 0.7
        self.actions.append(Reverted(spec, copy.deepcopy(self.spec), why, awaited))

    def _refused(self) -> None:
        spec, why = refused(self.spec, self.name, self.chance)
        self.actions.append(Refused(spec, why))

    def _impossible(self) -> None:
        self._managed()
        spec = copy.deepcopy(self.spec)
        why = self.chance.choice(("tier is 'colossal'", "a domain below the platform's own", "an unknown extension"))
        if why.startswith("tier"):
            spec["tier"] = "colossal"
        elif why.startswith("a domain"):
            spec["domains"] = [{"host": f"{self.name}.elsewhere.hoaconnect.test"}]
        else:
            database = spec.setdefault("database", {})
            database["extensions"] = [*database.get("extensions", []), "no_such_extension"]
        self.actions.append(Impossible(spec, copy.deepcopy(self.spec), why))

    def _hand(self) -> None:
        self._managed()
        what = self.chance.choice(HANDS)
        taken = (self.chance.choice(LABELLED), self.chance.choice(SEEN_BY)) if what.startswith("strip") else ()
        self.actions.append(Hand(what, *taken))

    def _struck(self) -> None:
        where = self.chance.choice(("request", "statement", "Job"))
        words = {"request": API_FAULTS, "statement": SQL_FAULTS, "Job": JOB_FAULTS}[where]
        self.actions.append(
            Struck(where, self.chance.choice(words), 1 if where == "Job" else self.chance.randint(1, 12))
        )

    def _reborn(self) -> None:
        self._managed()
        self.actions.append(Reborn(self.chance.choice(ENDS)))

    def _rotated(self) -> None:
        self._managed()
        self.actions.append(Rotated())

    def _managed(self) -> None:
        """See that the operator is at work for the tenant and done with it."""
        last = next((action for action in reversed(self.actions) if isinstance(action, Apply)), None)
        if self.spec.get("managementPolicy", "Managed") in UNMANAGED or (last is not None and not last.awaited):
            self.spec["managementPolicy"] = "Managed"
            self.actions.append(Apply(copy.deepcopy(self.spec), "managed and awaited"))


def refused(spec: Json, name: str, chance: Random) -> tuple[Json, str]:
    """Return the spec with one thing in it that the API server must refuse, in words."""
    changed = copy.deepcopy(spec)
    if chance.random() < 0.15:
        path = chance.choice(IMMUTABLE)
        changed[path] = "another-value"
        return changed, f"{path} is changed"
    if chance.random() < 0.15:
        path = chance.choice([found.path for found in properties() if found.required])
        del changed[path]
        return changed, f"{path} is missing"
    found = chance.choice(properties())
    while found.children and chance.random() < 0.8:
        inner = chance.choice(found.children)
        changed.setdefault(found.path, {})
        found = inner
    value = chance.choice(found.bad(name))
    _put(changed, found, value, name, chance)
    return changed, f"{found.path} is {_short(value)}"


def _put(spec: Json, found: Property, value: Any, name: str, chance: Random) -> None:
    """Write a value at a path, with whatever must stand around it."""
    words = found.path.split(".")
    place: Any = spec
    for depth, word in enumerate(words[:-1]):
        if word not in place:
            around = next(p for p in _below(".".join(words[:depth])) if p.path == ".".join(words[: depth + 1]))
            place[word] = around.value(chance, name)
        place = place[word]
    place[words[-1]] = value


def _below(path: str) -> Sequence[Property]:
    if not path:
        return properties()
    found = next(p for p in properties() if p.path == path.split(".", maxsplit=1)[0])
    for depth in range(1, len(path.split("."))):
        found = next(p for p in found.children if p.path == ".".join(path.split(".")[: depth + 1]))
    return found.children


def _lasting(spec: Json) -> tuple[Any, Any]:
    """Return what can be added and never be taken back: installed extensions, and the name of the server."""
    database = spec.get("database", {})
    return database.get("extensions"), database.get("serverName")


def _with_sticky(spec: Json, before: Json) -> Json:
    """Keep what can only be added: an extension that is in use is never taken out."""
    had = before.get("database", {}).get("extensions", [])
    if had:
        database = spec.setdefault("database", {})
        database["extensions"] = list(dict.fromkeys([*had, *database.get("extensions", [])]))
    if "serverName" in before.get("database", {}):
        spec.setdefault("database", {})["serverName"] = before["database"]["serverName"]
    return spec


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 60 else f"{text[:50]}... ({len(text)} characters)"

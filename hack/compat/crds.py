"""Compares a CRD with the one of the previous build: whatever could lose or refuse a stored object is named.

Objects outlive builds. A removed field is pruned from them, a retyped one cannot be read, and a rule that is stricter
than before refuses them. The API server forgives what an update leaves untouched (ratcheting, Kubernetes 1.30), but
only for values that it can match with their former selves: a rule on an object judges all of it as soon as any of it
changes. So a stricter rule may stand on a single value, or concern a field that is new; on more than that it would turn
away a change to something else.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

Schema = Mapping[str, Any]

_LOWER = ("minimum", "minLength", "minItems", "minProperties")
_UPPER = ("maximum", "maxLength", "maxItems", "maxProperties")
_EXACT = ("format", "pattern", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "uniqueItems")


@dataclass(frozen=True)
class Place:
    """Where in a CRD: `matched` tells whether the API server finds the former value of what stands there."""

    path: str
    matched: bool = True

    def within(self, name: str) -> "Place":
        """Return a field's place."""
        return replace(self, path=f"{self.path}.{name}" if self.path else name)


def incompatibilities(before: Schema, after: Schema) -> list[str]:
    """Return, one a line, what of `after` could lose or refuse objects of `before`; both are whole CRDs."""
    return list(_crd(before["spec"], after["spec"]))


def _crd(before: Schema, after: Schema) -> Iterator[str]:
    for name in ("group", "scope"):
        if before[name] != after[name]:
            yield f"{name}: was {before[name]}, is {after[name]}"
    for name in ("kind", "plural"):
        if before["names"][name] != after["names"][name]:
            yield f"names.{name}: was {before['names'][name]}, is {after['names'][name]}"
    now = {version["name"]: version for version in after["versions"]}
    for old in before["versions"]:
        new = now.get(old["name"])
        if new is None:
            yield f"{old['name']}: the version is gone"
            continue
        yield from (f"{old['name']} {found}" for found in _version(old, new))


def _version(old: Schema, new: Schema) -> Iterator[str]:
    for name in ("served", "storage"):
        if old[name] and not new[name]:
            yield f"{name}: not any more"
    for name in old.get("subresources", {}):
        if name not in new.get("subresources", {}):
            yield f"subresources.{name}: gone"
    selectable = [field["jsonPath"] for field in new.get("selectableFields", [])]
    for field in old.get("selectableFields", []):
        if field["jsonPath"] not in selectable:
            yield f"selectableFields {field['jsonPath']}: gone"
    schemas = [version["schema"]["openAPIV3Schema"] for version in (old, new)]
    fresh = _names(schemas[1]) - _names(schemas[0])
    yield from _schema(Place(""), schemas[0], schemas[1], fresh)


def _schema(place: Place, old: Schema, new: Schema, fresh: set[str]) -> Iterator[str]:
    if _type(old) != _type(new):
        yield f"{place.path}: was {_type(old)}, is {_type(new)}"
        return
    yield from _kept(place, old, new)
    if not place.matched or _type(new) in ("object", "array"):
        yield from _stricter(place, old, new)
        yield from _rules(place, old, new, fresh)
    for name, former in old.get("properties", {}).items():
        field = new.get("properties", {}).get(name)
        if field is None:
            yield f"{place.within(name).path}: the field is gone, and would be pruned"
        else:
            yield from _schema(place.within(name), former, field, fresh)
    for name, inner in (("items", "[]"), ("additionalProperties", "*")):
        if isinstance(old.get(name), Mapping) and isinstance(new.get(name), Mapping):
            matched = place.matched and (name != "items" or new.get("x-kubernetes-list-type") == "map")
            yield from _schema(replace(place.within(inner), matched=matched), old[name], new[name], fresh)


def _kept(place: Place, old: Schema, new: Schema) -> Iterator[str]:
    """What no ratcheting forgives."""
    for name in ("x-kubernetes-preserve-unknown-fields", "nullable"):
        if old.get(name) and not new.get(name):
            yield f"{place.path}: {name} is gone"
    for name in ("x-kubernetes-list-type", "x-kubernetes-list-map-keys", "x-kubernetes-map-type"):
        if old.get(name) != new.get(name):
            yield f"{place.path}: {name} was {old.get(name)}, is {new.get(name)}"
    if old.get("default") != new.get("default"):
        yield f"{place.path}: the default was {old.get('default')}, is {new.get('default')}"
    gone = [value for value in old.get("enum", []) if value not in new.get("enum", [value])]
    if gone:
        yield f"{place.path}: {', '.join(gone)} not allowed any more"


def _stricter(place: Place, old: Schema, new: Schema) -> Iterator[str]:
    for names, sign in ((_LOWER, 1), (_UPPER, -1)):
        for name in names:
            if name in new and (name not in old or sign * new[name] > sign * old[name]):
                yield f"{place.path}: {name} was {old.get(name, 'not there')}, is {new[name]}"
    for name in _EXACT:
        if name in new and old.get(name) != new[name]:
            yield f"{place.path}: {name} was {old.get(name, 'not there')}, is {new[name]}"
    if "enum" in new and "enum" not in old:
        yield f"{place.path}: only {', '.join(map(str, new['enum']))} is allowed now"
    for name in new.get("required", []):
        if name not in old.get("required", []) and "default" not in new.get("properties", {}).get(name, {}):
            yield f"{place.within(name).path}: required now, without a default"


def _rules(place: Place, old: Schema, new: Schema, fresh: set[str]) -> Iterator[str]:
    known = {_words(entry["rule"]) for entry in old.get("x-kubernetes-validations", [])}
    for entry in new.get("x-kubernetes-validations", []):
        rule = _words(entry["rule"])
        # A rule about a change judges none that does not touch it, and one about a new field no older object.
        concerns_new = any(re.search(rf"\.{re.escape(name)}\b", rule) for name in fresh)
        if rule not in known and "oldSelf" not in rule and not concerns_new:
            yield f"{place.path or 'the object'}: a new rule judges all of it: {entry.get('message', rule)}"


def _words(rule: str) -> str:
    return " ".join(rule.split())


def _type(schema: Schema) -> str:
    return "integer or string" if schema.get("x-kubernetes-int-or-string") else str(schema.get("type", "anything"))


def _names(schema: Schema) -> set[str]:
    """Return the names of all fields, however deep."""
    found = set(schema.get("properties", {}))
    inner = [*schema.get("properties", {}).values(), schema.get("items"), schema.get("additionalProperties")]
    return found.union(*(_names(one) for one in inner if isinstance(one, Mapping)))

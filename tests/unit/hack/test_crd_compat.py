"""A change of a CRD that could lose or refuse a stored object is named; one that could not is let pass."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest

from hack.compat.__main__ import findings, read, verdict
from hack.compat.crds import incompatibilities
from tests.programs import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Callable

Json = dict[str, Any]
SPEC: Json = {
    "type": "object",
    "required": ["name"],
    "x-kubernetes-validations": [{"rule": "self.size <= 10", "message": "too large"}],
    "properties": {
        "name": {"type": "string", "maxLength": 20},
        "size": {"type": "integer", "minimum": 1, "default": 3},
        "state": {"type": "string", "enum": ["Active", "Suspended"]},
        "quantity": {"x-kubernetes-int-or-string": True},
        "domains": {
            "type": "array",
            "maxItems": 5,
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["host"],
            "items": {"type": "object", "properties": {"host": {"type": "string"}}},
        },
        "extensions": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
    },
}
CRD: Json = {
    "metadata": {"name": "things.example.com"},
    "spec": {
        "group": "example.com",
        "scope": "Namespaced",
        "names": {"kind": "Thing", "plural": "things"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "selectableFields": [{"jsonPath": ".spec.state"}],
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": SPEC}}},
            }
        ],
    },
}


def changed(change: Callable[[Json, Json, Json], object]) -> list[str]:
    """Return what is found after a change of the CRD's version, its spec and its fields."""
    after = copy.deepcopy(CRD)
    version = after["spec"]["versions"][0]
    spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
    change(version, spec, spec["properties"])
    return incompatibilities(CRD, after)


def rule(text: str) -> Json:
    return {"rule": text, "message": "in words"}


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda v, s, p: p.pop("size"), "v1 spec.size: the field is gone, and would be pruned"),
        (lambda v, s, p: p["size"].update(type="string"), "v1 spec.size: was integer, is string"),
        (
            lambda v, s, p: p.update(quantity={"type": "object"}),
            "v1 spec.quantity: was integer or string, is object",
        ),
        (lambda v, s, p: p["state"].update(enum=["Active"]), "v1 spec.state: Suspended not allowed any more"),
        (lambda v, s, p: p["size"].update(default=4), "v1 spec.size: the default was 3, is 4"),
        (lambda v, s, p: s["required"].append("state"), "v1 spec.state: required now, without a default"),
        (lambda v, s, p: p["domains"].update(maxItems=4), "v1 spec.domains: maxItems was 5, is 4"),
        (
            lambda v, s, p: p["domains"].update({"x-kubernetes-list-type": "atomic"}),
            "v1 spec.domains: x-kubernetes-list-type was map, is atomic",
        ),
        (
            lambda v, s, p: p["extensions"]["items"].update(pattern="^a"),
            "v1 spec.extensions.[]: pattern was not there, is ^a",
        ),
        (
            lambda v, s, p: p["labels"]["additionalProperties"].update(type="integer"),
            "v1 spec.labels.*: was string, is integer",
        ),
        (
            lambda v, s, p: s["x-kubernetes-validations"].append(rule("self.size > 2")),
            "v1 spec: a new rule judges all of it: in words",
        ),
        (lambda v, s, p: v.update(served=False), "v1 served: not any more"),
        (lambda v, s, p: v["subresources"].clear(), "v1 subresources.status: gone"),
        (lambda v, s, p: v["selectableFields"].clear(), "v1 selectableFields .spec.state: gone"),
        (lambda v, s, p: v.update(name="v2"), "v1: the version is gone"),
    ],
)
def test_what_could_hurt_a_stored_object_is_named(change: Callable[[Json, Json, Json], object], found: str) -> None:
    assert changed(change) == [found]


@pytest.mark.parametrize(
    "change",
    [
        lambda v, s, p: p.update(extra={"type": "string"}),
        lambda v, s, p: p["state"]["enum"].append("ReadOnly"),
        lambda v, s, p: p["name"].update(description="words"),
        # Forgiven where the value stays what it was: the API server matches single values with their former selves.
        lambda v, s, p: p["name"].update(maxLength=10),
        lambda v, s, p: p["name"].update({"x-kubernetes-validations": [rule("self != 'no'")]}),
        lambda v, s, p: p["domains"]["items"]["properties"]["host"].update(maxLength=9),
        lambda v, s, p: p["size"].pop("minimum"),
        # Rules on a whole object: the same in other lines, about a change, about a new field.
        lambda v, s, p: s.update({"x-kubernetes-validations": [rule("self.size\n  <= 10")]}),
        lambda v, s, p: s["x-kubernetes-validations"].append(rule("self.size >= oldSelf.size")),
        lambda v, s, p: (
            p.update(extra={"type": "string"}),
            s["x-kubernetes-validations"].append(rule("!has(self.extra) || self.extra != self.name")),
        ),
        lambda v, s, p: (p.update(must={"type": "string", "default": "x"}), s["required"].append("must")),
    ],
)
def test_what_could_not_is_let_pass(change: Callable[[Json, Json, Json], object]) -> None:
    assert changed(change) == []


def test_a_crd_that_is_gone_is_named() -> None:
    assert findings({"things.example.com": CRD}, {}) == ["things.example.com: the CRD is gone"]


def test_what_was_decided_knowingly_is_let_pass_for_as_long_as_it_is_needed() -> None:
    assert verdict(["a: gone"], {"a: gone": "nobody used it"}) == []
    assert verdict(["a: gone", "b: gone"], {"a: gone": "nobody used it"}) == ["b: gone"]
    assert verdict([], {"a: gone": "nobody used it"}) == [
        "a: gone: accepted in hack/compat/accepted.yaml, but no such change is left"
    ]


def test_the_crds_of_this_build_are_read() -> None:
    crds = read(REPOSITORY / "crds")
    assert {f"{plural}.hoaconnect.com" for plural in ("hoatenants", "hoatiers", "hoadatabaseservers")} <= set(crds)
    assert findings(crds, crds) == []

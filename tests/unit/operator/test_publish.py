"""The merge patch of a status does what it says, whatever was there before: RFC 7396 keeps what a patch does not name."""

from __future__ import annotations

import random
from typing import Any

import pytest

from hoa_operator.publish import difference

ROTATED = {"login": "app", "rotatedAt": "2026-11-01T00:00:00Z"}


def merged(target: Any, patch: Any) -> Any:
    """Apply a patch as the API server does (RFC 7396, section 2)."""
    if not isinstance(patch, dict):
        return patch
    found = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            found.pop(key, None)
        else:
            found[key] = merged(found.get(key), value)
    return found


def test_what_an_object_within_no_longer_says_goes() -> None:
    before = {"credentials": {**ROTATED, "nextRotation": "2027-02-01T00:00:00Z"}, "tier": "small"}
    after = {"credentials": ROTATED, "tier": "small"}
    assert difference(before, after) == {"credentials": {"nextRotation": None}}


@pytest.mark.parametrize("seed", range(200))
def test_the_patch_makes_the_one_into_the_other(seed: int) -> None:
    chance = random.Random(seed)
    before, after = thing(chance, 3), thing(chance, 3)
    assert merged(before, difference(before, after)) == after
    assert difference(after, after) == {}


def thing(chance: random.Random, depth: int) -> dict[str, Any]:
    """An object as a status may be: words, numbers, lists and objects."""
    values = ["word", 7, [1, {"a": None}], *([thing(chance, depth - 1), thing(chance, depth - 1)] if depth else [])]
    return {key: chance.choice(values) for key in "abcd" if chance.random() < 0.7}

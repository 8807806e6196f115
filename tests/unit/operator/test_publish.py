"""The merge patch of a status does what it says, whatever was there before: RFC 7396 keeps what a patch does not name."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from hoa_operator.publish import difference

ROTATED = {"login": "app", "rotatedAt": "2026-11-01T00:00:00Z"}
SCALARS = st.integers(0, 3) | st.sampled_from(["", "word"])
LISTS = st.lists(SCALARS | st.just({"a": None}), max_size=2)
STATUSES = st.recursive(
    st.dictionaries(st.sampled_from("abcd"), SCALARS | LISTS, max_size=4),
    lambda inner: st.dictionaries(st.sampled_from("abcd"), SCALARS | LISTS | inner, max_size=4),
    max_leaves=8,
)


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


@given(STATUSES, STATUSES)
def test_the_patch_makes_one_status_into_the_other(before: dict[str, Any], after: dict[str, Any]) -> None:
    patch = difference(before, after)
    assert merged(before, patch) == after
    assert (patch == {}) == (before == after)

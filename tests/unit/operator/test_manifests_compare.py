"""Comparing the objects that are wanted with those that live."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hoa_operator import desire
from hoa_operator.kinds import SECRET
from hoa_operator.manifests import meta
from hoa_operator.manifests.meta import holds, is_current
from tests.unit.operator.samples import CREDENTIALS, UID, children, live, provisioned, settings, world

Json = dict[str, Any]

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)


@given(values)
def test_a_thing_holds_itself(value: object) -> None:
    assert holds(value, value)


@given(st.dictionaries(st.text(max_size=3), values, max_size=3), st.text(min_size=4, max_size=5), values)
def test_what_others_add_to_a_mapping_does_not_count(value: Json, key: str, more: object) -> None:
    assert holds({**value, key: more}, value)
    assert not holds(value, {**value, key: "wanted"})


def test_lists_with_names_are_compared_by_name() -> None:
    wanted = [{"name": "a", "value": "1"}]
    assert holds([{"name": "b"}, {"name": "a", "value": "1", "more": 2}], wanted)
    assert not holds([{"name": "a", "value": "2"}], wanted)
    assert not holds([{"host": "x"}, {"host": "y"}], [{"host": "x"}])


@pytest.mark.parametrize("change", [{"deletionTimestamp": "2026-11-23T12:00:00Z"}, {"labels": {}}])
def test_what_is_going_or_changed_is_not_current(change: Json) -> None:
    manifest = desire.credentials_secret(world(), CREDENTIALS)
    found = live(manifest)
    assert is_current(found, manifest)
    assert not is_current({**found, "metadata": {**found["metadata"], **change}}, manifest)
    assert not is_current(None, manifest)


def test_a_field_that_goes_away_changes_the_digest() -> None:
    with_class = desire.routes(world())[0]
    without = desire.routes(world(settings=settings(HOA_INGRESS_CLASS="")))[0]
    assert holds(with_class["spec"], without["spec"])
    assert not is_current(live(with_class), without)


def test_digests_do_not_depend_on_order() -> None:
    assert meta.digest({"a": 1, "b": [1, 2]}) == meta.digest({"b": [1, 2], "a": 1})
    assert meta.digest([1, 2]) != meta.digest([2, 1])


def test_children_are_found_by_kind_and_owner() -> None:
    base = provisioned()
    assert len(base.children.owned(SECRET, UID)) == 2
    assert base.children.owned(SECRET, "another") == ()
    assert children().get(SECRET, "x") is None

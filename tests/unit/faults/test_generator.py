"""The generator of lives: every property of the CRD is reached, a seed is a life, and a new property is noticed."""

from __future__ import annotations

import random
from typing import Any

import pytest

from tests.faults import generator
from tests.faults.actions import Action, Apply, Hand, Impossible, Life, Refused, Reverted, describe
from tests.faults.schema import NoPoolError, check, every_property, properties, spec_schema

LIVES = 250


@pytest.fixture(scope="module")
def lives() -> list[Life]:
    return [generator.life(seed) for seed in range(LIVES)]


def paths_within(value: Any, path: str = "") -> set[str]:
    if isinstance(value, dict):
        inner = [paths_within(child, f"{path}.{key}" if path else key) for key, child in value.items()]
        return {path, *(found for paths in inner for found in paths)} - {""}
    if isinstance(value, list):
        return {path, *(found for item in value for found in paths_within(item, f"{path}[]"))}
    return {path}


def test_every_property_of_the_crd_has_values() -> None:
    check()


def test_a_new_property_without_examples_is_noticed() -> None:
    schema = spec_schema()
    schema["properties"]["motto"] = {"type": "string", "maxLength": 80}
    with pytest.raises(NoPoolError, match=r"spec\.motto has no examples"):
        check(schema)
    schema = spec_schema()
    schema["properties"]["branding"]["x-kubernetes-validations"] = [{"rule": "has(self.logoURL)"}]
    with pytest.raises(NoPoolError, match=r"spec\.branding has a rule of its own"):
        check(schema)


def test_a_life_is_its_seed(lives: list[Life]) -> None:
    assert [generator.life(seed) for seed in range(50)] == lives[:50]
    assert len({str(found) for found in lives}) > LIVES * 0.9


def test_the_lives_reach_every_property(lives: list[Life]) -> None:
    seen = {
        path
        for found in lives
        for action in found.actions
        if isinstance(action, Apply | Reverted | Impossible)
        for path in paths_within(action.spec)
    }
    assert {found.path for found in every_property()} - seen == {"region"}, "one server of no region"


def test_the_lives_have_every_kind_of_action_and_end_with_what_is_compared(lives: list[Life]) -> None:
    kinds = {type(action) for found in lives for action in found.actions}
    assert kinds == set(Action.__args__)
    for found in lives:
        last = found.actions[-1]
        assert isinstance(last, Apply)
        assert last.awaited
        assert last.spec == found.final
        assert found.final["managementPolicy"] == "Managed"


def test_every_label_that_counts_is_taken_off_by_hand_and_put_back(lives: list[Life]) -> None:
    hands = {action for found in lives for action in found.actions if isinstance(action, Hand)}
    assert {hand.child for hand in hands if hand.label} == set(generator.LABELLED)
    assert {hand.label for hand in hands if hand.label} == set(generator.SEEN_BY)
    assert {hand.what for hand in hands} == set(generator.HANDS)


def test_bad_values_reach_every_property() -> None:
    chance = random.Random(1)
    spec = generator.life(3).final
    whys = {generator.refused(spec, "t3", chance)[1].split(" is ")[0] for _ in range(2500)}
    assert whys >= {found.path for found in properties()}
    assert {path for found in properties() for path in (child.path for child in found.children)} <= whys


def test_a_changed_spec_leaves_the_former_as_it_was(lives: list[Life]) -> None:
    for found in lives[:100]:
        for action in found.actions:
            if isinstance(action, Reverted | Impossible):
                assert action.spec != action.back or "and back" in describe(action)
                before, after = action.back.get("database", {}), action.spec.get("database", {})
                assert before.get("serverName") == after.get("serverName"), "the API server would refuse the way back"
            if isinstance(action, Refused):
                assert action.spec not in [a.spec for a in found.actions if isinstance(a, Apply)]


def test_storms_are_their_seed_and_grow_with_the_lives() -> None:
    assert generator.storms(7, 1) == generator.storms(7, 1)
    assert sorted(generator.storms(7, 1)) == sorted(generator.STORMS)
    assert len(generator.storms(7, 240)) == 20

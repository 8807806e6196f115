"""The seed's table, hysteresis, overrides, and the size of the shared app."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hoa_operator.errors import UserError
from hoa_operator.tenant import LimitOverrides
from hoa_operator.tiers import (
    Limits,
    Pending,
    Replicas,
    Tier,
    automatic,
    last_given,
    parse_tier,
    pending,
    resolve,
    shared_replicas,
)
from tests.unit.operator.samples import TIERS, tier_body

BOUNDARIES = (100, 500, 2000)


@pytest.mark.parametrize(
    ("homeowners", "tier"),
    [
        (0, "small"),
        (99, "small"),
        (100, "medium"),
        (499, "medium"),
        (500, "large"),
        (1999, "large"),
        (2000, "enterprise"),
    ],
)
def test_the_seeds_table(homeowners: int, tier: str) -> None:
    assert resolve("Auto", homeowners, None, TIERS).name == tier


def test_growth_moves_up_at_once_and_shrinking_waits() -> None:
    assert resolve("Auto", 501, "medium", TIERS).name == "large"
    assert resolve("Auto", 499, "large", TIERS).name == "large"
    assert resolve("Auto", 475, "large", TIERS).name == "large"
    assert resolve("Auto", 474, "large", TIERS).name == "medium"


@given(st.integers(0, 5000), st.sampled_from([None, *(tier.name for tier in TIERS), "gone"]))
def test_a_tier_once_resolved_stays(homeowners: int, current: str | None) -> None:
    first = resolve("Auto", homeowners, current, TIERS)
    assert resolve("Auto", homeowners, first.name, TIERS) == first
    assert first.homeowners_min <= homeowners * 1.06 + 2


@given(st.sampled_from(BOUNDARIES), st.lists(st.integers(-3, 3), max_size=30))
def test_wobbling_around_a_boundary_moves_once_at_most(boundary: int, wobble: list[int]) -> None:
    current = resolve("Auto", boundary - 4, None, TIERS).name
    moves = 0
    for delta in wobble:
        tier = resolve("Auto", boundary + delta, current, TIERS).name
        moves += tier != current
        current = tier
    assert moves <= 1


def lived(*changes: tuple[str, int]) -> tuple[str, str | None]:
    """Return the tier in force, and the one that Auto gives, after these specs one after the other."""
    in_force: str | None = None
    auto: str | None = None
    for wanted, homeowners in changes:
        given = last_given(auto, wanted, in_force)
        in_force = resolve(wanted, homeowners, given, TIERS).name
        auto = automatic(homeowners, given, TIERS)
    assert in_force is not None
    return in_force, auto


NAMED = st.sampled_from([tier.name for tier in TIERS])


@given(st.lists(st.integers(0, 2500), min_size=1, max_size=5), NAMED)
def test_a_tier_that_was_named_and_taken_back_leaves_the_tenant_where_it_was(counts: list[int], named: str) -> None:
    before = [("Auto", count) for count in counts]
    assert lived(*before, (named, counts[-1]), ("Auto", counts[-1])) == lived(*before)


def test_the_margin_is_of_the_tier_that_auto_gave() -> None:
    assert lived(("Auto", 480), ("large", 480), ("Auto", 480))[0] == "medium"
    assert lived(("large", 480), ("Auto", 480))[0] == "medium"
    assert lived(("Auto", 510), ("Auto", 480), ("medium", 480), ("Auto", 480))[0] == "large"


def test_a_tenant_of_a_build_that_did_not_say_what_auto_gave_keeps_its_margin() -> None:
    assert resolve("Auto", 480, last_given(None, "Auto", "large"), TIERS).name == "large"
    assert last_given(None, "large", "large") is None
    assert automatic(480, "large", ()) == "large"


def test_a_named_tier_holds_whatever_the_count() -> None:
    assert resolve("small", 1_000_000, "enterprise", TIERS).name == "small"


def test_an_unknown_tier_names_those_there_are() -> None:
    with pytest.raises(UserError, match="use Auto or one of: small, medium, large, enterprise") as caught:
        resolve("jumbo", 1, None, TIERS)
    assert caught.value.reason == "TierUnknown"


def test_no_tiers_at_all() -> None:
    with pytest.raises(UserError, match="no HOATier"):
        resolve("Auto", 1, None, ())


def test_a_tier_is_read_whole() -> None:
    assert parse_tier(tier_body("medium", 100, 499, "500m", "1Gi", "50Gi")) == Tier(
        name="medium",
        homeowners_min=100,
        homeowners_max=499,
        limits=Limits(20, 10, 10, 30_000, 50 * 2**30, 500, 2**30, 499),
        autoscaling=TIERS[1].autoscaling,
    )


def test_overrides_replace_single_limits() -> None:
    limits = TIERS[0].limits.overridden(LimitOverrides(database_connections=3, storage_bytes=1))
    assert (limits.database_connections, limits.storage_bytes) == (3, 1)
    assert limits.requests_per_second == TIERS[0].limits.requests_per_second


@pytest.mark.parametrize(
    ("wanted", "held", "homeowners", "expected"),
    [
        ("Auto", "large", 499, Pending("medium", 475)),
        ("Auto", "large", 475, Pending("medium", 475)),
        ("Auto", "large", 500, None),
        ("Auto", "small", 99, None),
        ("large", "large", 3, None),
    ],
)
def test_the_move_that_hysteresis_holds_back(wanted: str, held: str, homeowners: int, expected: Pending | None) -> None:
    tier = next(tier for tier in TIERS if tier.name == held)
    assert pending(wanted, homeowners, tier, TIERS) == expected


@given(homeowners=st.integers(0, 5000), held=st.sampled_from(TIERS))
def test_a_pending_move_happens_at_the_figure_it_names(homeowners: int, held: Tier) -> None:
    tier = resolve("Auto", homeowners, held.name, TIERS)
    found = pending("Auto", homeowners, tier, TIERS)
    if found is not None:
        assert found.below <= homeowners
        assert resolve("Auto", found.below, tier.name, TIERS) == tier
        assert resolve("Auto", found.below - 1, tier.name, TIERS).name == found.name


@pytest.mark.parametrize(
    ("demand", "expected"),
    [(0, Replicas(2, 3)), (1750, Replicas(2, 4)), (10_000, Replicas(2, 20)), (1_000_000, Replicas(2, 20))],
)
def test_the_shared_app_follows_demand(demand: int, expected: Replicas) -> None:
    assert shared_replicas(demand, 250, 0.5, 2, 20) == expected


@given(st.integers(0, 10**7), st.integers(0, 4000), st.floats(0.01, 4), st.integers(1, 30), st.integers(1, 30))
def test_replicas_stay_in_bounds(demand: int, pod: int, overcommit: float, floor: int, ceiling: int) -> None:
    found = shared_replicas(demand, pod, overcommit, floor, ceiling)
    assert floor == found.minimum <= found.maximum <= max(floor, ceiling)

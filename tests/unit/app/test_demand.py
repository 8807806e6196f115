"""Whoever asked most lately is wanted most; what was long ago counts less and less."""

from __future__ import annotations

from random import Random
from uuid import UUID, uuid4

import pytest

from hoa_app.db.demand import HALF_LIFE_SECONDS, Demand


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_it_counts_and_fades() -> None:
    clock, often, once = Clock(), uuid4(), uuid4()
    demand = Demand(clock)
    for _ in range(8):
        demand.note(often)
    clock.now += 2 * HALF_LIFE_SECONDS
    demand.note(once)
    assert demand.of(often) == pytest.approx(2.0)
    assert demand.of(once) == pytest.approx(1.0)
    clock.now += HALF_LIFE_SECONDS
    demand.note(once)
    assert demand.of(often) == pytest.approx(1.0)
    assert demand.of(once) == pytest.approx(1.5)


def test_nobody_asked() -> None:
    demand, someone = Demand(Clock()), uuid4()
    assert demand.of(someone) == 0
    demand.note(someone)
    demand.forget(someone)
    assert demand.of(someone) == 0


def test_it_keeps_more_connections_open_that_are_asked_for_again_than_the_last_use_would() -> None:
    """500 tenants by Zipf's law, 75 requests a second, 90 connections."""
    clock, last = Clock(), dict[UUID, int]()
    demand = Demand(clock)
    tenants = [UUID(int=number) for number in range(500)]
    by_demand, by_last_use, found = set[UUID](), set[UUID](), {"demand": 0, "last use": 0}
    for turn, tenant in enumerate(Random(1).choices(tenants, [1 / place for place in range(1, 501)], k=9_000)):
        clock.now += 1 / 75
        demand.note(tenant)
        last[tenant] = turn
        for name, known, worth in (("demand", by_demand, demand.of), ("last use", by_last_use, last.__getitem__)):
            if turn >= 3_000:
                found[name] += tenant in known
            if tenant not in known and len(known) == 90:
                known.remove(min(known, key=worth))
            known.add(tenant)
    assert found["demand"] / 6_000 > found["last use"] / 6_000 + 0.08

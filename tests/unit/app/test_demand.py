"""Whoever asked most lately is wanted most; what was long ago counts less and less."""

from __future__ import annotations

from uuid import uuid4

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

"""Requests that open a pool one after the other, each for as long as it has."""

from __future__ import annotations

import asyncio
import time

import pytest

from hoa_app.db.turn import Turn
from hoa_app.problems import Problem


async def test_nobody_awaits_a_turn_for_longer_than_it_has() -> None:
    turn, started = Turn(), time.monotonic()
    async with turn.by(started + 60):
        with pytest.raises(Problem) as caught:
            async with turn.by(started + 0.05):
                raise AssertionError("it is another's turn")
        assert (caught.value.status, caught.value.detail) == (503, "Every database connection is in use.")
        assert 0.05 <= time.monotonic() - started < 5
    async with turn.by(started + 60):
        assert turn.first() == started + 60, "who gave up counts no more"


async def test_whose_time_is_up_first_is_known_while_it_waits() -> None:
    turn, later, sooner = Turn(), time.monotonic() + 60, time.monotonic() + 30

    async def wait() -> None:
        async with turn.by(sooner):
            assert turn.first() == sooner

    async with turn.by(later):
        assert turn.first() == later
        waiting = asyncio.create_task(wait())
        await asyncio.sleep(0)
        assert turn.first() == sooner
    await waiting

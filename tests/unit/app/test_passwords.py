"""Checking passwords costs a core: the tenants take turns at it, and no line grows without end."""

from __future__ import annotations

import asyncio
from uuid import UUID

import pytest

from hoa_app.identity.passwords import Passwords
from hoa_app.problems import Problem

HASTY, CALM = UUID(int=1), UUID(int=2)


async def test_a_rush_at_one_portal_does_not_hold_up_another() -> None:
    passwords = Passwords(1, queue=50)
    finished: list[UUID] = []

    async def sign_in(tenant_id: UUID) -> None:
        assert not await passwords.verify(tenant_id, None, "a guess")
        finished.append(tenant_id)

    rush = [asyncio.create_task(sign_in(HASTY)) for _ in range(20)]
    await asyncio.sleep(0)
    calm = [asyncio.create_task(sign_in(CALM)) for _ in range(2)]
    await asyncio.gather(*calm)
    assert finished.count(HASTY) <= 4
    await asyncio.gather(*rush)
    passwords.close()


async def test_a_line_has_an_end_and_a_caller_may_leave_it() -> None:
    passwords = Passwords(1, queue=3)
    waiting = [asyncio.create_task(passwords.verify(HASTY, None, "a guess")) for _ in range(4)]
    await asyncio.sleep(0)
    with pytest.raises(Problem, match="503") as refused:
        await passwords.verify(HASTY, None, "a guess")
    assert refused.value.headers["Retry-After"] == "2"
    calm = asyncio.create_task(passwords.hash(CALM, "four words in a row"))
    for task in waiting[1:3]:
        task.cancel()
    assert await waiting[3] is False
    assert await passwords.verify(CALM, await calm, "four words in a row")
    assert await passwords.verify(HASTY, None, "a guess") is False
    passwords.close()

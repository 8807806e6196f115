"""Fewer connections than tenants: each is opened once, those who ask most keep theirs, and nobody is left without."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from hoa_app.db import pools as pools_module
from tests.contract.app.browser import eventually
from tests.contract.app.conftest import serving
from tests.contract.app.pods import ask, known, may_connect

if TYPE_CHECKING:
    from tests.contract.app.platform import MadeTenant, Platform


@pytest.fixture(scope="module")
def company(platform: Platform) -> MadeTenant:
    """A third tenant."""
    return platform.make_tenant("pooled")


@pytest.fixture
def connects(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The databases that were connected to."""
    found: list[str] = []
    connect = psycopg.AsyncConnection.connect

    async def noted(*args: Any, **kwargs: Any) -> Any:
        found.append(kwargs.get("dbname", ""))
        return await connect(*args, **kwargs)

    monkeypatch.setattr(psycopg.AsyncConnection, "connect", noted)
    return found


async def test_a_pool_keeps_the_connection_that_proved_it(
    platform: Platform, seabreeze: MadeTenant, connects: list[str]
) -> None:
    async with serving(platform) as site:
        (tenant,) = known(site, seabreeze)
        for _ in range(3):
            await ask(site.services.pools, tenant)
        assert connects.count(tenant.database.dbname) == 1


async def test_who_asks_most_keeps_a_connection(
    platform: Platform, seabreeze: MadeTenant, pinnacle: MadeTenant, company: MadeTenant
) -> None:
    async with serving(platform, HOA_POOL_MAX_TOTAL="2") as site:
        pools = site.services.pools
        often, once, later = known(site, seabreeze, pinnacle, company)
        for _ in range(5):
            await ask(pools, often)
        for tenant in (once, later, once, later):
            await ask(pools, tenant)
            assert set(pools.opened()) == {often.id, tenant.id}
            assert pools.reserved == 2


async def test_everybody_at_once_is_served(
    platform: Platform, seabreeze: MadeTenant, pinnacle: MadeTenant, company: MadeTenant
) -> None:
    async with serving(platform, HOA_POOL_MAX_TOTAL="1") as site:
        pools = site.services.pools
        tenants = known(site, seabreeze, pinnacle, company)
        await asyncio.gather(*(ask(pools, tenant) for tenant in tenants * 5))
        assert pools.reserved == 1


async def test_a_crowd_gets_more_and_gives_it_back(
    platform: Platform,
    seabreeze: MadeTenant,
    pinnacle: MadeTenant,
    company: MadeTenant,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with serving(platform, HOA_POOL_MAX_TOTAL="3") as site:
        pools = site.services.pools
        crowded, quiet, other = known(site, seabreeze, pinnacle, company)
        for tenant in (quiet, other):
            await ask(pools, tenant)
        await asyncio.gather(*(ask(pools, crowded) for _ in range(20)))
        assert crowded.id in pools.opened()
        assert len(pools.opened()) < 3
        assert pools.reserved == 3
        monkeypatch.setattr(pools_module, "SETTLED_SECONDS", -1.0)
        for tenant in (quiet, other):
            await ask(pools, tenant)
        assert {quiet.id, other.id} <= set(pools.opened())
        assert pools.reserved <= 3


async def test_the_first_connection_is_waited_for_while_others_hold_all(
    platform: Platform, company: MadeTenant, connects: list[str]
) -> None:
    """As in a rollout, when the pods before have not let go yet."""
    async with serving(platform) as site:
        (tenant,) = known(site, company)
        may_connect(platform, company, 0)
        asking = asyncio.create_task(ask(site.services.pools, tenant))
        try:
            await eventually(lambda: connects.count(company.prefix) >= 2)
            assert not asking.done()
        finally:
            may_connect(platform, company, 10)
        await asking

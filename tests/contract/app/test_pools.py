"""Fewer connections than tenants: each is opened once, those who ask most keep theirs, and nobody is left without."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import sql

from hoa_app.db import pools as pools_module
from hoa_app.db.session import TenantDatabase
from tests.contract.app.browser import eventually
from tests.contract.app.conftest import serving

if TYPE_CHECKING:
    from hoa_app.db.pools import Pools
    from hoa_app.tenancy.tenant import Tenant
    from tests.contract.app.browser import Site
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


def known(site: Site, *tenants: MadeTenant) -> list[Tenant]:
    found = [site.services.registry.get(tenant.id) for tenant in tenants]
    assert all(found)
    return [tenant for tenant in found if tenant]


async def ask(pools: Pools, tenant: Tenant) -> None:
    async with TenantDatabase(pools, tenant).transaction(readonly=True) as tx:
        row = await (await tx.execute("SELECT current_tenant() AS id")).fetchone()
        assert row == {"id": tenant.id}


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


def may_connect(platform: Platform, tenant: MadeTenant, times: int) -> None:
    """Have Postgres hold the app's login to so many connections, as the operator does."""
    limit = sql.SQL("ALTER ROLE {} CONNECTION LIMIT {}").format(sql.Identifier(f"{tenant.prefix}_app"), times)
    with psycopg.connect(platform.access.dsn(), autocommit=True) as admin:
        admin.execute(limit)


async def ask_often(sites: list[Site], tenant: MadeTenant, times: int) -> None:
    """Ask every pod so often at once; no request may fail."""
    work = [ask(site.services.pools, known(site, tenant)[0]) for _ in range(times) for site in sites]
    await asyncio.gather(*work)


async def test_more_pods_share_what_a_tenant_may_have(platform: Platform) -> None:
    """As when a company's crowd has the app scaled out: the first pods hold all of it, and the new ones are asked, too."""
    tenant = platform.make_tenant("scaled", limits={"databaseConnections": 6})
    may_connect(platform, tenant, 6)
    async with AsyncExitStack() as stack:
        sites = [await stack.enter_async_context(serving(platform)) for _ in range(2)]
        await ask_often(sites, tenant, 40)
        held = sum(site.services.pools.reserved for site in sites)
        sites += [await stack.enter_async_context(serving(platform)) for _ in range(2)]
        await eventually(lambda: sum(site.services.pools.reserved for site in sites) < held)
        for _ in range(3):
            await ask_often(sites, tenant, 40)
            assert all(site.services.pools.reserved <= 1 for site in sites)


async def test_more_pods_than_connections_take_turns(platform: Platform) -> None:
    tenant = platform.make_tenant("turns", limits={"databaseConnections": 2})
    may_connect(platform, tenant, 2)
    async with AsyncExitStack() as stack:
        sites = [await stack.enter_async_context(serving(platform)) for _ in range(4)]
        for site in [*sites, *sites]:
            await ask_often([site], tenant, 3)


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

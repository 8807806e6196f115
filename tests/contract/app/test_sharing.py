"""Pods share what a tenant may have: however long some requests take, the others are served, by every pod."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from hoa_app.db.pools import PoolLimits
from hoa_app.db.session import TenantDatabase
from hoa_app.problems import Problem
from hoa_app.settings import Settings
from hoa_app.worker import open_worker
from tests.contract.app.browser import eventually
from tests.contract.app.conftest import serving
from tests.contract.app.platform import Platform
from tests.contract.app.pods import ask, ask_often, cut, held, known, limited, may_connect, scaled

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from hoa_app.worker import OpenWorker
    from tests.contract.app.browser import Site
    from tests.contract.app.platform import MadeTenant
    from tests.contract.app.pods import Pod
    from tests.fix_postgres import PostgresAccess


@pytest.fixture(scope="module")
def platform(postgres: PostgresAccess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """One of its own: pods count whoever follows the same registry, those of other tests as well."""
    made = Platform(postgres, tmp_path_factory.mktemp("sharing"))
    yield made
    made.destroy()


@asynccontextmanager
async def long_requests(pods: Sequence[Pod], tenant: MadeTenant) -> AsyncIterator[None]:
    """One in each pod, which still has its connection in the end."""
    async with AsyncExitStack() as stack:
        lent = [
            await stack.enter_async_context(TenantDatabase(pod.services.pools, known(pod, tenant)[0]).transaction())
            for pod in pods
        ]
        yield
        for tx in lent:
            assert await (await tx.execute("SELECT 1 AS one")).fetchone() == {"one": 1}


@asynccontextmanager
async def a_worker(platform: Platform) -> AsyncIterator[OpenWorker]:
    async with open_worker(Settings.from_env(platform.environment()), []) as opened:
        await opened.services.registry.loaded.wait()
        yield opened


def refused(site: Site, tenant: MadeTenant, reason: str) -> float:
    labels = {"tenant_id": str(tenant.id), "reason": reason}
    return site.services.metrics.registry.get_sample_value("hoa_db_pool_errors_total", labels) or 0.0


async def test_more_pods_share_what_a_tenant_may_have(platform: Platform) -> None:
    """As when a company's crowd has the app scaled out: the first pods hold all of it, and the new ones are asked, too."""
    tenant = limited(platform, "scaled", 6)
    async with scaled(platform, 2) as first:
        await ask_often(first, tenant, 40)
        before = sum(site.services.pools.reserved for site in first)
        async with scaled(platform, 2) as more:
            sites = [*first, *more]
            await eventually(lambda: sum(site.services.pools.reserved for site in sites) < before)
            for _ in range(3):
                await ask_often(sites, tenant, 40)
                assert all(site.services.pools.reserved <= 1 for site in sites)


async def test_more_pods_than_connections_take_turns(platform: Platform) -> None:
    """Each has more to ask than it can have answered in a turn, and all ask at once."""
    tenant = limited(platform, "turns", 2)
    async with scaled(platform, 5) as sites:

        async def person(site: Site) -> None:
            for _ in range(5):
                await ask(site.services.pools, known(site, tenant)[0], 0.3)

        await asyncio.gather(*(person(site) for site in sites * 2))


async def test_a_long_request_does_not_hold_what_a_new_pod_needs(platform: Platform) -> None:
    tenant = limited(platform, "long-shared", 4)
    async with scaled(platform, 2) as sites:
        await ask_often(sites, tenant, 10, 0.05)
        assert [site.services.pools.reserved for site in sites] == [2, 2]
        async with long_requests(sites, tenant), serving(platform) as new:
            await eventually(lambda: all(site.services.pools.reserved < 2 for site in sites))
            for _ in range(3):
                await ask_often([*sites, new], tenant, 5, 0.05)


async def test_a_long_request_does_not_hold_what_is_given_up(platform: Platform) -> None:
    tenant = limited(platform, "long-given", 4)
    async with scaled(platform, 2) as sites, a_worker(platform) as worker:
        await ask_often(sites, tenant, 10, 0.05)
        async with long_requests(sites, tenant):
            for _ in range(3):
                await ask_often([*sites, worker], tenant, 5, 0.05)


async def test_a_second_request_beside_a_long_one_is_served_though_others_hold_the_rest(platform: Platform) -> None:
    """The others only keep them: they ask for nothing now."""
    tenant = limited(platform, "kept", 4)
    async with scaled(platform, 2) as sites, a_worker(platform) as worker:
        busy, idle = sites
        await ask_often([busy, worker], tenant, 1)
        await ask_often([idle], tenant, 5, 0.05)
        assert held(platform, tenant, "%") == 4
        async with long_requests([busy], tenant):
            await ask_often([busy], tenant, 1)


async def test_a_worker_gets_its_connection_beside_busy_pods(platform: Platform) -> None:
    """It had one, lost it, and the pods of the app, which do not count it, took that as well."""
    tenant = limited(platform, "mailing", 4)
    async with scaled(platform, 2) as sites, a_worker(platform) as worker:
        may_connect(platform, tenant, 5)
        await ask_often([worker], tenant, 1)
        done = asyncio.Event()

        async def crowd(site: Site) -> None:
            while not done.is_set():
                await ask(site.services.pools, known(site, tenant)[0], 0.05)

        crowds = [asyncio.create_task(crowd(site)) for site in sites * 8]
        try:
            await eventually(lambda: held(platform, tenant, "hoa-app") == 4)
            may_connect(platform, tenant, 4)
            await asyncio.to_thread(cut, platform, tenant, "hoa-worker")
            for _ in range(3):
                await ask_often([worker], tenant, 1)
        finally:
            done.set()
            ended = await asyncio.gather(*crowds, return_exceptions=True)
        assert [error for error in ended if isinstance(error, Problem)] == []


async def test_every_pod_serves_again_after_all_connections_were_cut(platform: Platform) -> None:
    tenant = limited(platform, "cut", 2)
    async with scaled(platform, 4) as sites:
        may_connect(platform, tenant, 4)
        await ask_often(sites, tenant, 1)
        may_connect(platform, tenant, 2)
        await asyncio.to_thread(cut, platform, tenant)
        for _ in range(3):
            await ask_often(sites, tenant, 2)


async def test_that_others_hold_all_is_said_also_by_a_pool_that_was_open(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = limited(platform, "told", 4)
    async with serving(platform) as site:
        await ask_often([site], tenant, 1)
        monkeypatch.setattr(site.services.pools, "_limits", PoolLimits(wait_seconds=0.3))
        may_connect(platform, tenant, 0)
        await asyncio.to_thread(cut, platform, tenant)
        with pytest.raises(Problem) as caught:
            await ask_often([site], tenant, 1)
        assert caught.value.detail == "Every database connection is in use."
        assert (refused(site, tenant, "full"), refused(site, tenant, "timeout")) == (1, 0)


async def test_the_server_notices_within_half_a_minute_that_a_node_is_gone(platform: Platform) -> None:
    tenant = platform.make_tenant("alive")
    wanted = {"tcp_keepalives_idle": "10", "tcp_keepalives_interval": "5", "tcp_keepalives_count": "3"}
    async with serving(platform) as site:
        async with TenantDatabase(site.services.pools, known(site, tenant)[0]).transaction(readonly=True) as tx:
            for name, value in wanted.items():
                assert await (await tx.execute(f"SHOW {name}")).fetchone() == {name: value}
        for name, value in wanted.items():
            assert await site.services.registry.execute(f"SHOW {name}") == [{name: value}]

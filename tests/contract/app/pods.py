"""Several pods in one process that serve the same tenant, and a Postgres that holds its login to a number of connections."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Protocol

import psycopg
from psycopg import sql

from hoa_app.db.session import TenantDatabase
from tests.contract.app.conftest import serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from hoa_app.db.pools import Pools
    from hoa_app.services import Services
    from hoa_app.tenancy.tenant import Tenant
    from tests.contract.app.browser import Site
    from tests.contract.app.platform import MadeTenant, Platform


class Pod(Protocol):
    """An app's or a worker's."""

    @property
    def services(self) -> Services: ...


def known(pod: Pod, *tenants: MadeTenant) -> list[Tenant]:
    found = [pod.services.registry.get(tenant.id) for tenant in tenants]
    assert all(found)
    return [tenant for tenant in found if tenant]


async def ask(pools: Pools, tenant: Tenant, seconds: float = 0.0) -> None:
    async with TenantDatabase(pools, tenant).transaction(readonly=True) as tx:
        row = await (await tx.execute("SELECT current_tenant() AS id, pg_sleep(%s)", (seconds,))).fetchone()
        assert row is not None
        assert row["id"] == tenant.id


async def ask_often(pods: Sequence[Pod], tenant: MadeTenant, times: int, seconds: float = 0.0) -> None:
    """Ask every pod so often at once; no request may fail."""
    work = [ask(pod.services.pools, known(pod, tenant)[0], seconds) for _ in range(times) for pod in pods]
    await asyncio.gather(*work)


def may_connect(platform: Platform, tenant: MadeTenant, times: int) -> None:
    """Have Postgres hold the app's login to so many connections, as the operator does."""
    limit = sql.SQL("ALTER ROLE {} CONNECTION LIMIT {}").format(sql.Identifier(f"{tenant.prefix}_app"), times)
    with psycopg.connect(platform.access.dsn(), autocommit=True) as admin:
        admin.execute(limit)


def limited(platform: Platform, slug: str, connections: int) -> MadeTenant:
    """A tenant that is granted so many connections."""
    tenant = platform.make_tenant(slug, limits={"databaseConnections": connections})
    may_connect(platform, tenant, connections)
    return tenant


def cut(platform: Platform, tenant: MadeTenant, program: str = "%") -> None:
    """End the sessions of the tenant's login, as a server does that restarts: all, or one program's."""
    ended = (
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = %s AND application_name LIKE %s"
    )
    with psycopg.connect(platform.access.dsn(), autocommit=True) as admin:
        admin.execute(ended, (f"{tenant.prefix}_app", program))


def held(platform: Platform, tenant: MadeTenant, program: str) -> int:
    """How many connections of the tenant's login a program has; % for all."""
    counted = "SELECT count(*) FROM pg_stat_activity WHERE usename = %s AND application_name LIKE %s"
    with psycopg.connect(platform.access.dsn(), autocommit=True) as admin:
        row = admin.execute(counted, (f"{tenant.prefix}_app", program)).fetchone()
    return int(row[0]) if row else 0


@asynccontextmanager
async def scaled(platform: Platform, pods: int) -> AsyncIterator[list[Site]]:
    """So many pods of the app, each of which knows of all the others."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(serving(platform)) for _ in range(pods)]

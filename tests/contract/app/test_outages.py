"""What goes away and comes back: the registry, a database, a password; and pools that stay within their limits."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import sql

from hoa_app.db import pools
from hoa_app.db.session import TenantDatabase
from hoa_app.problems import Problem
from tests.contract.app.browser import add_user, eventually
from tests.contract.app.conftest import serving
from tests.contract.app.platform import Platform

if TYPE_CHECKING:
    from pathlib import Path

    from tests.contract.app.browser import Site
    from tests.contract.app.platform import MadeTenant
    from tests.fix_postgres import PostgresServer


@pytest.fixture
def own_platform(own_postgres: PostgresServer, tmp_path: Path) -> Platform:
    """A platform on a server that the test may stop."""
    return Platform(own_postgres.access, tmp_path)


def database(site: Site, tenant: MadeTenant) -> TenantDatabase:
    found = site.services.registry.get(tenant.id)
    assert found is not None
    return TenantDatabase(site.services.pools, found)


async def test_serving_goes_on_while_the_registry_is_away(platform: Platform) -> None:
    tenant = platform.make_tenant("steady")
    email = add_user(tenant, "owner")
    async with serving(platform) as site:
        browser = await site.signed_in(tenant, email)
        registry = sql.Identifier(platform.registry)
        with psycopg.connect(platform.access.dsn(), autocommit=True) as connection:
            connection.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(registry))
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (platform.registry,)
            )
            await eventually(lambda: not site.services.registry.connected)
            assert (await browser.get("/account")).status_code == 200
            assert (await site.client("pod.address").get("/readyz")).status_code == 200
            health = await site.client("pod.address").get("/health")
            assert health.status_code == 200
            assert {one["name"]: one["status"] for one in health.json()["checks"]}["registry"] == "error"
            connection.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(registry))
        await eventually(lambda: site.services.registry.connected)
        tenant.update(display_name="Renamed Meanwhile")
        await eventually(lambda: database(site, tenant).tenant.display_name == "Renamed Meanwhile")


@pytest.mark.parametrize(("method", "status"), [("GET", 200), ("POST", 503)])
async def test_a_session_that_is_ended_under_a_request(platform: Platform, method: str, status: int) -> None:
    """As the operator ends them when a tenant becomes ReadOnly: a read is asked once more, a write is not."""
    tenant = platform.make_tenant(f"cut-off-{method.lower()}")
    email = add_user(tenant, "owner")
    waiting = "SELECT pid FROM pg_stat_activity WHERE usename = %s AND wait_event_type = 'Lock'"
    app = f"{tenant.prefix}_app"
    async with serving(platform) as site:
        client = await site.program(tenant, email)
        with psycopg.connect(platform.access.dsn(), autocommit=True) as looks, tenant.as_admin() as holds:
            holds.execute("BEGIN")
            holds.execute("LOCK TABLE invitations")
            body = {"email": "new@cut.example", "name": "New", "role": "manager"} if method == "POST" else None
            asked = asyncio.ensure_future(client.request(method, "/api/v1/invitations", json=body))
            await eventually(lambda: looks.execute(waiting, (app,)).fetchone() is not None)
            for (pid,) in looks.execute(waiting, (app,)).fetchall():
                looks.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))
            holds.execute("ROLLBACK")
        assert (await asked).status_code == status
        assert (await client.get("/api/v1/invitations")).status_code == 200


async def test_not_ready_before_the_registry_was_read(platform: Platform, tmp_path: Path) -> None:
    from hoa_app.main import create_app
    from hoa_app.settings import Settings
    from tests.contract.app.browser import Site

    directory = tmp_path / "registry"
    directory.mkdir()
    for file in platform.registry_dir.iterdir():
        (directory / file.name).write_text(file.read_text())
    (directory / "password").write_text("not yet")
    app = create_app(Settings.from_env(platform.environment(HOA_REGISTRY_DIR=str(directory))), [])
    async with app.router.lifespan_context(app):
        site = Site(app)
        client = site.client("10.1.1.1:8000")
        assert (await client.get("/livez")).status_code == 200
        assert (await client.get("/readyz")).status_code == 503
        assert (await client.get("/health")).status_code == 503
        (directory / "password").write_text(platform.reader_password)
        await eventually(site.services.registry.loaded.is_set)
        assert (await client.get("/readyz")).status_code == 200
        await site.close()


async def test_a_bad_row_spares_the_others(platform: Platform, seabreeze: MadeTenant) -> None:
    broken = platform.make_tenant("broken")
    async with serving(platform) as site:
        broken.update(limits={"requestsPerSecond": "many"})
        await eventually(lambda: site.services.registry.get(broken.id) is None)
        assert (await site.client(seabreeze.host).get("/sign-in")).status_code == 200
        broken.update(limits={"requestsPerSecond": 20})
        await eventually(lambda: site.services.registry.get(broken.id) is not None)


async def test_a_row_that_no_key_opens_is_served_with_what_was_known(platform: Platform) -> None:
    tenant = platform.make_tenant("late-key")
    async with serving(platform) as site:
        known = site.services.registry.get(tenant.id)
        assert known is not None
        tenant.update(sealed_password=b"not sealed by any key of ours", display_name="Late Key Management")
        await eventually(lambda: database(site, tenant).tenant.display_name == "Late Key Management")
        assert database(site, tenant).tenant.database == known.database
        async with database(site, tenant).transaction(readonly=True) as tx:
            assert await (await tx.execute("SELECT 1 AS one")).fetchone() == {"one": 1}


async def test_a_rotated_password_fails_no_request(platform: Platform) -> None:
    tenant = platform.make_tenant("rotated")
    async with serving(platform) as site:
        async with database(site, tenant).transaction(readonly=True) as before:
            with psycopg.connect(platform.access.dsn(), autocommit=True) as connection:
                connection.execute(
                    sql.SQL("ALTER ROLE {} PASSWORD 'another'").format(sql.Identifier(f"{tenant.prefix}_app"))
                )
            tenant.update(sealed_password=platform.seal("another"))
            await eventually(lambda: database(site, tenant).tenant.database.password == "another")
            async with database(site, tenant).transaction(readonly=True) as after:
                await after.execute("SELECT 1")
            assert await (await before.execute("SELECT 1 AS one")).fetchone() == {"one": 1}
        assert len([one for one in site.services.pools.opened() if one == tenant.id]) == 1


async def test_the_database_restarts(own_platform: Platform, own_postgres: PostgresServer) -> None:
    tenant = own_platform.make_tenant("phoenix")
    async with serving(own_platform) as site:

        async def ask() -> int:
            return (await site.client(tenant.host).get("/invitation/none")).status_code

        assert await asyncio.gather(*(ask() for _ in range(4))) == [404] * 4
        await asyncio.to_thread(own_postgres.stop)
        deadline = time.monotonic() + 20
        while (status := await ask()) == 404:  # a backend may outlive the postmaster for a moment
            assert time.monotonic() < deadline
        assert status == 503
        health = await site.client("pod.address").get("/health")
        assert health.status_code == 503
        assert tenant.slug not in health.text
        assert str(tenant.id) not in health.text
        await asyncio.to_thread(own_postgres.start)
        deadline = time.monotonic() + 20
        while (status := await ask()) != 404:
            assert status == 503
            assert time.monotonic() < deadline
        assert await asyncio.gather(*(ask() for _ in range(4))) == [404] * 4
        await eventually(lambda: site.services.registry.connected, 20)


async def test_what_takes_too_long_is_stopped(platform: Platform) -> None:
    tenant = platform.make_tenant("slow")
    async with serving(platform) as site:
        with tenant.as_admin() as connection:
            connection.execute(
                sql.SQL("ALTER ROLE {} IN DATABASE {} SET statement_timeout = '50ms'").format(
                    sql.Identifier(f"{tenant.prefix}_app"), sql.Identifier(tenant.prefix)
                )
            )
        async with database(site, tenant).transaction(readonly=True) as tx:
            with pytest.raises(psycopg.errors.QueryCanceled):
                await tx.execute("SELECT pg_sleep(5)")


class TestPools:
    """Small, shared fairly, never more than allowed."""

    async def test_the_process_total_is_kept(self, platform: Platform) -> None:
        tenants = [platform.make_tenant(f"pool-{number}") for number in range(4)]
        async with serving(platform, HOA_POOL_MAX_TOTAL="3") as site:

            async def use(tenant: MadeTenant) -> None:
                async with database(site, tenant).transaction(readonly=True) as tx:
                    await tx.execute("SELECT pg_sleep(0.02)")
                assert site.services.pools.reserved <= 3

            await asyncio.gather(*(use(tenant) for tenant in tenants * 10))
            assert site.services.pools.reserved <= 3

    async def test_the_least_recently_used_goes_first(self, platform: Platform) -> None:
        first, second, third = (platform.make_tenant(f"lru-{number}") for number in range(3))
        async with serving(platform, HOA_POOL_MAX_TOTAL="2", HOA_POOL_TENANT_SHARE="0.1") as site:
            for tenant in (first, second, first, third):
                async with database(site, tenant).transaction(readonly=True) as tx:
                    await tx.execute("SELECT 1")
            assert set(site.services.pools.opened()) == {first.id, third.id}

    async def test_one_tenant_gets_its_share(self, platform: Platform) -> None:
        tenant = platform.make_tenant("greedy", limits={"databaseConnections": 6})
        async with serving(platform, HOA_POOL_TENANT_SHARE="0.5") as site:
            most = 0

            async def use() -> None:
                nonlocal most
                async with database(site, tenant).transaction(readonly=True) as tx:
                    row: Any = await (
                        await tx.execute(
                            "SELECT count(*) AS n, pg_sleep(0.05) FROM pg_stat_activity WHERE usename = current_user"
                        )
                    ).fetchone()
                    most = max(most, row["n"])

            await asyncio.gather(*(use() for _ in range(40)))
            assert most == 3

    async def test_idle_pools_close(self, platform: Platform) -> None:
        tenant = platform.make_tenant("idle")
        async with serving(platform, HOA_POOL_IDLE_SECONDS="1") as site:
            async with database(site, tenant).transaction(readonly=True) as tx:
                await tx.execute("SELECT 1")
            assert tenant.id in site.services.pools.opened()
            await eventually(lambda: tenant.id not in site.services.pools.opened())

    async def test_all_busy_is_said_in_time(self, platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
        first, second = platform.make_tenant("busy-1"), platform.make_tenant("busy-2")
        async with serving(platform, HOA_POOL_MAX_TOTAL="1") as site:
            quick = pools.PoolLimits(1, 60, 0.5, wait_seconds=0.2)
            monkeypatch.setattr(site.services.pools, "_limits", quick)
            async with database(site, first).transaction(readonly=True):
                with pytest.raises(Problem) as caught:
                    async with database(site, second).transaction(readonly=True):
                        pytest.fail("there was no room")
            assert (caught.value.status, caught.value.headers["Retry-After"]) == (503, "2")
            async with database(site, second).transaction(readonly=True) as tx:
                await tx.execute("SELECT 1")

    async def test_reading_cannot_write(self, platform: Platform, site: Site, seabreeze: MadeTenant) -> None:
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            async with database(site, seabreeze).transaction(readonly=True) as tx:
                await tx.execute("DELETE FROM settings")

    async def test_what_fails_is_rolled_back(self, site: Site, seabreeze: MadeTenant) -> None:
        async def half() -> None:
            async with database(site, seabreeze).transaction() as tx:
                await tx.execute("INSERT INTO settings (key, value) VALUES ('half', '1')")
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await half()
        async with database(site, seabreeze).transaction(readonly=True) as tx:
            assert await (await tx.execute("SELECT 1 FROM settings WHERE key = 'half'")).fetchone() is None

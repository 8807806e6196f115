"""A request asks its database who somebody is, and then what they want: by one connection, if nothing comes in between."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from uuid import uuid4

import psycopg
import pytest

from hoa_app.db.session import TenantDatabase
from tests.contract.app.conftest import serving

if TYPE_CHECKING:
    from tests.contract.app.browser import Site
    from tests.contract.app.platform import MadeTenant, Platform


def database(site: Site, tenant: MadeTenant) -> TenantDatabase:
    known = site.services.registry.get(tenant.id)
    assert known is not None
    return TenantDatabase(site.services.pools, known)


async def test_what_follows_at_once_has_the_same_connection(site: Site, seabreeze: MadeTenant) -> None:
    db, key = database(site, seabreeze), f"lending-{uuid4().hex}"
    async with db.glance() as asked:
        await asked.execute("SELECT 1")
    async with db.transaction() as wanted:
        assert wanted is asked
        await wanted.execute("INSERT INTO settings (key, value) VALUES (%s, '1')", (key,))
    async with database(site, seabreeze).transaction(readonly=True) as tx:
        assert await (await tx.execute("SELECT FROM settings WHERE key = %s", (key,))).fetchone() is not None


async def test_it_is_only_kept_once(site: Site, seabreeze: MadeTenant) -> None:
    db = database(site, seabreeze)
    async with db.glance() as asked:
        await asked.execute("SELECT 1")
    async with db.transaction(readonly=True) as first, db.transaction(readonly=True) as second:
        assert first is asked
        assert second is not asked


async def test_whoever_waits_in_between_gives_it_back(platform: Platform) -> None:
    tenant = platform.make_tenant("single", limits={"databaseConnections": 2})
    async with serving(platform) as site:  # a process has half of them: one
        waits, wants = database(site, tenant), database(site, tenant)
        async with waits.glance() as asked:
            await asked.execute("SELECT 1")
        await asyncio.sleep(0)
        async with wants.transaction(readonly=True) as tx:
            await tx.execute("SELECT 1")
        async with waits.transaction(readonly=True) as tx:
            await tx.execute("SELECT 1")


async def test_what_failed_is_not_kept(site: Site, seabreeze: MadeTenant) -> None:
    db = database(site, seabreeze)
    with pytest.raises(psycopg.errors.DivisionByZero):
        async with db.glance() as asked:
            await asked.execute("SELECT 1 / 0")
    async with db.transaction(readonly=True) as tx:
        await tx.execute("SELECT 1")

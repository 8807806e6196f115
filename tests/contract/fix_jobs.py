"""Both sides at once: what the operator makes, filled by the app's real Job, and reached through the app's own pool."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest_asyncio

from hoa_app.db.pools import PoolLimits, Pools
from hoa_app.db.session import TenantDatabase
from hoa_app.metrics import Metrics
from hoa_app.migrations import serving
from hoa_app.tenancy.tenant import Database, KeyRing, SigningKey, Tenant
from hoa_operator.postgres import TEMPLATE_MIGRATOR, TEMPLATE_OWNER, DatabaseSpec, role_name, template_name
from tests.contract.servers import RealServer, app_of, migrator_of, new_spec, owner_of, writer_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import psycopg

APP = Path(__file__).resolve().parents[2] / "app"
HEAD = serving.head()


async def run_job(
    server: RealServer, dbname: str, user: str, password: str, *arguments: str, **more: str
) -> dict[str, Any]:
    """Run the Job's command the way its pod does; returns the result with the exit code."""
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(APP),
        "PGHOST": server.access.host,
        "PGPORT": str(server.access.port),
        "PGDATABASE": dbname,
        "PGUSER": user,
        "PGPASSWORD": password,
        "PGSSLMODE": "prefer",
        "HOA_TARGET_REVISION": HEAD,
        "HOA_TERMINATION_LOG": os.devnull,
        **more,
    }
    job = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "hoa_app.migrate", *arguments, env=environment,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await job.communicate()
    assert out, err.decode()
    assert password not in (out + err).decode()
    return {**json.loads(out), "exit": job.returncode}


async def migrate_tenant(server: RealServer, spec: DatabaseSpec, **more: str) -> dict[str, Any]:
    """Run the tenant's Job with the environment the operator gives it."""
    given = {
        "HOA_OWNER_ROLE": owner_of(spec),
        "HOA_TENANT_ID": str(spec.tenant_id),
        "HOA_APP_ROLE": role_name(spec.tenant_id, "app"),
        "HOA_APP_ROLE_B": role_name(spec.tenant_id, "app_b"),
        "HOA_WRITER_ROLE": writer_of(spec),
        "HOA_USAGE_ROLE": migrator_of(spec),
        "HOA_TENANT_SLUG": "seabreeze",
        "HOA_DISPLAY_NAME": "Seabreeze Management",
        "HOA_TIME_ZONE": "America/New_York",
        "HOA_ADMIN_EMAIL": "dana@seabreeze.example",
        "HOA_ADMIN_NAME": "Dana Reyes",
    }
    return await run_job(server, spec.database, migrator_of(spec), spec.migrator_password, **{**given, **more})


@pytest_asyncio.fixture(scope="session")
async def golden(server: RealServer, template: str) -> str:
    """A template at the app's head, filled by the real Job; its own revision number, for the other tests use small ones."""
    door = server.door("golden")
    password = "the-golden-template-password"
    revision = HEAD if template != HEAD else f"{HEAD}_golden"
    await door.ensure_template(revision, password)
    result = await run_job(
        server, template_name(revision), TEMPLATE_MIGRATOR, password, "--template", HOA_OWNER_ROLE=TEMPLATE_OWNER
    )
    assert (result["exit"], result["result"], result["revision"]) == (0, "ok", HEAD), result
    await door.seal_template(revision)
    await door.close()
    return revision


@dataclass(frozen=True)
class Pair:
    """Two tenants, migrated."""

    ours: DatabaseSpec
    theirs: DatabaseSpec


@pytest_asyncio.fixture(scope="session")
async def pair(server: RealServer, golden: str) -> AsyncIterator[Pair]:
    """Two migrated tenants for all the tests that change nothing of them."""
    door = server.door("pair")
    made = Pair(new_spec(template=golden), new_spec(template=golden))
    for spec in (made.ours, made.theirs):
        await door.ensure(spec)
        result = await migrate_tenant(server, spec)
        assert (result["exit"], result["fromRevision"], result["invitation"]) == (0, HEAD, "Created"), result
    yield made
    await door.close()


def as_app(server: RealServer, spec: DatabaseSpec, tenant: str | None = None) -> psycopg.Connection[dict[str, Any]]:
    """Log in as the app does: the setting comes with the connection, also where the role cannot carry it."""
    named = str(spec.tenant_id) if tenant is None else tenant
    return server.login(app_of(spec), spec.app_password, spec.database, options=f"-c app.current_tenant={named}")


@asynccontextmanager
async def app_database(
    server: RealServer, spec: DatabaseSpec, *, at: DatabaseSpec | None = None, state: Any = "Active"
) -> AsyncIterator[TenantDatabase]:
    """The app's door to the tenant's database, through a pool as the app opens it; `at` leads it to another one."""
    found = at or spec
    access = server.access
    where = Database(access.host, access.port, found.database, app_of(found), "disable", found.app_password)
    keys = KeyRing((SigningKey("one", bytes(32)),))
    tenant = Tenant(
        spec.tenant_id, "seabreeze", ("seabreeze.localhost",), "Seabreeze Management", state, "small", where, keys
    )
    pools = Pools(PoolLimits(), Metrics())
    yield TenantDatabase(pools, tenant)
    await pools.close()

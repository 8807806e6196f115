"""Tenants' databases without Kubernetes: made by the operator's own door, finished by the migration Job's own code."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeVar
from uuid import UUID, uuid4

import psycopg
from psycopg import sql

from hoa_app import migrate
from hoa_operator.postgres import (
    MIGRATOR,
    TEMPLATE_MIGRATOR,
    TEMPLATE_OWNER,
    AdminLogin,
    DatabaseIdentity,
    DatabaseSpec,
    PostgresServer,
    ServerAddress,
    database_name,
    role_name,
    template_name,
)
from hoa_operator.scram import generate_password
from tests.overlay import HEAD
from tests.programs import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tests.fix_postgres import PostgresAccess

T = TypeVar("T")
INSTALLATION: Final = "bench/hoa-connect"
#: How many tenants are worked on at once: as many as the chart lets the operator start Jobs of.
AT_ONCE: Final = 12


@dataclass(frozen=True)
class Tenant:
    """A tenant and the passwords it shall have."""

    id: UUID = field(default_factory=uuid4)
    app_password: str = field(default_factory=generate_password)
    migrator_password: str = field(default_factory=generate_password)

    @property
    def database(self) -> str:
        """Name of its database."""
        return database_name(self.id)

    def spec(self, template: str | None = HEAD) -> DatabaseSpec:
        """Return what its database shall be; without a template it begins empty."""
        return DatabaseSpec(
            identity=DatabaseIdentity(self.id, self.id, INSTALLATION),
            connection_limit=10,
            statement_timeout_ms=30_000,
            template=template,
            app_password=self.app_password,
            migrator_password=self.migrator_password,
        )


@dataclass(frozen=True)
class Databases:
    """One Postgres with the databases of tenants."""

    access: PostgresAccess

    @property
    def address(self) -> ServerAddress:
        """Where it answers."""
        return ServerAddress(self.access.host, self.access.port)

    def door(self) -> PostgresServer:
        """Open the operator's door, for one event loop."""
        login = AdminLogin(self.address, self.access.username, self.access.password)
        return PostgresServer(login, identity="bench", installation=INSTALLATION)

    def make_template(self) -> None:
        """Have the template of the current schema made and sealed, as the operator and its Job do."""
        asyncio.run(self._make_template())

    async def _make_template(self) -> None:
        door, password = self.door(), generate_password()
        await door.lock_front_doors()
        await door.ensure_template(HEAD, password)
        environment = self._login(template_name(HEAD), TEMPLATE_MIGRATOR, password)
        environment |= {"HOA_OWNER_ROLE": TEMPLATE_OWNER, "HOA_TARGET_REVISION": HEAD}
        await asyncio.to_thread(run_job, environment, "--template")
        await door.seal_template(HEAD)
        assert await door.template_ready(HEAD)
        await door.close()

    def job(self, tenant: Tenant) -> dict[str, str]:
        """Return the environment of a tenant's migration Job."""
        return {
            **self._login(tenant.database, role_name(tenant.id, MIGRATOR), tenant.migrator_password),
            "HOA_OWNER_ROLE": role_name(tenant.id, "owner"),
            "HOA_APP_ROLE": role_name(tenant.id, "app"),
            "HOA_APP_ROLE_B": role_name(tenant.id, "app_b"),
            "HOA_WRITER_ROLE": role_name(tenant.id, "writer"),
            "HOA_USAGE_ROLE": role_name(tenant.id, MIGRATOR),
            "HOA_TENANT_ID": str(tenant.id),
            "HOA_TARGET_REVISION": HEAD,
            "HOA_ADMIN_EMAIL": "owner@bench.example",
            "HOA_ADMIN_NAME": "Olive Owner",
        }

    def _login(self, database: str, role: str, password: str) -> dict[str, str]:
        return {
            "PGHOST": self.access.host,
            "PGPORT": str(self.access.port),
            "PGDATABASE": database,
            "PGUSER": role,
            "PGPASSWORD": password,
            "PGSSLMODE": "prefer",
        }

    def make(self, tenants: Sequence[Tenant], migrations: ProcessPoolExecutor, template: str | None = HEAD) -> None:
        """Make databases as the operator and the Jobs do, several at once; a Job's code runs without starting Python anew."""
        asyncio.run(self._make(tenants, migrations, template))

    async def _make(self, tenants: Sequence[Tenant], migrations: ProcessPoolExecutor, template: str | None) -> None:
        door, loop = self.door(), asyncio.get_running_loop()

        async def one(tenant: Tenant) -> None:
            await door.ensure(tenant.spec(template))
            revision = await loop.run_in_executor(migrations, migrate_here, self.job(tenant))
            assert revision == HEAD

        await several(one, tenants)
        await door.close()

    def drop(self, tenants: Sequence[Tenant]) -> None:
        """Take databases and roles away."""
        with psycopg.connect(self.access.dsn(), autocommit=True) as connection:
            for tenant in tenants:
                connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(tenant.database)))
                for kind in ("app", "migrator", "writer", "owner"):
                    role = sql.Identifier(role_name(tenant.id, kind))
                    connection.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(role))

    def look(self, tenant: Tenant, query: str) -> tuple[object, ...]:
        """Return the one row of a superuser's query in a tenant's database."""
        with psycopg.connect(self.access.dsn(tenant.database)) as connection:
            row = connection.execute(query.encode()).fetchone()
        assert row is not None
        return row


async def several(work: Callable[[T], Awaitable[None]], things: Sequence[T], at_once: int = AT_ONCE) -> None:
    """Do one thing after the other, several at once; an error ends it."""
    slots = asyncio.Semaphore(at_once)

    async def one(thing: T) -> None:
        async with slots:
            await work(thing)

    async with asyncio.TaskGroup() as group:
        for thing in things:
            group.create_task(one(thing))


@contextmanager
def migrations() -> Iterator[ProcessPoolExecutor]:
    """Processes that run the migration Job's code again and again, one a core."""
    with ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("spawn")) as pool:
        yield pool


def migrate_here(environment: Mapping[str, str]) -> str | None:
    """Do in this process what the migration Job does, but for starting Python; return the revision it came to."""
    os.environ.update(environment)
    result = migrate.Result()
    migrate.run(migrate.Job.from_env(environment, template=False), result)
    return result.revision


def run_job(environment: Mapping[str, str], *arguments: str) -> None:
    """Run the migration Job as a process of its own."""
    given = {"PATH": os.environ["PATH"], "PYTHONPATH": str(REPOSITORY / "app"), "HOA_TERMINATION_LOG": os.devnull}
    command = [sys.executable, "-m", "hoa_app.migrate", *arguments]
    ended = subprocess.run(
        command, env={**given, **environment}, capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr

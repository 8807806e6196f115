"""A platform without Kubernetes: a registry and tenant databases as the operator's own code makes them, in a real Postgres."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import secrets
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import psycopg
from cryptography.fernet import Fernet
from psycopg import sql
from psycopg.conninfo import make_conninfo
from psycopg.types.json import Jsonb

from hoa_app.migrations import serving
from hoa_operator import registry_setup
from hoa_operator.postgres import AdminLogin, DatabaseIdentity, DatabaseSpec, PostgresServer, ServerAddress
from hoa_operator.postgres.names import ROLE_KINDS, TEMPLATE_MIGRATOR, TEMPLATE_OWNER, template_name
from hoa_operator.registry_setup import ConnectionDirectory
from hoa_operator.scram import generate_password
from tests.contract.fix_registry import cluster_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterator

    from tests.fix_postgres import PostgresAccess
    from tests.overlay import Release

ROOT = Path(__file__).resolve().parents[3]

IDENTITY = "app-tests"
LIMITS: dict[str, Any] = {
    "requestsPerSecond": 1000,
    "concurrentRequests": 100,
    "databaseConnections": 10,
    "statementTimeoutMs": 30000,
    "storageBytes": 10 * 1024**3,
    "homeownersMax": None,
}


@dataclass
class MadeTenant:
    """A tenant as the test knows it: everything the registry seals, in the clear."""

    platform: Platform
    slug: str
    id: UUID
    app_password: str = field(default_factory=generate_password)
    migrator_password: str = field(default_factory=generate_password)
    keys: list[dict[str, str]] = field(default_factory=lambda: [new_key()])
    admin_email: str = ""
    login: str = "app"
    limits: dict[str, Any] = field(default_factory=lambda: dict(LIMITS))

    @property
    def prefix(self) -> str:
        return f"hoa_connect_tenant_{self.id.hex}"

    @property
    def host(self) -> str:
        return f"{self.slug}.localhost"

    @contextmanager
    def as_admin(self) -> Iterator[psycopg.Connection[Any]]:
        """The superuser in the tenant's database, acting for the tenant."""
        with psycopg.connect(self.platform.access.dsn(self.prefix), autocommit=True) as connection:
            connection.execute("SELECT set_config('app.current_tenant', %s, false)", (str(self.id),))
            yield connection

    @contextmanager
    def as_app(self) -> Iterator[psycopg.Connection[Any]]:
        """The app's own login."""
        with psycopg.connect(self.dsn(self.login), autocommit=True) as connection:
            yield connection

    def dsn(self, role: str) -> str:
        password = self.migrator_password if role == "migrator" else self.app_password
        access = self.platform.access
        return make_conninfo(
            host=access.host, port=access.port, dbname=self.prefix, user=f"{self.prefix}_{role}", password=password
        )

    def set_state(self, state: str) -> None:
        """Change the tenant's state as the operator would: in the database first."""
        self.platform.make_database(self, read_only=state == "ReadOnly", suspended=state == "Suspended")
        self.update(state=state)

    def update(self, **columns: Any) -> None:
        """Change the registry's row as the operator would."""
        sets = sql.SQL(", ").join(
            sql.SQL("{} = {}").format(sql.Identifier(name), sql.Placeholder()) for name in columns
        )
        values = [Jsonb(value) if isinstance(value, dict) else value for value in columns.values()]
        with psycopg.connect(self.platform.access.dsn(self.platform.registry), autocommit=True) as connection:
            connection.execute(sql.SQL("UPDATE tenants SET {} WHERE tenant_id = %s").format(sets), [*values, self.id])


def by_the_operator(work: Coroutine[Any, Any, Any]) -> None:
    """Run what is the operator's part to its end, apart from any loop of the test."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, work).result()


def new_key() -> dict[str, str]:
    return {
        "kid": secrets.token_hex(8),
        "k": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode().rstrip("="),
        "createdAt": "2026-01-01T00:00:00Z",
    }


class Platform:
    """One registry with its reader, a sealing key, and the tenants made so far."""

    def __init__(self, access: PostgresAccess, folder: Path) -> None:
        self.access = access
        self.folder = folder
        suffix = secrets.token_hex(4)
        self.registry = f"hoa_connect_registry_{suffix}"
        self.reader = f"hoa_connect_registry_reader_{suffix}"
        self.reader_password = secrets.token_urlsafe(16)
        self.sealing_key = Fernet.generate_key()
        self.tenants: list[MadeTenant] = []
        self._make_registry()

    def _make_registry(self) -> None:
        """Have the operator set the registry up: its database, the reader's role, its migrations."""
        admin = self.folder / "registry-admin"
        self._write(admin, self.access.username, self.access.password)
        self._write(self.registry_dir, self.reader, self.reader_password)
        directories = (ConnectionDirectory.read(admin), ConnectionDirectory.read(self.registry_dir))
        by_the_operator(registry_setup.set_up(*directories, IDENTITY, self.registry, cluster_of()))
        self.sealing_keys_file.write_bytes(self.sealing_key)

    def _write(self, directory: Path, username: str, password: str) -> None:
        values = {
            "host": self.access.host,
            "port": str(self.access.port),
            "dbname": self.registry,
            "username": username,
            "password": password,
            "sslmode": "prefer",
        }
        directory.mkdir(parents=True)
        for name, value in values.items():
            (directory / name).write_text(value)

    @property
    def registry_dir(self) -> Path:
        return self.folder / "registry"

    @property
    def sealing_keys_file(self) -> Path:
        return self.folder / "sealing-keys"

    def environment(self, **more: str) -> dict[str, str]:
        """Settings for the app and the worker."""
        return {
            "HOA_REGISTRY_DIR": str(self.registry_dir),
            "HOA_SEALING_KEYS_FILE": str(self.sealing_keys_file),
            "HOA_STORAGE_URL": f"file://{self.folder / 'files'}",
            "HOA_BASE_DOMAIN": "localhost",
            "HOA_APP_VERSION": "test",
            **more,
        }

    def make_tenant(
        self, slug: str, *, state: str = "Active", limits: dict[str, Any] | None = None, release: Release | None = None
    ) -> MadeTenant:
        """Roles and database, migration Job (of another version, if given), registry row: what the operator does."""
        tenant = self.new_tenant(slug, **(limits or {}))
        self.make_database(tenant)
        outcome = self.run_job(tenant, **(release.job() if release else {}))
        assert outcome.returncode == 0, outcome.stdout + outcome.stderr
        self.register(tenant, state=state)
        if release is not None:
            tenant.update(schema_revision=release.revision)
        self.tenants.append(tenant)
        return tenant

    def new_tenant(self, slug: str, **limits: Any) -> MadeTenant:
        """A tenant with an id, credentials and an admin, of which nothing is made yet."""
        return MadeTenant(self, slug, uuid4(), admin_email=f"owner@{slug}.example", limits={**LIMITS, **limits})

    def make_database(self, tenant: MadeTenant, **state: Any) -> None:
        """Have the operator make the tenant's roles and database, or bring them to another state (`DatabaseSpec`)."""
        by_the_operator(self._ensure(tenant, **state))

    def rotate(self, tenant: MadeTenant) -> None:
        """Have the operator put new credentials in force; the ones before are good until `retire`."""
        tenant.login = "app_b" if tenant.login == "app" else "app"
        tenant.app_password, tenant.migrator_password = generate_password(), generate_password()
        tenant.keys.insert(0, new_key())
        self.make_database(tenant, overlapping=True)
        tenant.update(
            database=self.database(tenant),
            sealed_password=self.seal(tenant.app_password),
            sealed_signing_keys=self.seal(json.dumps(tenant.keys)),
        )

    def retire(self, tenant: MadeTenant) -> None:
        """Have the operator close the login before the last rotation."""
        self.make_database(tenant)

    def make_template(self) -> None:
        """Have the operator make the template of this schema, its migration Job included; tenants can then be cloned."""
        password = generate_password()
        by_the_operator(self._at_the_door(lambda door: door.ensure_template(serving.head(), password)))
        environment = {
            **self.server_environment(),
            "PGDATABASE": template_name(serving.head()),
            "PGUSER": TEMPLATE_MIGRATOR,
            "PGPASSWORD": password,
            "HOA_OWNER_ROLE": TEMPLATE_OWNER,
            "HOA_TERMINATION_LOG": str(self.folder / "template.termination"),
        }
        command = [sys.executable, "-m", "hoa_app.migrate", "--template"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        by_the_operator(self._at_the_door(lambda door: door.seal_template(serving.head())))

    async def _at_the_door(self, work: Callable[[PostgresServer], Awaitable[Any]]) -> None:
        address = ServerAddress(self.access.host, self.access.port)
        login = AdminLogin(address, self.access.username, self.access.password)
        door = PostgresServer(login, identity=IDENTITY, installation=self.registry)
        await work(door)
        await door.close()

    async def _ensure(self, tenant: MadeTenant, **state: Any) -> None:
        spec = DatabaseSpec(
            identity=DatabaseIdentity(tenant.id, tenant.id, self.registry),
            connection_limit=tenant.limits["databaseConnections"],
            statement_timeout_ms=tenant.limits["statementTimeoutMs"],
            login=tenant.login,
            app_password=tenant.app_password,
            migrator_password=tenant.migrator_password,
            **state,
        )
        await self._at_the_door(lambda door: door.ensure(spec))

    def server_environment(self) -> dict[str, str]:
        """What every migration Job is told of its server and its version."""
        return {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT / "app"),
            "PGHOST": self.access.host,
            "PGPORT": str(self.access.port),
            "PGSSLMODE": "prefer",
            "HOA_TARGET_REVISION": serving.head(),
        }

    def job_environment(self, tenant: MadeTenant, **more: str) -> dict[str, str]:
        return {
            **self.server_environment(),
            "PGDATABASE": tenant.prefix,
            "PGUSER": f"{tenant.prefix}_migrator",
            "PGPASSWORD": tenant.migrator_password,
            "HOA_OWNER_ROLE": f"{tenant.prefix}_owner",
            "HOA_APP_ROLE": f"{tenant.prefix}_app",
            "HOA_APP_ROLE_B": f"{tenant.prefix}_app_b",
            "HOA_WRITER_ROLE": f"{tenant.prefix}_writer",
            # Not the migrator, as the operator says, but the superuser: so the tests may look and act for the tenant.
            "HOA_USAGE_ROLE": self.access.username,
            "HOA_TENANT_ID": str(tenant.id),
            "HOA_TENANT_SLUG": tenant.slug,
            "HOA_DISPLAY_NAME": f"{tenant.slug.title()} Management",
            "HOA_TIME_ZONE": "America/Los_Angeles",
            "HOA_ADMIN_EMAIL": tenant.admin_email,
            "HOA_ADMIN_NAME": "Olive Owner",
            "HOA_TERMINATION_LOG": str(self.folder / f"{tenant.slug}.termination"),
            **more,
        }

    def run_job(self, tenant: MadeTenant, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        """The migration Job as a process of its own."""
        return subprocess.run(
            [sys.executable, "-m", "hoa_app.migrate", *arguments],
            env=self.job_environment(tenant, **more),
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def start_job(self, tenant: MadeTenant, **more: str) -> subprocess.Popen[str]:
        """The migration Job as a process that the test ends."""
        command = [sys.executable, "-m", "hoa_app.migrate"]
        return subprocess.Popen(
            command, env=self.job_environment(tenant, **more), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def register(self, tenant: MadeTenant, *, state: str = "Active") -> None:
        row = {
            "tenant_id": tenant.id,
            "uid": tenant.id,
            "namespace": "hoa-connect",
            "name": tenant.slug,
            "slug": tenant.slug,
            "hosts": [tenant.host],
            "display_name": f"{tenant.slug.title()} Management",
            "state": state,
            "placement": "Shared",
            "tier": "small",
            "limits": Jsonb(tenant.limits),
            "branding": Jsonb({"primaryColor": "#123456", "supportEmail": f"help@{tenant.slug}.example"}),
            "database": Jsonb(self.database(tenant)),
            "sealed_password": self.seal(tenant.app_password),
            "sealed_signing_keys": self.seal(json.dumps(tenant.keys)),
            "schema_revision": serving.head(),
        }
        columns = sql.SQL(", ").join(map(sql.Identifier, row))
        places = sql.SQL(", ").join(sql.Placeholder() * len(row))
        with psycopg.connect(self.access.dsn(self.registry), autocommit=True) as connection:
            connection.execute(sql.SQL("INSERT INTO tenants ({}) VALUES ({})").format(columns, places), [*row.values()])

    def database(self, tenant: MadeTenant) -> dict[str, Any]:
        return {
            "host": self.access.host,
            "port": self.access.port,
            "dbname": tenant.prefix,
            "username": f"{tenant.prefix}_{tenant.login}",
            "sslmode": "prefer",
        }

    def seal(self, text: str) -> bytes:
        return Fernet(self.sealing_key).encrypt(text.encode())

    def destroy(self) -> None:
        """Leave the server as it was found."""
        with psycopg.connect(self.access.dsn(), autocommit=True) as connection:
            for tenant in self.tenants:
                self.drop(connection, tenant)
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(self.registry)))
            connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(self.reader)))

    def drop(self, connection: psycopg.Connection[Any], tenant: MadeTenant) -> None:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(tenant.prefix)))
        for role in reversed(ROLE_KINDS):
            connection.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(f"{tenant.prefix}_{role}")))

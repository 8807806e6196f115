"""A real server with an admin login of one of the two kinds the operator supports, and the helpers that look behind its back."""

from __future__ import annotations

import secrets
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import psycopg
from psycopg.rows import dict_row

from hoa_operator.postgres import (
    AdminLogin,
    DatabaseIdentity,
    DatabaseSpec,
    OwnershipProof,
    PostgresServer,
    ServerAddress,
    database_name,
    role_name,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fix_postgres import PostgresAccess

INSTALLATION = "contract-tests"


@dataclass(frozen=True)
class RealServer:
    """A Postgres, its superuser for looking, and the admin login under test."""

    access: PostgresAccess
    admin: AdminLogin
    superuser: bool
    log: Path | None

    def door(self, identity: str = "one", **options: Any) -> PostgresServer:
        """Open another door of the operator to this server."""
        return PostgresServer(self.admin, identity=identity, **{"installation": INSTALLATION, **options})

    @contextmanager
    def look(self, dbname: str = "postgres") -> Iterator[psycopg.Connection[dict[str, Any]]]:
        """Open a superuser's autocommit session."""
        with psycopg.connect(self.access.dsn(dbname), autocommit=True, row_factory=dict_row) as connection:
            yield connection

    def all(self, query: str, *values: object, dbname: str = "postgres") -> list[dict[str, Any]]:
        """Return the rows of a superuser's query."""
        with self.look(dbname) as connection:
            return connection.execute(query.encode(), values).fetchall()

    def one(self, query: str, *values: object, dbname: str = "postgres") -> Any:
        """Return the only value of a superuser's query."""
        rows = self.all(query, *values, dbname=dbname)
        assert len(rows) == 1, rows
        return next(iter(rows[0].values()))

    def run(self, *statements: str, dbname: str = "postgres") -> None:
        """Run statements as the superuser."""
        with self.look(dbname) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def databases(self) -> set[str]:
        """Return every database's name."""
        return {row["datname"] for row in self.all("SELECT datname FROM pg_database")}

    def sweep(self, before: set[str]) -> None:
        """Drop what a test made and left since `before`, but templates: hundreds of databases make a slow server."""
        made = [name for name in self.databases() - before if not name.startswith("hoa_connect_template_")]
        self.run(*(f'DROP DATABASE "{name}" WITH (FORCE)' for name in made))

    def login(self, role: str, password: str, dbname: str, **options: Any) -> psycopg.Connection[dict[str, Any]]:
        """Log in as somebody else; the caller closes."""
        return psycopg.connect(
            host=self.access.host,
            port=self.access.port,
            user=role,
            password=password,
            dbname=dbname,
            connect_timeout=5,
            autocommit=True,
            row_factory=dict_row,
            **options,
        )

    def sees(self, role: str, password: str, dbname: str) -> str | None:
        """Return None if the role gets into the database, else the server's refusal."""
        try:
            self.login(role, password, dbname).close()
        except psycopg.OperationalError as error:
            return str(error)
        return None

    def log_since(self, mark: int) -> str:
        """Return what the server logged since `mark`, a size of the log file."""
        assert self.log is not None
        with self.log.open("rb") as log:
            log.seek(mark)
            return log.read().decode(errors="replace")

    @property
    def log_size(self) -> int:
        """Bytes logged until now."""
        assert self.log is not None
        return self.log.stat().st_size


def new_spec(**changes: Any) -> DatabaseSpec:
    """Return the spec of a tenant nobody has seen before."""
    identity = DatabaseIdentity(tenant_id=uuid4(), uid=uuid4(), installation=INSTALLATION)
    spec = DatabaseSpec(
        identity=identity,
        connection_limit=10,
        statement_timeout_ms=30_000,
        app_password=secrets.token_urlsafe(24),
        migrator_password=secrets.token_urlsafe(24),
    )
    return replace(spec, **changes)


async def proof_of(door: PostgresServer, spec: DatabaseSpec) -> OwnershipProof:
    """Return the proof as the registry would have recorded it."""
    observed = await door.observe(spec.tenant_id)
    oid = observed.oid if observed.exists else None
    return OwnershipProof(spec.tenant_id, spec.identity.uid, oid, observed.system_identifier)


def app_of(spec: DatabaseSpec) -> str:
    """Name the role that the app logs in as."""
    return role_name(spec.tenant_id, spec.login)


def migrator_of(spec: DatabaseSpec) -> str:
    """Name the spec's migrator role."""
    return role_name(spec.tenant_id, "migrator")


def writer_of(spec: DatabaseSpec) -> str:
    """Name the spec's writer role."""
    return role_name(spec.tenant_id, "writer")


def owner_of(spec: DatabaseSpec) -> str:
    """Name the spec's owner role."""
    return role_name(spec.tenant_id, "owner")


def database_of(tenant_id: UUID) -> str:
    """Name a tenant's live database."""
    return database_name(tenant_id)


def make_limited_admin(access: PostgresAccess) -> tuple[str, str]:
    """Create the admin a managed service gives: CREATEDB and CREATEROLE, no superuser. Returns name and password."""
    name, password = "hoa_admin", secrets.token_urlsafe(16)
    with psycopg.connect(access.dsn(), autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {name} LOGIN CREATEDB CREATEROLE PASSWORD '{password}'".encode())
    return name, password


def address_of(access: PostgresAccess) -> ServerAddress:
    """Return where the server answers."""
    return ServerAddress(access.host, access.port, "disable")


async def fill_template(server: RealServer, door: PostgresServer, revision: str) -> str:
    """Make, fill and seal a template the way the template Job does; returns the migrator's password."""
    password = secrets.token_urlsafe(24)
    await door.ensure_template(revision, password)
    with server.login("hoa_connect_template_migrator", password, f"hoa_connect_template_{revision}") as connection:
        connection.execute("SET ROLE hoa_connect_template_owner")
        for statement in TEMPLATE_SCHEMA:
            connection.execute(statement)
    await door.seal_template(revision)
    return password


TEMPLATE_SCHEMA = (
    "CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)",
    "INSERT INTO alembic_version VALUES ('0001')",
    "CREATE TYPE shade AS ENUM ('light', 'dark')",
    "CREATE TABLE things (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, shade shade, note text)",
    "CREATE VIEW light_things AS SELECT * FROM things WHERE shade = 'light'",
    "CREATE FUNCTION answer() RETURNS int LANGUAGE sql AS 'SELECT 42'",
    "REVOKE EXECUTE ON FUNCTION answer() FROM PUBLIC",
    "ALTER DEFAULT PRIVILEGES IN SCHEMA public REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC",
)

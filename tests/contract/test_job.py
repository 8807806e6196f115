"""Both sides at once: what the operator makes, the app's real Job fills, and the locks inside a tenant's database hold."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import pytest_asyncio
from psycopg.types.json import Jsonb

from hoa_app import migrate
from hoa_app.settings import Settings
from hoa_app.tenancy.registry import parse_tenant
from hoa_app.tenancy.sealing import Unsealer
from hoa_operator.postgres import (
    TEMPLATE_MIGRATOR,
    TEMPLATE_OWNER,
    DatabaseSpec,
    PostgresServer,
    differences,
    template_name,
)
from hoa_operator.sealing import Sealer, SigningKey, encode_signing_keys
from tests.contract.fix_registry import Rig, new_row
from tests.contract.servers import RealServer, app_of, migrator_of, new_spec, owner_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from hoa_operator.registry import Registry

APP = Path(__file__).resolve().parents[2] / "app"
HEAD = migrate.known_revisions()[-1]
NOT_OF_A_TENANT = {"alembic_version", "tenant_identity", "tenant_roles"}


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
    given = {
        "HOA_OWNER_ROLE": owner_of(spec),
        "HOA_TENANT_ID": str(spec.tenant_id),
        "HOA_APP_ROLE": app_of(spec),
        "HOA_USAGE_ROLE": server.admin.username,
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
    door = server.door("pair")
    made = Pair(new_spec(template=golden), new_spec(template=golden))
    for spec in (made.ours, made.theirs):
        await door.ensure(spec)
        result = await migrate_tenant(server, spec)
        assert (result["exit"], result["fromRevision"], result["invitation"]) == (0, HEAD, "Created"), result
    yield made
    await door.close()


def as_app(server: RealServer, spec: DatabaseSpec) -> psycopg.Connection[dict[str, Any]]:
    """Log in as the app does: the setting comes with the connection, also where the role cannot carry it."""
    return server.login(
        app_of(spec), spec.app_password, spec.database, options=f"-c app.current_tenant={spec.tenant_id}"
    )


async def test_an_empty_database_is_filled(server: RealServer, door: PostgresServer, template: str) -> None:
    spec = new_spec()
    await door.ensure(spec)
    result = await migrate_tenant(server, spec)
    assert (result["exit"], result["fromRevision"], result["revision"], result["invitation"]) == (
        0,
        None,
        HEAD,
        "Created",
    )
    again = await migrate_tenant(server, spec)
    assert (again["exit"], again["fromRevision"], again["invitation"]) == (0, HEAD, "Exists")
    assert differences(spec, await door.observe(spec.tenant_id)) == ()


async def test_identity_and_roles_are_written(server: RealServer, pair: Pair) -> None:
    spec = pair.ours
    identity = server.all("SELECT tenant_id FROM tenant_identity", dbname=spec.database)
    assert identity == [{"tenant_id": spec.tenant_id}]
    roles = server.all("SELECT role_name::text, tenant_id FROM tenant_roles", dbname=spec.database)
    assert {row["role_name"] for row in roles} == {app_of(spec), migrator_of(spec), server.admin.username}
    assert {row["tenant_id"] for row in roles} == {spec.tenant_id}


async def test_every_table_is_forced_under_its_policy(server: RealServer, pair: Pair) -> None:
    tables = server.all(
        "SELECT c.relname AS name, c.relrowsecurity AND c.relforcerowsecurity AS forced, pg_get_userbyid(c.relowner) AS owner,"
        " EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'tenant_id' AND a.attnotnull) AS marked,"
        " (SELECT count(*) FROM pg_policy p WHERE p.polrelid = c.oid) AS policies,"
        " (SELECT bool_and(pg_get_expr(p.polqual, p.polrelid) LIKE '%%current_tenant()%%') FROM pg_policy p"
        "   WHERE p.polrelid = c.oid) AS by_tenant"
        " FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')",
        dbname=pair.ours.database,
    )
    assert len(tables) > 10
    assert {row["owner"] for row in tables} == {owner_of(pair.ours)}
    bound = [row for row in tables if row["name"] not in NOT_OF_A_TENANT]
    assert [
        row for row in bound if not (row["forced"] and row["marked"] and row["policies"] and row["by_tenant"])
    ] == []


async def test_usage_is_read(server: RealServer, door: PostgresServer, pair: Pair) -> None:
    usage = await door.usage(pair.ours.tenant_id)
    assert usage is not None
    assert (usage.tenant_id, usage.homeowners, usage.schema_revision) == (pair.ours.tenant_id, 0, HEAD)
    assert usage.welcome_mail in {"Queued", "Sent"}
    assert usage.database_bytes > 0
    nobody = new_spec()
    assert await door.usage(nobody.tenant_id) is None
    await door.ensure(nobody)
    assert await door.usage(nobody.tenant_id) is None, "no view before the first migration"


async def test_usage_is_read_without_the_admins_rights(server: RealServer, door: PostgresServer, golden: str) -> None:
    spec = new_spec(template=golden)
    await door.ensure(spec)
    result = await migrate_tenant(server, spec, HOA_USAGE_ROLE=migrator_of(spec))
    assert result["exit"] == 0, result
    usage = await door.usage(spec.tenant_id, spec.migrator_password)
    assert usage is not None
    assert usage.tenant_id == spec.tenant_id
    with server.look(spec.database) as look:
        roles = look.execute("SELECT role_name::text FROM tenant_roles").fetchall()
    assert server.admin.username not in {row["role_name"] for row in roles}


async def test_the_app_reads_and_writes_its_own_rows(server: RealServer, pair: Pair) -> None:
    with as_app(server, pair.ours) as app:
        assert app.execute("SELECT tenant_id FROM tenant_identity").fetchall() == [{"tenant_id": pair.ours.tenant_id}]
        app.execute("INSERT INTO settings (key, value) VALUES ('probe', %s)", [Jsonb(1)])
        rows = app.execute("DELETE FROM settings WHERE key = 'probe' RETURNING tenant_id").fetchall()
    assert rows == [{"tenant_id": pair.ours.tenant_id}]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE tenant_identity SET tenant_id = gen_random_uuid()",
        "INSERT INTO tenant_roles VALUES (session_user, gen_random_uuid())",
        "UPDATE tenant_roles SET tenant_id = gen_random_uuid()",
        "DELETE FROM audit_log",
        "UPDATE alembic_version SET version_num = '0000'",
        "ALTER TABLE users DISABLE ROW LEVEL SECURITY",
        "DROP POLICY tenant_isolation ON users",
        "CREATE OR REPLACE FUNCTION current_tenant() RETURNS uuid LANGUAGE sql AS 'SELECT gen_random_uuid()'",
        "CREATE TABLE mine (id int)",
        "CREATE TEMPORARY TABLE users (id int)",
        "TRUNCATE users",
    ],
)
async def test_the_app_cannot_loosen_its_own_locks(server: RealServer, pair: Pair, statement: str) -> None:
    with as_app(server, pair.ours) as app, pytest.raises(psycopg.errors.InsufficientPrivilege):
        app.execute(statement.encode())


async def test_no_set_forges_a_tenant(server: RealServer, pair: Pair) -> None:
    forged = str(pair.theirs.tenant_id)
    for option in (f"-c app.current_tenant={forged}", "-c app.current_tenant="):
        with server.login(app_of(pair.ours), pair.ours.app_password, pair.ours.database, options=option) as app:
            for statement in (
                "SELECT count(*) FROM invitations",
                "SELECT current_tenant()",
                "INSERT INTO settings (key, value) VALUES ('forged', '1')",
                "UPDATE settings SET value = '1'",
                "DELETE FROM invitations",
            ):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    app.execute(statement.encode())
    with as_app(server, pair.ours) as app:
        app.execute("SELECT set_config('app.current_tenant', %s, false)", [forged])
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            app.execute("SELECT * FROM settings")
        app.execute("SELECT set_config('app.current_tenant', %s, false)", [str(pair.ours.tenant_id)])
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            app.execute("INSERT INTO settings (key, value, tenant_id) VALUES ('forged', '1', %s)", [forged])


async def test_rows_of_another_tenant_are_not_seen_even_in_the_same_database(server: RealServer, pair: Pair) -> None:
    """A login that rightly acts for another tenant sees none of ours: what shared databases will rest on."""
    stranger = f"stranger_{pair.ours.tenant_id.hex[:8]}"
    server.run(
        f"CREATE ROLE {stranger} LOGIN PASSWORD 'a-strangers-password'",
        f'GRANT CONNECT ON DATABASE "{pair.ours.database}" TO {stranger}',
    )
    try:
        server.run(
            f"GRANT USAGE ON SCHEMA public TO {stranger}",
            f"GRANT SELECT, INSERT, DELETE ON settings TO {stranger}",
            f"INSERT INTO tenant_roles VALUES ('{stranger}', '{pair.theirs.tenant_id}')",
            dbname=pair.ours.database,
        )
        option = f"-c app.current_tenant={pair.theirs.tenant_id}"
        with server.login(stranger, "a-strangers-password", pair.ours.database, options=option) as login:
            assert login.execute("SELECT * FROM settings").fetchall() == []
            assert login.execute("DELETE FROM settings").rowcount == 0
    finally:
        server.run(
            f"DELETE FROM tenant_roles WHERE role_name = '{stranger}'",
            f"DROP OWNED BY {stranger}",
            dbname=pair.ours.database,
        )
        server.run(f"DROP ROLE {stranger}")


async def test_another_tenants_database_is_refused_by_the_job(server: RealServer, pair: Pair) -> None:
    result = await migrate_tenant(server, pair.ours, HOA_TENANT_ID=str(pair.theirs.tenant_id))
    assert (result["exit"], result["reason"]) == (2, "IdentityMismatch")
    identity = server.one("SELECT tenant_id FROM tenant_identity", dbname=pair.ours.database)
    assert identity == pair.ours.tenant_id


async def test_a_template_holds_no_tenant(server: RealServer, golden: str, pair: Pair) -> None:
    name = template_name(golden)
    server.run(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
    try:
        for table in ("tenant_identity", "tenant_roles", "users", "invitations", "settings"):
            assert server.one(f"SELECT count(*) FROM {table}", dbname=name) == 0, table
    finally:
        server.run(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')


async def test_the_app_reads_the_operators_registry(rig: Rig, registry: Registry, epoch: int, tmp_path: Path) -> None:
    keys_file = tmp_path / "keys"
    keys_file.write_text("tDmp5Va3EEa0j8y5nGoV2vCHzRHcGlkc7kmeD0FxQFE=")
    sealer = Sealer.from_file(keys_file)
    spec, row = new_spec(), new_row()
    signing = SigningKey.generate(datetime(2031, 1, 1, tzinfo=UTC))
    database = {"host": "db", "port": 5432, "dbname": spec.database, "username": app_of(spec), "sslmode": "require"}
    sealed = new_row(
        slug=row.slug, name=row.name, hosts=row.hosts, tenant_id=row.tenant_id, uid=row.uid, database=database,
        sealed_password=sealer.seal(spec.app_password.encode()),
        sealed_signing_keys=sealer.seal(encode_signing_keys([signing])),
    )  # fmt: skip
    await registry.upsert(sealed, epoch)
    with rig.server.login(rig.reader, rig.reader_password, rig.dbname) as reader:
        found = reader.execute("SELECT * FROM tenants").fetchone()
    assert found is not None
    settings = Settings.from_env(
        {
            "HOA_REGISTRY_DIR": str(rig.folder / "reader"),
            "HOA_SEALING_KEYS_FILE": str(keys_file),
            "HOA_BASE_DOMAIN": "example.test",
            "HOA_STORAGE_URL": tmp_path.as_uri(),
        }
    )
    tenant = parse_tenant(found, Unsealer(keys_file), settings)
    assert (tenant.id, tenant.slug, tenant.hosts, tenant.served) == (row.tenant_id, row.slug, row.hosts, True)
    assert (tenant.database.username, tenant.database.password) == (app_of(spec), spec.app_password)
    assert tenant.keys.signing.secret == signing.k
    assert tenant.limits.homeowners_max == 99

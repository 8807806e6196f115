"""Lock 4: row-level security inside a tenant's database holds for both kinds of admin login, and no SET forges a tenant."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import uuid4

import psycopg
import pytest
from psycopg.types.json import Jsonb

from hoa_app.problems import Problem
from tests.contract.fix_jobs import Pair, app_database, as_app
from tests.contract.servers import RealServer, owner_of

if TYPE_CHECKING:
    pass

NOT_OF_A_TENANT = {"alembic_version", "tenant_identity", "tenant_roles"}


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


async def test_the_app_reads_and_writes_its_own_rows(server: RealServer, pair: Pair) -> None:
    with as_app(server, pair.ours) as app:
        assert app.execute("SELECT tenant_id FROM tenant_identity").fetchall() == [{"tenant_id": pair.ours.tenant_id}]
        app.execute("INSERT INTO settings (key, value) VALUES ('probe', %s)", [Jsonb(1)])
        rows = app.execute("DELETE FROM settings WHERE key = 'probe' RETURNING tenant_id").fetchall()
    assert rows == [{"tenant_id": pair.ours.tenant_id}]


async def test_the_apps_pool_names_its_tenant(server: RealServer, pair: Pair) -> None:
    async with app_database(server, pair.ours) as database, database.transaction() as tx:
        await tx.execute("INSERT INTO settings (key, value) VALUES ('pooled', '1')")
        cursor = await tx.execute("DELETE FROM settings WHERE key = 'pooled' RETURNING tenant_id")
        assert await cursor.fetchall() == [{"tenant_id": pair.ours.tenant_id}]


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


REFUSED_WITH_A_FORGED_TENANT = (
    "SELECT count(*) FROM invitations",
    "SELECT * FROM settings",
    "SELECT current_tenant()",
    "INSERT INTO settings (key, value) VALUES ('forged', '1')",
    "INSERT INTO settings (key, value, tenant_id) VALUES ('forged', '1', '{theirs}')",
    "UPDATE settings SET value = '1'",
    "DELETE FROM invitations",
)


@pytest.mark.parametrize(
    "forgery",
    [
        "SET app.current_tenant = '{theirs}'",
        "SET app.current_tenant = ''",
        "SET app.current_tenant = '{nobody}'",
        "SELECT set_config('app.current_tenant', '{theirs}', false)",
    ],
)
async def test_no_set_forges_a_tenant(server: RealServer, pair: Pair, forgery: str) -> None:
    given = {"theirs": str(pair.theirs.tenant_id), "nobody": str(uuid4())}
    with as_app(server, pair.ours) as app:
        app.execute(forgery.format(**given).encode())
        for statement in REFUSED_WITH_A_FORGED_TENANT:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                app.execute(statement.format(**given).encode())
        app.execute(f"SET app.current_tenant = '{pair.ours.tenant_id}'".encode())
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"):
            app.execute(REFUSED_WITH_A_FORGED_TENANT[4].format(**given).encode())
        assert app.execute("SELECT DISTINCT tenant_id FROM settings").fetchall() == [{"tenant_id": pair.ours.tenant_id}]


async def test_no_option_of_the_connection_forges_a_tenant(server: RealServer, pair: Pair) -> None:
    for tenant in (str(pair.theirs.tenant_id), ""):
        with as_app(server, pair.ours, tenant) as app:
            for statement in REFUSED_WITH_A_FORGED_TENANT:
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    app.execute(statement.format(theirs=pair.theirs.tenant_id).encode())


async def test_a_pool_led_to_another_tenants_database_serves_nothing(server: RealServer, pair: Pair) -> None:
    led_astray = replace(pair.theirs, identity=pair.ours.identity)
    async with app_database(server, led_astray, at=pair.theirs) as database:
        with pytest.raises(Problem) as caught:
            async with database.transaction(readonly=True):
                pytest.fail("a connection was lent")
    assert caught.value.status == 503


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

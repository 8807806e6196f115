"""ReadOnly is held by the database: whatever a session of the app says, what changes a tenant's data is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import psycopg
import pytest
import pytest_asyncio
from psycopg.types.json import Jsonb

from hoa_app import grants
from hoa_app.answers import problem_of
from hoa_app.identity.accounts import Accounts
from hoa_app.identity.passwords import HASHER, Passwords
from hoa_app.identity.sessions import Client
from hoa_app.metrics import Metrics
from hoa_operator.errors import UserError
from hoa_operator.postgres import DatabaseSpec, differences
from tests.contract.fix_jobs import app_database, as_app, migrate_tenant
from tests.contract.servers import app_of, new_spec, writer_of

if TYPE_CHECKING:
    from hoa_operator.postgres import PostgresServer
    from tests.contract.servers import RealServer

INSERT = "INSERT INTO settings (key, value) VALUES ('probe', '1')"
PASSWORD = "a long enough password"


@pytest_asyncio.fixture(scope="module")
async def frozen(server: RealServer, golden: str) -> DatabaseSpec:
    """A migrated tenant that became ReadOnly, with one user."""
    door = server.door("frozen")
    spec = new_spec(template=golden)
    await door.ensure(spec)
    result = await migrate_tenant(server, spec)
    assert result["exit"] == 0, result
    with as_app(server, spec) as app:
        app.execute(
            "INSERT INTO users (email, name, role, password_hash) VALUES ('o@x.example', 'Olive', 'owner', %s)",
            [HASHER.hash(PASSWORD)],
        )
    await door.ensure(replace(spec, read_only=True))
    await door.close()
    return replace(spec, read_only=True)


@pytest.mark.parametrize(
    "say",
    [
        ("SET default_transaction_read_only = off",),
        ("SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE",),
        ("BEGIN READ WRITE",),
        ("SET default_transaction_read_only = off", "ALTER ROLE CURRENT_USER SET default_transaction_read_only = off"),
    ],
    ids=["setting", "session", "transaction", "role"],
)
async def test_no_word_of_a_session_lets_it_write(
    server: RealServer, door: PostgresServer, frozen: DatabaseSpec, say: tuple[str, ...]
) -> None:
    with as_app(server, frozen) as app:
        assert app.execute("SELECT count(*) AS users FROM users").fetchone() == {"users": 1}
        for statement in say:
            app.execute(statement.encode())
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="permission denied for table settings"):
            app.execute(INSERT)
        with pytest.raises(psycopg.Error):
            app.execute(f'SET ROLE "{writer_of(frozen)}"'.encode())
    await door.ensure(frozen)


async def test_only_the_books_may_be_written(server: RealServer, frozen: DatabaseSpec) -> None:
    """Every table of the schema, later ones too: what is not bookkeeping is closed."""
    rows = server.all(
        "SELECT c.relname AS name, string_agg(p, ', ' ORDER BY n) AS may FROM pg_class c,"
        " unnest(ARRAY['INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']) WITH ORDINALITY AS x (p, n)"
        " WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v') AND has_table_privilege(%s, c.oid, p)"
        " GROUP BY 1",
        app_of(frozen),
        dbname=frozen.database,
    )
    whole = {table: may for table, may in grants.BOOKKEEPING.items() if "(" not in may}
    assert {row["name"]: row["may"] for row in rows} == whole
    columns = server.all(
        "SELECT a.attrelid::regclass::text AS name, string_agg(a.attname, ', ' ORDER BY a.attnum) AS columns"
        " FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid WHERE c.relnamespace = 'public'::regnamespace"
        " AND c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped"
        " AND has_column_privilege(%s, c.oid, a.attnum, 'UPDATE') AND NOT has_table_privilege(%s, c.oid, 'UPDATE') GROUP BY 1",
        app_of(frozen),
        app_of(frozen),
        dbname=frozen.database,
    )
    parts = {table: may for table, may in grants.BOOKKEEPING.items() if "(" in may}
    assert {row["name"]: f"UPDATE ({row['columns']})" for row in columns}.keys() == parts.keys()
    assert all(set(row["columns"].split(", ")) == set(parts[row["name"]][8:-1].split(", ")) for row in columns)


async def test_people_still_sign_in(server: RealServer, frozen: DatabaseSpec) -> None:
    accounts = Accounts(Passwords(1), Metrics())
    client = Client("192.0.2.7", "a test")
    async with app_database(server, frozen, state="ReadOnly") as database:
        with pytest.raises(Exception, match="did not work"):
            await accounts.sign_in(database, "o@x.example", "wrong", client)
        assert (await accounts.sign_in(database, "o@x.example", PASSWORD, client)).token
    with as_app(server, frozen) as app:
        row = app.execute("SELECT (SELECT count(*) FROM sessions) AS sessions, last_sign_in_at FROM users").fetchone()
    assert row is not None
    assert row["sessions"] == 1
    assert row["last_sign_in_at"] is not None


async def test_what_slips_past_the_app_gets_its_words(server: RealServer, frozen: DatabaseSpec) -> None:
    """The registry still says Active: the person reads why, and not that something went wrong on our side."""
    async with app_database(server, frozen, state="Active") as database:
        with pytest.raises(psycopg.errors.InsufficientPrivilege) as caught:
            async with database.transaction() as tx:
                await tx.execute("INSERT INTO settings (key, value) VALUES ('x', %s)", [Jsonb(1)])
    assert problem_of(caught.value).title == "This portal is read-only for now"


async def test_the_right_to_write_given_back_behind_the_back_is_taken(
    server: RealServer, door: PostgresServer, frozen: DatabaseSpec
) -> None:
    server.run(f'GRANT "{writer_of(frozen)}" TO "{app_of(frozen)}"')
    assert differences(frozen, await door.observe(frozen.tenant_id)) == (f"memberships of role {app_of(frozen)}",)
    try:
        await door.ensure(frozen)
    except UserError as error:
        assert error.reason == "MembershipGrantedByAnother"  # noqa: PT017 - from Postgres 16 on, for a login without superuser
        server.run(f'REVOKE "{writer_of(frozen)}" FROM "{app_of(frozen)}"')
    assert differences(frozen, await door.observe(frozen.tenant_id)) == ()
    with as_app(server, frozen) as app:
        app.execute("BEGIN READ WRITE")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            app.execute(INSERT)


async def test_active_again_may_write_again(server: RealServer, door: PostgresServer, golden: str) -> None:
    spec = new_spec(template=golden)
    await door.ensure(replace(spec, read_only=True))
    assert (await migrate_tenant(server, spec))["exit"] == 0, "the Job writes in every state"
    await door.ensure(spec)
    with as_app(server, spec) as app:
        app.execute(INSERT)
        await door.ensure(replace(spec, read_only=True))
        with pytest.raises(psycopg.OperationalError):
            app.execute("SELECT 1")

"""A tenant's own figures are read with the tenant's own rights: whoever redefines them gains nothing and is found out."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import pytest_asyncio

from hoa_operator.errors import WorldError
from hoa_operator.postgres import AdminLogin, DatabaseSpec, PostgresServer, ServerAddress, figures
from hoa_operator.usage import Passwords, look_inside
from hoa_operator.world import Reading
from tests.contract.fix_jobs import HEAD, migrate_tenant
from tests.contract.servers import INSTALLATION, app_of, migrator_of, new_spec, owner_of

if TYPE_CHECKING:
    from tests.contract.fix_jobs import Pair
    from tests.contract.servers import RealServer

HONEST = "tenant_id, homeowners, storage_bytes, emails_sent, sms_sent, active_users, welcome_mail, schema_revision"


@pytest_asyncio.fixture
async def spec(server: RealServer, door: PostgresServer, golden: str) -> DatabaseSpec:
    """A migrated tenant that the test may damage."""
    made = new_spec(template=golden)
    await door.ensure(made)
    result = await migrate_tenant(server, made)
    assert result["exit"] == 0, result
    return made


def passwords(spec: DatabaseSpec) -> Passwords:
    return Passwords(spec.app_password, spec.migrator_password)


def redefine(server: RealServer, spec: DatabaseSpec, *statements: str) -> None:
    """Do what somebody with the migrator's login could do."""
    with server.login(migrator_of(spec), spec.migrator_password, spec.database) as session:
        session.execute(f'SET ROLE "{owner_of(spec)}"'.encode())
        for statement in statements:
            session.execute(statement.encode())


def figure(body: str) -> str:
    """Return what redefines one figure of the view."""
    return f"CREATE OR REPLACE FUNCTION usage_homeowners() RETURNS bigint LANGUAGE plpgsql AS $f$ BEGIN {body} END $f$"


async def test_usage_is_read(server: RealServer, door: PostgresServer, pair: Pair) -> None:
    usage = await door.usage(pair.ours.tenant_id, pair.ours.migrator_password)
    assert usage is not None
    assert (usage.tenant_id, usage.homeowners, usage.schema_revision) == (pair.ours.tenant_id, 0, HEAD)
    assert usage.welcome_mail in {"Queued", "Sent"}
    size = server.one("SELECT pg_database_size(%s::name)", pair.ours.database)
    assert usage.database_bytes == pytest.approx(size, rel=0.2), "the whole database, not only what the view tells of"
    nobody = new_spec()
    await door.ensure(nobody)
    assert await door.usage(nobody.tenant_id, nobody.migrator_password) is None, "no view before the first migration"


ATTACKS = {
    "a role": "EXECUTE 'CREATE ROLE usurper SUPERUSER'; RETURN 1;",
    "its own power": "EXECUTE format('ALTER ROLE %I SUPERUSER', session_user); RETURN 1;",
    "the admin's role": "EXECUTE 'SET ROLE postgres'; RETURN 1;",
    "a program": "EXECUTE $e$COPY (SELECT 1) TO PROGRAM 'true'$e$; RETURN 1;",
    "a file": "RETURN length(pg_read_file('PG_VERSION'));",
    "passwords": "RETURN count(*) FROM pg_authid;",
}


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=list(ATTACKS))
async def test_code_in_the_view_gains_nothing(
    server: RealServer, door: PostgresServer, spec: DatabaseSpec, attack: str
) -> None:
    powers = "SELECT count(*) FROM pg_roles WHERE rolsuper"
    before = server.one(powers)
    redefine(
        server,
        spec,
        "ALTER FUNCTION usage_figures() SECURITY INVOKER",
        figure(attack),
        f'GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO "{migrator_of(spec)}"',
        f'GRANT SELECT ON ALL TABLES IN SCHEMA public TO "{migrator_of(spec)}"',
    )
    with pytest.raises(WorldError, match="hoa_usage") as caught:
        await door.usage(spec.tenant_id, spec.migrator_password)
    assert caught.value.reason == "UsageUnreadable"
    assert server.one(powers) == before


async def test_the_view_never_runs_as_the_admin(server: RealServer, door: PostgresServer, spec: DatabaseSpec) -> None:
    """Nor does anything else of the tenant's, through a whole round of the operator's steps."""
    tell = "RAISE WARNING 'ran as % of %', current_user, session_user;"
    redefine(
        server,
        spec,
        f"CREATE FUNCTION trap() RETURNS uuid LANGUAGE plpgsql AS $f$ BEGIN {tell} RETURN (SELECT i.tenant_id FROM"
        " public.tenant_identity i); END $f$",
        "CREATE OR REPLACE VIEW hoa_usage AS SELECT trap() AS tenant_id,"
        f" {HONEST.partition(', ')[2]} FROM usage_figures()",
        f"CREATE FUNCTION public.left(text, int) RETURNS text LANGUAGE plpgsql AS $f$ BEGIN {tell} RETURN 'Sent'; END $f$",
        f'GRANT SELECT ON tenant_identity TO "{migrator_of(spec)}"',
    )
    with server.login(migrator_of(spec), spec.migrator_password, spec.database) as session:
        session.execute("ALTER ROLE CURRENT_USER SET search_path = public, pg_catalog")
    mark = server.log_size
    usage = await door.usage(spec.tenant_id, spec.migrator_password)
    await door.ensure(spec)
    ran = [line.partition("ran as ")[2] for line in server.log_since(mark).splitlines() if "WARNING:  ran as" in line]
    assert ran == [f"{migrator_of(spec)} of {migrator_of(spec)}"]
    assert usage is not None
    assert usage.welcome_mail == "Queued", "no function of the tenant's stands in for the server's own"


DAMAGES: dict[str, tuple[str, ...]] = {
    "another shape": ("DROP VIEW hoa_usage", "CREATE VIEW hoa_usage AS SELECT 1 AS one"),
    "too many rows": (
        f"CREATE OR REPLACE VIEW hoa_usage AS SELECT {HONEST} FROM usage_figures() CROSS JOIN generate_series(1, 3)",
    ),
    "no row": (f"CREATE OR REPLACE VIEW hoa_usage AS SELECT {HONEST} FROM usage_figures() WHERE false",),
    "a negative figure": (figure("RETURN -1;"),),
    "an error": (figure("RAISE EXCEPTION 'password authentication failed for user';"),),
    "another tenant": (
        "CREATE OR REPLACE VIEW hoa_usage AS SELECT gen_random_uuid() AS tenant_id,"
        f" {HONEST.partition(', ')[2]} FROM usage_figures()",
    ),
    "no right": ("REVOKE ALL ON hoa_usage FROM PUBLIC", "DO $$ BEGIN EXECUTE (SELECT format('REVOKE ALL ON hoa_usage"
                 " FROM %I', session_user)); END $$"),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=list(DAMAGES))
async def test_what_cannot_be_right_is_said(
    server: RealServer, door: PostgresServer, spec: DatabaseSpec, damage: tuple[str, ...]
) -> None:
    redefine(server, spec, *damage)
    if damage is DAMAGES["another shape"]:
        redefine(server, spec, f'GRANT SELECT ON hoa_usage TO "{migrator_of(spec)}"')
    reading = await look_inside(door, spec.tenant_id, passwords(spec))
    assert (reading.usage, reading.refused) == (None, False), "no view makes the operator set passwords again"
    assert reading.trouble is not None
    assert reading.trouble.reason == "UsageUnreadable"
    assert spec.database in reading.trouble.message


def _connections() -> list[psycopg.AsyncConnection[Any]]:
    gc.collect()
    return [found for found in gc.get_objects() if isinstance(found, psycopg.AsyncConnection)]


async def test_what_is_remembered_of_it_keeps_no_connection(
    server: RealServer, door: PostgresServer, spec: DatabaseSpec
) -> None:
    redefine(server, spec, *DAMAGES["an error"])
    before = {id(found) for found in _connections()}
    reading = await look_inside(door, spec.tenant_id, passwords(spec))
    assert reading.trouble is not None
    assert not [found for found in _connections() if found.closed and id(found) not in before]


async def test_a_view_that_never_ends_is_ended(
    server: RealServer, door: PostgresServer, spec: DatabaseSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It catches its own timeout and goes on; so its session is ended from outside."""
    monkeypatch.setattr(figures, "DEADLINE", 0.5)
    stubborn = "LOOP BEGIN PERFORM pg_sleep(60); EXCEPTION WHEN query_canceled THEN NULL; END; END LOOP;"
    redefine(server, spec, figure(stubborn))
    with pytest.raises(WorldError, match="terminating connection") as caught:
        await door.usage(spec.tenant_id, spec.migrator_password)
    assert caught.value.reason == "UsageUnreadable"
    assert server.one("SELECT count(*) FROM pg_stat_activity WHERE usename = %s", migrator_of(spec)) == 0


@pytest.mark.parametrize("change", ["PASSWORD 'changed-behind-the-back'", "PASSWORD NULL", "VALID UNTIL '2001-01-01'"])
@pytest.mark.parametrize("kind", ["app", "migrator"])
async def test_a_password_changed_by_somebody_else_is_noticed_and_set_again(
    server: RealServer, door: PostgresServer, spec: DatabaseSpec, kind: str, change: str
) -> None:
    name = {"app": app_of, "migrator": migrator_of}[kind](spec)
    assert (await look_inside(door, spec.tenant_id, passwords(spec))).usage is not None
    server.run(f'ALTER ROLE "{name}" {change}')
    assert await look_inside(door, spec.tenant_id, passwords(spec)) == Reading(refused=True)
    await door.ensure(spec)
    assert (await look_inside(door, spec.tenant_id, passwords(spec))).usage is not None


async def test_a_roles_own_settings_are_taken_back(
    server: RealServer, door: PostgresServer, spec: DatabaseSpec
) -> None:
    """A role may give itself settings, even one that stops every login: that is no refused password, and it is undone."""
    with server.login(app_of(spec), spec.app_password, spec.database) as session:
        session.execute(
            "ALTER ROLE CURRENT_USER SET local_preload_libraries = 'password authentication failed for user'"
        )
    reading = await look_inside(door, spec.tenant_id, passwords(spec))
    assert not reading.refused
    assert reading.trouble is not None
    await door.ensure_roles(spec)
    reading = await look_inside(door, spec.tenant_id, passwords(spec))
    assert (reading.usage is not None, reading.trouble) == (True, None)


async def test_a_server_that_is_away_is_no_refused_password(spec: DatabaseSpec) -> None:
    nowhere = AdminLogin(ServerAddress("127.0.0.1", 1, "disable"), "nobody", "nothing")
    away = PostgresServer(nowhere, identity="one", installation=INSTALLATION)
    reading = await look_inside(away, spec.tenant_id, passwords(spec))
    assert not reading.refused
    assert reading.trouble is not None
    assert reading.trouble.reason == "ServerUnreachable"

"""Lock 3: a tenant's logins reach their own database and nothing else on the server, and no password is ever written down."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import psycopg
import pytest
import pytest_asyncio

from hoa_operator.errors import OperatorError
from hoa_operator.postgres import AdminLogin, DatabaseSpec, PostgresServer
from tests.contract.fix_registry import Rig, make_rig, new_row
from tests.contract.servers import (
    INSTALLATION,
    RealServer,
    address_of,
    app_of,
    fill_template,
    migrator_of,
    new_spec,
    owner_of,
    proof_of,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from hoa_operator.registry import Registry
    from tests.fix_postgres import PostgresServer as PrivatePostgres


@dataclass(frozen=True)
class Town:
    """Two live tenants, one in the middle of a rotation, a retained one, a template and a registry on one server."""

    ours: DatabaseSpec
    theirs: DatabaseSpec
    rotating: DatabaseSpec
    retained: DatabaseSpec
    rig: Rig
    registry: Registry


@pytest_asyncio.fixture(scope="session")
async def town(server: RealServer, template: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    """Made once per server: the tests only try its locks."""
    door = server.door("town")
    await door.lock_front_doors()
    if not server.superuser:
        server.run(
            f"GRANT CONNECT ON DATABASE postgres TO {server.admin.username}",
            "REVOKE CONNECT, TEMPORARY ON DATABASE postgres FROM PUBLIC",
            "REVOKE CONNECT, TEMPORARY ON DATABASE template1 FROM PUBLIC",
        )
    rig = make_rig(server, tmp_path_factory.mktemp("town"))
    registry = rig.registry()
    await registry.start()
    rotating = new_spec(template=template, login="app_b", overlapping=True)
    made = Town(new_spec(template=template), new_spec(template=template), rotating, new_spec(), rig, registry)
    for spec in (made.ours, made.theirs, before(rotating), rotating, made.retained):
        await door.ensure(spec)
    await door.tombstone(await proof_of(door, made.retained), datetime(2031, 1, 1, tzinfo=UTC))
    yield made
    await registry.close()
    await door.close()


def before(spec: DatabaseSpec) -> DatabaseSpec:
    """Return the spec as it was before its rotation; the password is another one."""
    return replace(spec, login="app", overlapping=False, app_password=f"{spec.app_password}-before")


def logins_of(*specs: DatabaseSpec) -> list[tuple[str, str, str]]:
    """Return role, password and database of everyone who may log in for these tenants."""
    apps = [each for spec in specs for each in ([before(spec), spec] if spec.overlapping else [spec])]
    return [
        *((app_of(spec), spec.app_password, spec.database) for spec in apps),
        *((migrator_of(spec), spec.migrator_password, spec.database) for spec in specs),
    ]


async def test_every_other_database_refuses_every_login(server: RealServer, town: Town) -> None:
    rig = town.rig
    everything = [row["datname"] for row in server.all("SELECT datname FROM pg_database")]
    assert {"postgres", "template1", "template0", rig.dbname, town.theirs.database} <= set(everything)
    logins = [*logins_of(town.ours, town.rotating), (rig.reader, rig.reader_password, rig.dbname)]
    assert len(logins) == 6
    for role, password, own in logins:
        reached = [dbname for dbname in everything if server.sees(role, password, dbname) is None]
        assert reached == [own], role


async def test_retained_tenants_logins_reach_nothing(server: RealServer, town: Town) -> None:
    everything = [row["datname"] for row in server.all("SELECT datname FROM pg_database")]
    spec = town.retained
    for role, password in ((app_of(spec), spec.app_password), (migrator_of(spec), spec.migrator_password)):
        assert [dbname for dbname in everything if server.sees(role, password, dbname) is None] == []


async def test_the_owner_has_no_login(server: RealServer, town: Town) -> None:
    assert server.sees(owner_of(town.ours), town.ours.migrator_password, town.ours.database)


REFUSED_TO_THE_APP = (
    "CREATE TABLE mine (id int)",
    "CREATE TEMPORARY TABLE mine (id int)",
    "CREATE SCHEMA mine",
    "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE EXTENSION citext",
    "ALTER TABLE things ADD COLUMN x int",
    "DROP TABLE things",
    "TRUNCATE things",
    "SELECT * FROM things",
    "SELECT * FROM pg_authid",
    "SELECT pg_read_file('postgresql.conf')",
    "COPY (SELECT 1) TO PROGRAM 'true'",
    "CREATE ROLE mine",
    "CREATE DATABASE mine",
    "SET ROLE postgres",
    "SET SESSION AUTHORIZATION postgres",
    "ALTER SYSTEM SET work_mem = '1GB'",
    "DO LANGUAGE plpython3u 'pass'",
)


@pytest.mark.parametrize("statement", REFUSED_TO_THE_APP)
async def test_the_app_may_do_nothing_until_granted(server: RealServer, town: Town, statement: str) -> None:
    refusals = (psycopg.errors.InsufficientPrivilege, psycopg.errors.UndefinedObject)
    for spec in (town.ours, town.rotating):
        with server.login(app_of(spec), spec.app_password, spec.database) as app, pytest.raises(refusals):
            app.execute(statement.encode())


async def test_no_login_becomes_another_tenant(server: RealServer, town: Town) -> None:
    ours, theirs = town.ours, town.theirs
    for role, password, database in logins_of(ours, town.rotating):
        own = ours if database == ours.database else town.rotating
        with server.login(role, password, database) as session:
            others = [owner_of(theirs), app_of(theirs), migrator_of(theirs), "hoa_connect_template_owner"]
            if role != migrator_of(own):
                others += [owner_of(own), migrator_of(own)]
            others += [app_of(town.rotating)] if own is ours else [app_of(ours)]
            for other in others:
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    session.execute(f'SET ROLE "{other}"'.encode())
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    session.execute(f'ALTER ROLE "{other}" SET work_mem = 64000'.encode())


async def test_the_migrator_keeps_to_its_own_database(server: RealServer, town: Town) -> None:
    ours = town.ours
    with server.login(migrator_of(ours), ours.migrator_password, ours.database) as session:
        session.execute(f'SET ROLE "{owner_of(ours)}"'.encode())
        for statement in (
            f'GRANT CONNECT ON DATABASE "{town.theirs.database}" TO "{migrator_of(ours)}"',
            f'DROP DATABASE "{town.theirs.database}"',
            f'COMMENT ON DATABASE "{town.theirs.database}" IS NULL',
            "CREATE DATABASE mine",
            "CREATE ROLE mine",
            f'GRANT "{owner_of(town.theirs)}" TO "{migrator_of(ours)}"',
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'postgres'",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                session.execute(statement.encode())


async def test_catalogs_show_opaque_names_only(server: RealServer, town: Town) -> None:
    row = new_row(
        slug="sunny-meadows", name="sunny-meadows", display_name="Sunny Meadows", hosts=("sunny.example.test",)
    )
    await town.registry.upsert(row, await town.registry.acquire_epoch())
    with server.login(app_of(town.ours), town.ours.app_password, town.ours.database) as app:
        shown = app.execute(
            "SELECT coalesce(string_agg(t, ' '), '') AS text FROM (SELECT d::text || shobj_description(d.oid, 'pg_database')"
            " FROM pg_database d UNION ALL SELECT r::text || shobj_description(r.oid, 'pg_authid') FROM pg_roles r"
            " UNION ALL SELECT s::text FROM pg_db_role_setting s UNION ALL SELECT a::text FROM pg_stat_activity a) x (t)"
        ).fetchone()
    assert shown is not None
    assert town.theirs.database in shown["text"], "Postgres shows every name; so names must say nothing"
    assert "sunny" not in shown["text"].lower()


async def test_the_connection_limit_is_the_tiers(server: RealServer, door: PostgresServer, town: Town) -> None:
    ours = town.ours
    await door.ensure(replace(ours, connection_limit=2))
    crowd = [server.login(app_of(ours), ours.app_password, ours.database) for _ in range(2)]
    try:
        assert "too many connections for role" in (server.sees(app_of(ours), ours.app_password, ours.database) or "")
        assert await door.verify_login(ours.tenant_id, "app", ours.app_password), "right, though there is no room"
        assert server.sees(app_of(town.theirs), town.theirs.app_password, town.theirs.database) is None
    finally:
        for session in crowd:
            session.close()


async def test_the_statement_timeout_is_the_tiers(server: RealServer, door: PostgresServer) -> None:
    spec = new_spec(statement_timeout_ms=50)
    await door.ensure(spec)
    with (
        server.login(app_of(spec), spec.app_password, spec.database) as app,
        pytest.raises(psycopg.errors.QueryCanceled),
    ):
        app.execute("SELECT pg_sleep(30)")


async def test_no_password_reaches_the_servers_log(
    server: RealServer, door: PostgresServer, registry: Registry, rig: Rig, template: str
) -> None:
    mark = 0
    template_password = await fill_template(server, door, "0201")
    spec = new_spec(template=template)
    await door.ensure(spec)
    rotated = replace(spec, app_password="rotated-app-password-1", migrator_password="rotated-migrator-password-1")
    await door.ensure(rotated)
    assert not await door.verify_login(spec.tenant_id, "app", "guessed-wrong-password-1")
    rig.write("reader", password="rotated-reader-password-1")
    await registry.start()
    await door.drop(await proof_of(door, spec))
    logged = server.log_since(mark)
    assert logged.count("PASSWORD 'SCRAM-SHA-256$") >= 6, "the log must show how passwords were set"
    secrets = {
        template_password, spec.app_password, spec.migrator_password, rotated.app_password, rotated.migrator_password,
        rig.reader_password, "rotated-reader-password-1", "guessed-wrong-password-1", server.admin.password,
    }  # fmt: skip
    if not server.superuser:
        secrets.remove(server.admin.password)  # the test itself set that one in the clear
    assert [secret for secret in secrets if secret in logged] == []


async def test_no_error_tells_a_password(server: RealServer, door: PostgresServer) -> None:
    spec = new_spec()
    await door.ensure(spec)
    server.run(f'COMMENT ON ROLE "{app_of(spec)}" IS NULL')
    broken = AdminLogin(replace(server.admin.address, port=1), server.admin.username, server.admin.password)
    told = []
    for attempt in (
        door.ensure(spec),
        door.set_passwords(spec),
        PostgresServer(broken, identity="one", installation=INSTALLATION).probe(),
    ):
        with pytest.raises(OperatorError) as caught:
            await attempt
        told.append(f"{caught.value} {caught.value.message} {caught.value!r} {spec!r} {broken!r}")
    for secret in (spec.app_password, spec.migrator_password, server.admin.password):
        assert secret not in " ".join(told)


async def test_a_server_that_asks_for_no_password_is_refused(own_postgres: PrivatePostgres) -> None:
    access = own_postgres.access
    (own_postgres.folder / "data" / "pg_hba.conf").write_text("host all all 127.0.0.1/32 trust\n")
    with psycopg.connect(access.dsn(), autocommit=True) as connection:
        connection.execute("SELECT pg_reload_conf()")
    while not replace(access, password="anything").answers():  # noqa: ASYNC110 - a signal has no event to await
        await asyncio.sleep(0.01)
    door = PostgresServer(
        AdminLogin(address_of(access), access.username, access.password), identity="one", installation=INSTALLATION
    )
    spec = new_spec()
    await door.ensure_roles(spec)
    with pytest.raises(OperatorError, match=r"pg_hba\.conf") as caught:
        await door.set_passwords(spec)
    assert caught.value.reason == "PasswordNotAsked"
    await door.close()

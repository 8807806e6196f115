"""A tenant's database and roles come out exactly as the contract says, from a template or empty, once however often asked."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import psycopg
import pytest

from hoa_operator.postgres import PostgresServer, differences
from tests.contract.servers import (
    RealServer,
    app_of,
    database_of,
    migrator_of,
    new_spec,
    owner_of,
    writer_of,
)

WRITES = ("CREATE ", "ALTER ", "GRANT ", "REVOKE ", "COMMENT ", "DROP ", "REASSIGN ", "INSERT ", "UPDATE ", "DELETE ")


async def test_probe_says_what_the_server_is(server: RealServer, door: PostgresServer) -> None:
    facts = await door.probe()
    assert facts.system_identifier == str(server.one("SELECT system_identifier FROM pg_control_system()"))
    assert facts.version_num >= 150000
    assert facts.superuser is server.superuser
    assert facts.missing == ()
    assert facts.custom_settings_allowed is server.superuser


async def test_a_new_tenant_matches_its_spec(server: RealServer, door: PostgresServer, template: str) -> None:
    spec = new_spec(template=template)
    assert (await door.observe(spec.tenant_id)).absent
    assert await door.ensure(spec) == "Created"
    observed = await door.observe(spec.tenant_id)
    assert differences(spec, observed) == ()
    assert observed.identity == spec.identity
    assert {role.identity for role in observed.roles.values() if role.exists} == {spec.identity}
    assert observed.owner == owner_of(spec)


async def test_roles_are_those_of_the_contract(server: RealServer, door: PostgresServer) -> None:
    spec = new_spec()
    await door.ensure(spec)
    rows = server.all(
        "SELECT rolname, rolcanlogin, rolinherit, rolconnlimit, rolsuper OR rolcreatedb OR rolcreaterole OR rolreplication"
        " OR rolbypassrls AS powers FROM pg_roles WHERE rolname = ANY(%s) ORDER BY rolname",
        [app_of(spec), migrator_of(spec), owner_of(spec), writer_of(spec)],
    )
    assert [tuple(row.values()) for row in rows] == [
        (app_of(spec), True, True, 10, False),
        (migrator_of(spec), True, False, 4, False),
        (owner_of(spec), False, True, 0, False),
        (writer_of(spec), False, True, 0, False),
    ]
    memberships = server.all(
        "SELECT g.rolname AS role, u.rolname AS member FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid"
        " JOIN pg_roles u ON u.oid = m.member WHERE u.rolname = ANY(%s) ORDER BY 1",
        [app_of(spec), migrator_of(spec), owner_of(spec), writer_of(spec)],
    )
    assert [tuple(row.values()) for row in memberships] == [
        (owner_of(spec), migrator_of(spec)),
        (writer_of(spec), app_of(spec)),
    ]


async def test_sessions_start_with_the_tenants_settings(server: RealServer, door: PostgresServer) -> None:
    spec = new_spec(statement_timeout_ms=12_345)
    await door.ensure(spec)
    with server.login(app_of(spec), spec.app_password, spec.database) as connection:
        shown = connection.execute(
            "SELECT current_setting('search_path') AS path, current_setting('statement_timeout') AS timeout,"
            " current_setting('idle_in_transaction_session_timeout') AS idle,"
            " current_setting('app.current_tenant', true) AS tenant"
        ).fetchone()
    tenant = str(spec.tenant_id) if server.superuser else None
    assert shown == {"path": "public", "timeout": "12345ms", "idle": "1min", "tenant": tenant}


async def test_an_admin_granted_the_parameter_sets_it(server: RealServer, door: PostgresServer) -> None:
    spec = new_spec()
    server.run(f'GRANT SET ON PARAMETER "app.current_tenant" TO "{server.admin.username}"')
    try:
        await door.ensure(spec)
        with server.login(app_of(spec), spec.app_password, spec.database) as connection:
            row = connection.execute("SELECT current_setting('app.current_tenant') AS tenant").fetchone()
        assert row == {"tenant": str(spec.tenant_id)}
    finally:
        server.run(f'REVOKE SET ON PARAMETER "app.current_tenant" FROM "{server.admin.username}"')


async def test_a_setting_of_an_earlier_admin_stops_nobody(server: RealServer, door: PostgresServer) -> None:
    """The operator's login was a superuser once and is not any more: what it may not reset, it leaves."""
    spec = new_spec()
    await door.ensure(spec)
    server.run(
        f'ALTER ROLE "{app_of(spec)}" IN DATABASE "{spec.database}" SET app.current_tenant = \'{spec.tenant_id}\'',
        f'ALTER ROLE "{migrator_of(spec)}" IN DATABASE "{spec.database}" SET app.current_tenant = \'nobody\'',
    )
    await door.ensure(spec)
    assert differences(spec, await door.observe(spec.tenant_id)) == ()
    shown = server.one(
        "SELECT setconfig::text FROM pg_db_role_setting WHERE setrole = %s::regrole", f'"{migrator_of(spec)}"'
    )
    assert ("nobody" in shown) is not server.superuser


async def test_a_second_run_writes_nothing(server: RealServer, door: PostgresServer, template: str) -> None:
    spec = new_spec(template=template, extensions=("citext",))
    await door.ensure(spec)
    mark = server.log_size
    assert await door.ensure(spec) == "Exists"
    statements = [
        line.split("statement: ", 1)[1] for line in server.log_since(mark).splitlines() if "statement: " in line
    ]
    assert statements, "the log must show what the second run asked"
    assert [line for line in statements if line.upper().startswith(WRITES)] == []


async def test_a_clone_belongs_to_the_tenant_alone(server: RealServer, door: PostgresServer, template: str) -> None:
    spec = new_spec(template=template)
    await door.ensure(spec)
    owners = server.all(
        "SELECT DISTINCT pg_get_userbyid(o) AS owner FROM (SELECT relowner FROM pg_class WHERE relnamespace = 'public'::regnamespace"
        " UNION ALL SELECT proowner FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
        " UNION ALL SELECT typowner FROM pg_type WHERE typnamespace = 'public'::regnamespace"
        " UNION ALL SELECT nspowner FROM pg_namespace WHERE nspname = 'public') x(o)",
        dbname=spec.database,
    )
    assert owners == [{"owner": owner_of(spec)}]
    left = server.all(
        "SELECT classid::regclass, objid FROM pg_shdepend d JOIN pg_roles r ON r.oid = d.refobjid"
        " WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) AND rolname LIKE 'hoa_connect_template%%'",
        dbname=spec.database,
    )
    assert left == []
    with server.login(migrator_of(spec), spec.migrator_password, spec.database) as connection:
        connection.execute(f'SET ROLE "{owner_of(spec)}"'.encode())
        connection.execute("ALTER TABLE things ADD COLUMN extra text")
        connection.execute("CREATE TABLE made_later (id int)")
        assert connection.execute("SELECT version_num FROM alembic_version").fetchone() == {"version_num": "0001"}
    assert await door.template_ready(template)


async def test_an_empty_database_lets_the_migrator_build(server: RealServer, door: PostgresServer) -> None:
    spec = new_spec()
    await door.ensure(spec)
    with server.login(migrator_of(spec), spec.migrator_password, spec.database) as connection:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("CREATE TABLE mine (id int)")
        connection.execute(f'SET ROLE "{owner_of(spec)}"'.encode())
        connection.execute("CREATE TABLE ours (id int)")
    assert server.one("SELECT tableowner FROM pg_tables WHERE tablename = 'ours'", dbname=spec.database) == owner_of(
        spec
    )


async def test_extensions_are_installed_and_remembered(server: RealServer, door: PostgresServer) -> None:
    spec = new_spec(extensions=("citext", "pg_trgm"))
    await door.ensure(spec)
    found = server.all("SELECT extname FROM pg_extension WHERE extname <> 'plpgsql' ORDER BY 1", dbname=spec.database)
    assert [row["extname"] for row in found] == ["citext", "pg_trgm"]
    assert (await door.observe(spec.tenant_id)).extensions == ("citext", "pg_trgm")
    await door.ensure(replace(spec, extensions=("citext", "hstore")))
    assert (await door.observe(spec.tenant_id)).extensions == ("citext", "hstore", "pg_trgm")


async def test_verify_login_tells_right_from_wrong(server: RealServer, door: PostgresServer) -> None:
    spec = new_spec()
    await door.ensure_roles(spec)
    assert not await door.verify_login(spec.tenant_id, "app", spec.app_password)
    assert set(await door.set_passwords(spec)) == {app_of(spec), migrator_of(spec)}
    assert await door.verify_login(spec.tenant_id, "app", spec.app_password), "right also before the database is there"
    assert not await door.verify_login(spec.tenant_id, "app", spec.migrator_password)
    assert await door.set_passwords(spec) == ()


async def test_twenty_tenants_at_once(server: RealServer, template: str) -> None:
    specs = [new_spec(template=template) for _ in range(20)]
    door = server.door("crowd")
    await asyncio.gather(*(door.ensure(spec) for spec in specs))
    for spec in specs:
        assert differences(spec, await door.observe(spec.tenant_id)) == ()
    listed = {found.tenant_id for found in await door.list_tenant_databases()}
    assert {spec.tenant_id for spec in specs} <= listed
    await door.close()


async def test_two_operators_on_one_tenant_make_one_database(server: RealServer, template: str) -> None:
    spec = new_spec(template=template)
    doors = [server.door(f"racer-{number}") for number in range(4)]
    outcomes = await asyncio.gather(*(door.ensure(spec) for door in doors))
    assert sorted(outcomes) == ["Created", "Exists", "Exists", "Exists"]
    assert differences(spec, await doors[0].observe(spec.tenant_id)) == ()
    for door in doors:
        await door.close()


async def test_front_doors_are_shut_where_permitted(server: RealServer, door: PostgresServer) -> None:
    for name in ("postgres", "template1"):
        server.run(f"GRANT CONNECT, TEMPORARY ON DATABASE {name} TO PUBLIC")
    assert {"postgres", "template1"} <= set((await door.probe()).open_databases)
    doors = {"postgres", "template1"}
    still_open = doors.intersection(await door.lock_front_doors())
    if server.superuser:
        assert still_open == set()
    else:
        assert still_open == doors, "a login that does not own them reports them"
        server.run(
            "GRANT CONNECT ON DATABASE postgres TO hoa_admin",
            "REVOKE CONNECT, TEMPORARY ON DATABASE postgres FROM PUBLIC",
            "REVOKE CONNECT, TEMPORARY ON DATABASE template1 FROM PUBLIC",
        )
        assert not doors.intersection(await door.lock_front_doors())


async def test_somebody_elses_open_database_is_told_and_left_alone(server: RealServer, door: PostgresServer) -> None:
    """Every tenant's login gets into it: that is for its owner to change, and for a person to know."""
    server.run("CREATE DATABASE payroll")
    assert "payroll" in await door.lock_front_doors()
    assert "payroll" in (await door.probe()).open_databases
    server.run("REVOKE CONNECT ON DATABASE payroll FROM PUBLIC")
    assert "payroll" not in await door.lock_front_doors()


async def test_listing_shows_opaque_names_only(server: RealServer, door: PostgresServer) -> None:
    spec = new_spec()
    await door.ensure(spec)
    found = next(found for found in await door.list_tenant_databases() if found.tenant_id == spec.tenant_id)
    assert found.name == database_of(spec.tenant_id) == f"hoa_connect_tenant_{spec.tenant_id.hex}"
    assert found.identity == spec.identity
    assert not found.tombstone

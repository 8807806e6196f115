"""A tenant's database and roles follow their spec: what was broken by hand, a changed spec, a tenant suspended or read-only."""

from __future__ import annotations

from dataclasses import replace

import psycopg
import pytest

from hoa_operator.errors import UserError
from hoa_operator.postgres import PostgresServer, differences
from tests.contract.servers import RealServer, app_of, migrator_of, new_spec, owner_of, writer_of


@pytest.mark.parametrize(
    "damage",
    [
        'GRANT CONNECT ON DATABASE "{db}" TO PUBLIC',
        'GRANT TEMPORARY ON DATABASE "{db}" TO PUBLIC',
        'REVOKE CONNECT ON DATABASE "{db}" FROM "{app}"',
        'ALTER ROLE "{app}" CONNECTION LIMIT 99',
        'ALTER ROLE "{app}" NOLOGIN',
        'ALTER ROLE "{migrator}" INHERIT',
        'ALTER ROLE "{app}" CREATEDB',
        'ALTER ROLE "{app}" IN DATABASE "{db}" SET statement_timeout = 0',
        'ALTER ROLE "{app}" IN DATABASE "{db}" SET work_mem = 64000',
        'ALTER ROLE "{app}" IN DATABASE "{db}" RESET ALL',
        'ALTER ROLE "{app}" SET work_mem = 64000',
        "ALTER ROLE \"{migrator}\" VALID UNTIL '2001-01-01'",
        'REVOKE "{owner}" FROM "{migrator}"',
        'REVOKE "{writer}" FROM "{app}"',
        'ALTER ROLE "{writer}" LOGIN',
        'GRANT "{owner}" TO "{app}"',
        'ALTER DATABASE "{db}" ALLOW_CONNECTIONS false',
        'COMMENT ON DATABASE "{db}" IS NULL',
        "ALTER ROLE \"{app}\" PASSWORD 'other'",
        'ALTER ROLE "{migrator}" PASSWORD NULL',
    ],
)
async def test_drift_is_repaired(server: RealServer, door: PostgresServer, damage: str) -> None:
    spec = new_spec()
    await door.ensure(spec)
    names = {"db": spec.database, "app": app_of(spec), "migrator": migrator_of(spec), "owner": owner_of(spec)}
    names["writer"] = writer_of(spec)
    with server.login(server.admin.username, server.admin.password, "postgres") as admin:
        admin.execute(damage.format(**names).encode())
    if "PASSWORD" not in damage:
        assert differences(spec, await door.observe(spec.tenant_id)) != ()
    await door.ensure(spec)
    assert differences(spec, await door.observe(spec.tenant_id)) == ()
    assert server.sees(app_of(spec), spec.app_password, spec.database) is None
    assert server.sees(migrator_of(spec), spec.migrator_password, spec.database) is None


async def test_a_membership_given_by_another_is_taken_back_or_said(server: RealServer, door: PostgresServer) -> None:
    spec = new_spec()
    await door.ensure(spec)
    server.run(f'GRANT "{owner_of(spec)}" TO "{app_of(spec)}"')
    if (await door.probe()).version_num >= 160000 and not server.superuser:
        with pytest.raises(UserError, match=f'REVOKE "{owner_of(spec)}" FROM "{app_of(spec)}"') as caught:
            await door.ensure(spec)
        assert caught.value.reason == "MembershipGrantedByAnother"
        server.run(f'REVOKE "{owner_of(spec)}" FROM "{app_of(spec)}"')
    await door.ensure(spec)
    assert differences(spec, await door.observe(spec.tenant_id)) == ()


async def test_a_dropped_role_comes_back(server: RealServer, door: PostgresServer) -> None:
    spec = new_spec()
    await door.ensure(spec)
    server.run(f'REVOKE ALL ON DATABASE "{spec.database}" FROM "{app_of(spec)}"', f'DROP ROLE "{app_of(spec)}"')
    await door.ensure(spec)
    assert differences(spec, await door.observe(spec.tenant_id)) == ()
    assert server.sees(app_of(spec), spec.app_password, spec.database) is None


async def test_a_changed_spec_is_applied(server: RealServer, door: PostgresServer) -> None:
    spec = new_spec()
    await door.ensure(spec)
    changed = replace(spec, connection_limit=3, statement_timeout_ms=5_000, app_password="another-password-now")
    assert len(differences(changed, await door.observe(spec.tenant_id))) == 2
    await door.ensure(changed)
    assert differences(changed, await door.observe(spec.tenant_id)) == ()
    assert "password authentication failed" in (server.sees(app_of(spec), spec.app_password, spec.database) or "")
    assert server.sees(app_of(spec), changed.app_password, spec.database) is None


async def test_suspending_ends_sessions_and_refuses_new_ones(server: RealServer, door: PostgresServer) -> None:
    spec = new_spec()
    await door.ensure(spec)
    with server.login(app_of(spec), spec.app_password, spec.database) as session:
        await door.ensure(replace(spec, suspended=True))
        with pytest.raises(psycopg.OperationalError):
            session.execute("SELECT 1")
    assert "not permitted to log in" in (server.sees(app_of(spec), spec.app_password, spec.database) or "")
    assert await door.verify_login(spec.tenant_id, "app", spec.app_password)
    assert server.sees(migrator_of(spec), spec.migrator_password, spec.database) is None
    await door.ensure(spec)
    assert server.sees(app_of(spec), spec.app_password, spec.database) is None


async def test_read_only_holds_at_once(server: RealServer, door: PostgresServer) -> None:
    spec = new_spec()
    await door.ensure(spec)
    read_only = replace(spec, read_only=True)
    with server.login(app_of(spec), spec.app_password, spec.database) as session:
        await door.ensure(read_only)
        with pytest.raises(psycopg.OperationalError):
            session.execute("SELECT 1")
    with server.login(app_of(spec), spec.app_password, spec.database) as session:
        assert session.execute("SHOW transaction_read_only").fetchone() == {"transaction_read_only": "on"}
    await door.ensure(spec)
    with server.login(app_of(spec), spec.app_password, spec.database) as session:
        assert session.execute("SHOW transaction_read_only").fetchone() == {"transaction_read_only": "off"}


async def test_shutting_out_needs_nothing_else_to_be_right(server: RealServer, door: PostgresServer) -> None:
    spec = new_spec()
    await door.ensure(spec)
    with pytest.raises(UserError, match="no_such_thing"):
        await door.ensure(replace(spec, suspended=False, extensions=("no_such_thing",)))
    with server.login(app_of(spec), spec.app_password, spec.database) as session:
        await door.shut_out(spec.identity)
        with pytest.raises(psycopg.OperationalError):
            session.execute("SELECT 1")
    assert "not permitted to log in" in (server.sees(app_of(spec), spec.app_password, spec.database) or "")
    assert server.sees(migrator_of(spec), spec.migrator_password, spec.database) is None
    assert differences(replace(spec, suspended=True), await door.observe(spec.tenant_id)) == (), "and changes no more"
    await door.shut_out(spec.identity)
    await door.ensure(spec)
    assert server.sees(app_of(spec), spec.app_password, spec.database) is None


async def test_nobody_elses_login_is_shut_out(server: RealServer, door: PostgresServer) -> None:
    spec = new_spec()
    await door.ensure(spec)
    with pytest.raises(UserError) as caught:
        await door.shut_out(replace(spec.identity, uid=new_spec().identity.uid))
    assert caught.value.reason == "OwnershipNotProven"
    assert server.sees(app_of(spec), spec.app_password, spec.database) is None

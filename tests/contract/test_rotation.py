"""The app's two logins in Postgres: both act for the tenant while they overlap, and the one that is retired reaches nothing."""

from __future__ import annotations

import secrets
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import pytest_asyncio

from hoa_operator.postgres import DatabaseSpec, differences, role_name
from tests.contract.fix_jobs import as_app, migrate_tenant
from tests.contract.servers import app_of, new_spec, proof_of

if TYPE_CHECKING:
    from hoa_operator.postgres import PostgresServer
    from tests.contract.servers import RealServer

WRITE = "INSERT INTO settings (key, value) VALUES ('probe', '1') ON CONFLICT DO NOTHING"
PROBE = "SELECT current_tenant() AS tenant, session_user::text AS login"


def rotated(spec: DatabaseSpec, *, overlapping: bool = True) -> DatabaseSpec:
    """Return the spec after a rotation."""
    login = "app_b" if spec.login == "app" else "app"
    passwords = {"app_password": secrets.token_urlsafe(24), "migrator_password": secrets.token_urlsafe(24)}
    return replace(spec, login=login, overlapping=overlapping, **passwords)  # type: ignore[arg-type]


@pytest_asyncio.fixture
async def before(server: RealServer, door: PostgresServer, golden: str) -> DatabaseSpec:
    """A migrated tenant whose credentials were never rotated."""
    spec = new_spec(template=golden)
    await door.ensure(spec)
    result = await migrate_tenant(server, spec)
    assert result["exit"] == 0, result
    return spec


def refusal(server: RealServer, spec: DatabaseSpec) -> str:
    return server.sees(app_of(spec), spec.app_password, spec.database) or "let in"


async def test_the_second_login_is_made_at_the_first_rotation(door: PostgresServer, before: DatabaseSpec) -> None:
    assert not (await door.observe(before.tenant_id)).role("app_b").exists
    after = rotated(before)
    await door.ensure(after)
    observed = await door.observe(before.tenant_id)
    assert observed.role("app_b").identity == before.identity
    assert observed.role("app_b").member_of == (role_name(before.tenant_id, "app"),)
    assert differences(after, observed) == ()


async def test_both_logins_serve_while_they_overlap(
    server: RealServer, door: PostgresServer, before: DatabaseSpec
) -> None:
    after = rotated(before)
    await door.ensure(after)
    for spec in (before, after):
        with as_app(server, spec) as app:
            assert app.execute(PROBE).fetchone() == {"tenant": before.tenant_id, "login": app_of(spec)}
            app.execute(WRITE)
            assert app.execute("SELECT count(*) AS n FROM settings WHERE key = 'probe'").fetchone() == {"n": 1}


async def test_a_retired_login_is_out_with_its_sessions(
    server: RealServer, door: PostgresServer, before: DatabaseSpec
) -> None:
    after = rotated(before)
    await door.ensure(after)
    with as_app(server, before) as old, as_app(server, after) as new:
        await door.ensure(replace(after, overlapping=False))
        with pytest.raises(psycopg.OperationalError):
            old.execute("SELECT 1")
        assert new.execute(PROBE).fetchone() == {"tenant": before.tenant_id, "login": app_of(after)}
        new.execute(WRITE)
    assert "not permitted to log in" in refusal(server, before) or "authentication failed" in refusal(server, before)
    assert server.one("SELECT rolpassword IS NULL FROM pg_authid WHERE rolname = %s", app_of(before))
    assert differences(replace(after, overlapping=False), await door.observe(before.tenant_id)) == ()


async def test_back_and_forth_the_passwords_before_stay_out(
    server: RealServer, door: PostgresServer, before: DatabaseSpec
) -> None:
    used = [before]
    for _ in range(3):
        used.append(rotated(used[-1]))
        await door.ensure(used[-1])
        await door.ensure(replace(used[-1], overlapping=False))
    assert app_of(used[-1]) != app_of(before)
    assert [refusal(server, spec) == "let in" for spec in used] == [False, False, False, True]
    assert not await door.verify_login(before.tenant_id, "migrator", before.migrator_password)


async def test_states_hold_for_the_second_login(server: RealServer, door: PostgresServer, before: DatabaseSpec) -> None:
    after = rotated(before, overlapping=False)
    await door.ensure(after)
    await door.ensure(replace(after, read_only=True))
    with as_app(server, after) as app:
        app.execute("SET default_transaction_read_only = off")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            app.execute(WRITE)
    with as_app(server, after) as app:
        await door.ensure(replace(after, suspended=True))
        with pytest.raises(psycopg.OperationalError):
            app.execute("SELECT 1")
    assert "not permitted to log in" in refusal(server, after)
    await door.ensure(after)
    assert refusal(server, after) == "let in"


async def test_a_login_retired_while_suspended_keeps_no_password(
    server: RealServer, door: PostgresServer, before: DatabaseSpec
) -> None:
    """It could not log in before either, so nothing but its password tells that it was in force once."""
    suspended = replace(before, suspended=True)
    for _ in range(2):
        suspended = rotated(suspended)
        await door.ensure(suspended)
        suspended = replace(suspended, overlapping=False)
        await door.ensure(suspended)
    roles = server.all(
        "SELECT rolname::text AS name, rolpassword IS NOT NULL AS password, rolcanlogin AS login FROM pg_authid"
        " WHERE rolname = ANY(%s)", [role_name(before.tenant_id, kind) for kind in ("app", "app_b")],
    )  # fmt: skip
    assert {row["name"]: row["password"] for row in roles} == {app_of(before): True, app_of(rotated(before)): False}
    assert not any(row["login"] for row in roles)
    assert differences(suspended, await door.observe(before.tenant_id)) == ()
    await door.ensure(replace(suspended, suspended=False))
    assert refusal(server, suspended) == "let in"


async def test_a_killed_retirement_is_finished(server: RealServer, door: PostgresServer, before: DatabaseSpec) -> None:
    """The login is closed and its session lives on: that is seen, and put right."""
    after = rotated(before)
    await door.ensure(after)
    done = replace(after, overlapping=False)
    with as_app(server, before) as old:
        await door.ensure_roles(done)
        old.execute("SELECT 1")
        found = differences(done, await door.observe(before.tenant_id))
        assert found == (f"sessions of role {app_of(before)}",)
        await door.ensure_settings(done)
        with pytest.raises(psycopg.OperationalError):
            old.execute("SELECT 1")
    assert differences(done, await door.observe(before.tenant_id)) == ()


async def test_both_logins_go_with_the_tenant(server: RealServer, door: PostgresServer, before: DatabaseSpec) -> None:
    after = rotated(before)
    await door.ensure(after)
    proof = await proof_of(door, after)

    await door.tombstone(proof, datetime(2031, 1, 1, tzinfo=UTC))
    assert {"let in"}.isdisjoint({refusal(server, before), refusal(server, after)})
    await door.restore_from_tombstone(proof)
    await door.ensure(after)
    assert refusal(server, after) == "let in"
    await door.drop(await proof_of(door, after))
    left: list[dict[str, Any]] = server.all(
        "SELECT rolname FROM pg_roles WHERE rolname LIKE %s", f"%{before.tenant_id.hex}%"
    )
    assert left == []

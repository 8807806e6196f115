"""Retaining, restoring, adopting and dropping: only with proof, all or nothing, and again after any interruption."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

import psycopg
import pytest

from hoa_operator.errors import UserError, WorldError
from hoa_operator.postgres import DatabaseSpec, OwnershipProof, PostgresServer, differences, tombstone_name
from tests.contract.servers import RealServer, app_of, migrator_of, new_spec, owner_of, proof_of
from tests.faults.words import lacks_words

DELETED_AT = datetime(2031, 4, 5, 6, 7, 8, tzinfo=UTC)


def names_left(server: RealServer, spec: DatabaseSpec) -> list[str]:
    rows = server.all(
        "SELECT datname::text AS name FROM pg_database WHERE datname LIKE %s"
        " UNION ALL SELECT rolname FROM pg_roles WHERE rolname LIKE %s ORDER BY 1",
        f"%{spec.tenant_id.hex}%",
        f"%{spec.tenant_id.hex}%",
    )
    return [row["name"] for row in rows]


async def test_drop_leaves_nothing_and_says_so(server: RealServer, door: PostgresServer) -> None:
    spec, neighbour = new_spec(), new_spec()
    await door.ensure(spec)
    await door.ensure(neighbour)
    proof = await proof_of(door, spec)
    assert await door.drop(proof) == "Dropped"
    assert names_left(server, spec) == []
    assert (await door.observe(spec.tenant_id)).absent
    assert await door.drop(proof) == "Absent"
    assert differences(neighbour, await door.observe(neighbour.tenant_id)) == ()


async def test_drop_does_not_wait_for_sessions(server: RealServer, door: PostgresServer) -> None:
    spec = new_spec()
    await door.ensure(spec)
    with (
        server.login(app_of(spec), spec.app_password, spec.database) as app,
        server.login(migrator_of(spec), spec.migrator_password, spec.database) as migrator,
    ):
        migrator.execute("BEGIN")
        assert await door.drop(await proof_of(door, spec)) == "Dropped"
        for session in (app, migrator):
            with pytest.raises(psycopg.OperationalError):
                session.execute("SELECT 1")
    assert names_left(server, spec) == []


@pytest.mark.parametrize("act", ["drop", "tombstone"])
async def test_a_superusers_session_yields_to_a_superuser_only(
    server: RealServer, door: PostgresServer, act: str
) -> None:
    spec = new_spec()
    await door.ensure(spec)
    proof = await proof_of(door, spec)

    async def run() -> None:
        await (door.drop(proof) if act == "drop" else door.tombstone(proof, DELETED_AT))

    with server.look(spec.database) as session:
        if server.superuser:
            await run()
            with pytest.raises(psycopg.OperationalError):
                session.execute("SELECT 1")
        else:
            with pytest.raises(WorldError, match="other sessions") as caught:
                await run()
            assert caught.value.reason == "DatabaseBusy"
            assert session.execute("SELECT 1 AS one").fetchone() == {"one": 1}
    await run()
    assert spec.database not in names_left(server, spec)


@pytest.mark.parametrize("act", ["drop", "tombstone"])
@pytest.mark.parametrize(
    "doubt", ["uid", "oid", "no oid", "system", "comment", "foreign comment", "owner", "role comment"]
)
async def test_any_doubt_changes_nothing(server: RealServer, door: PostgresServer, act: str, doubt: str) -> None:
    spec = new_spec()
    await door.ensure(spec)
    proof = await proof_of(door, spec)
    changed: dict[str, OwnershipProof] = {
        "uid": replace(proof, uid=uuid4()),
        "oid": replace(proof, database_oid=1),
        "no oid": replace(proof, database_oid=None),
        "system": replace(proof, system_identifier="7000000000000000000"),
    }
    damage = {
        "comment": f'COMMENT ON DATABASE "{spec.database}" IS NULL',
        "foreign comment": f"COMMENT ON DATABASE \"{spec.database}\" IS 'the accountant''s, do not touch'",
        "owner": f'ALTER DATABASE "{spec.database}" OWNER TO postgres',
        "role comment": f'COMMENT ON ROLE "{app_of(spec)}" IS NULL',
    }
    if doubt in damage:
        server.run(damage[doubt])
    before = names_left(server, spec)
    given = changed.get(doubt, proof)
    with pytest.raises(UserError) as caught:
        await (door.drop(given) if act == "drop" else door.tombstone(given, DELETED_AT))
    assert caught.value.reason == "OwnershipNotProven"
    assert names_left(server, spec) == before
    assert server.sees(app_of(spec), spec.app_password, spec.database) is None


def unfinish(server: RealServer, spec: DatabaseSpec, comment: str = "NULL") -> None:
    """Leave the database as a kill between making and commenting it does."""
    server.run(
        f'COMMENT ON DATABASE "{spec.database}" IS {comment}',
        f'ALTER DATABASE "{spec.database}" ALLOW_CONNECTIONS false',
    )


@pytest.mark.parametrize("act", ["drop", "tombstone"])
async def test_a_database_that_was_never_commented_is_claimed_then_goes(
    server: RealServer, door: PostgresServer, act: str
) -> None:
    spec = new_spec()
    await door.ensure(spec)
    known = await proof_of(door, spec)
    unrecorded = replace(known, database_oid=None)
    unfinish(server, spec)
    with pytest.raises(WorldError, match="looked at again"):
        await (door.drop(unrecorded) if act == "drop" else door.tombstone(unrecorded, DELETED_AT))
    await door.adopt(unrecorded, spec.identity)
    assert (await door.observe(spec.tenant_id)).identity == spec.identity
    await (door.drop(known) if act == "drop" else door.tombstone(known, DELETED_AT))
    assert spec.database not in names_left(server, spec)


@pytest.mark.parametrize("doubt", ["recorded", "comment", "role comment", "owner", "open", "installation"])
async def test_a_database_that_may_be_somebody_elses_is_not_claimed(
    server: RealServer, door: PostgresServer, doubt: str
) -> None:
    spec = new_spec()
    await door.ensure(spec)
    proof = await proof_of(door, spec)
    unfinish(server, spec, "'the accountant''s, do not touch'" if doubt == "comment" else "NULL")
    damage = {
        "role comment": f'COMMENT ON ROLE "{owner_of(spec)}" IS NULL',
        "owner": f'ALTER DATABASE "{spec.database}" OWNER TO postgres',
        "open": f'ALTER DATABASE "{spec.database}" ALLOW_CONNECTIONS true',
    }
    server.run(*([damage[doubt]] if doubt in damage else []))
    identity = replace(spec.identity, installation="another") if doubt == "installation" else spec.identity
    with pytest.raises(UserError) as caught:
        await door.adopt(proof if doubt == "recorded" else replace(proof, database_oid=None), identity)
    assert caught.value.reason == "OwnershipNotProven"
    assert (await door.observe(spec.tenant_id)).identity is None


async def test_a_replaced_database_is_not_dropped(server: RealServer, door: PostgresServer) -> None:
    spec = new_spec()
    await door.ensure(spec)
    proof = await proof_of(door, spec)
    server.run(f'DROP DATABASE "{spec.database}"')
    await door.ensure(spec)
    with pytest.raises(UserError, match="oid"):
        await door.drop(proof)
    assert spec.database in names_left(server, spec)


def fill(server: RealServer, spec: DatabaseSpec, dbname: str) -> None:
    """Put a table of the tenant's owner with something in it into a database."""
    server.run(
        "CREATE TABLE precious AS SELECT generate_series(1, 1000) AS id",
        f'ALTER TABLE precious OWNER TO "{owner_of(spec)}"',
        dbname=dbname,
    )


def copy_of(server: RealServer, spec: DatabaseSpec, how: str) -> str:
    """Make a copy of the tenant's database with its owners, and return its name."""
    name = f"{how}_{spec.tenant_id.hex[:8]}"
    if how == "renamed":
        server.run(f'ALTER DATABASE "{spec.database}" RENAME TO {name}')
    elif how == "owned":
        server.run(f'CREATE DATABASE {name} OWNER "{owner_of(spec)}"')
    elif how == "cloned":
        server.run(f'CREATE DATABASE {name} TEMPLATE "{spec.database}"')
    else:  # as pg_restore does
        server.run(f"CREATE DATABASE {name}")
        fill(server, spec, name)
    return name


@pytest.mark.parametrize("how", ["renamed", "owned", "cloned", "restored"])
async def test_what_the_roles_own_elsewhere_stops_the_drop_before_it_begins(
    server: RealServer, door: PostgresServer, how: str
) -> None:
    spec = new_spec()
    await door.ensure(spec)
    fill(server, spec, spec.database)
    proof = await proof_of(door, spec)
    copy = copy_of(server, spec, how)
    before = names_left(server, spec)
    with pytest.raises(WorldError) as caught:
        await door.drop(proof)
    assert (caught.value.reason, f"database {copy}" in caught.value.message) == ("ObjectsDependOnRole", True)
    assert lacks_words(caught.value.message) == ""
    assert names_left(server, spec) == before
    for dbname in {copy, spec.database if how != "renamed" else copy} - ({copy} if how == "owned" else set()):
        assert server.one("SELECT count(*) FROM precious", dbname=dbname) == 1000
    if how == "renamed":
        server.run(f'ALTER DATABASE {copy} RENAME TO "{spec.database}"')
    else:
        server.run(f"DROP DATABASE {copy}")
    assert await door.drop(proof) == "Dropped"
    assert names_left(server, spec) == []


async def test_a_copy_that_was_given_to_somebody_else_stays(server: RealServer, door: PostgresServer) -> None:
    spec = new_spec()
    await door.ensure(spec)
    proof = await proof_of(door, spec)
    copy = copy_of(server, spec, "restored")
    server.run(f'REASSIGN OWNED BY "{owner_of(spec)}" TO postgres', dbname=copy)
    server.run(f'ALTER DATABASE "{spec.database}" OWNER TO "{owner_of(spec)}"')
    assert await door.drop(proof) == "Dropped"
    assert server.one("SELECT count(*) FROM precious", dbname=copy) == 1000
    assert names_left(server, spec) == []
    server.run(f"DROP DATABASE {copy}")


async def test_roles_without_a_database_are_dropped(server: RealServer, door: PostgresServer) -> None:
    spec = new_spec()
    await door.ensure_roles(spec)
    assert await door.drop(await proof_of(door, spec)) == "Dropped"
    assert names_left(server, spec) == []


async def test_a_tombstone_is_closed_renamed_and_listed(
    server: RealServer, door: PostgresServer, template: str
) -> None:
    spec = new_spec(template=template, extensions=("citext",))
    await door.ensure(spec)
    proof = await proof_of(door, spec)
    with server.login(app_of(spec), spec.app_password, spec.database) as app:
        observed = await door.tombstone(proof, DELETED_AT)
        with pytest.raises(psycopg.OperationalError):
            app.execute("SELECT 1")
    assert (observed.tombstone, observed.name, observed.oid) == (
        True,
        tombstone_name(spec.tenant_id),
        proof.database_oid,
    )
    assert (observed.deleted_at, observed.identity, observed.extensions) == (DELETED_AT, spec.identity, ("citext",))
    assert not observed.allow_connections
    for role, password in ((app_of(spec), spec.app_password), (migrator_of(spec), spec.migrator_password)):
        for dbname in (spec.database, observed.name):
            assert server.sees(role, password, dbname)
    found = next(found for found in await door.list_tenant_databases() if found.tenant_id == spec.tenant_id)
    assert (found.tombstone, found.deleted_at, found.oid) == (True, DELETED_AT, proof.database_oid)


async def test_a_second_tombstone_writes_nothing(server: RealServer, door: PostgresServer) -> None:
    spec = new_spec()
    await door.ensure(spec)
    proof = await proof_of(door, spec)
    first = await door.tombstone(proof, DELETED_AT)
    mark = server.log_size
    assert await door.tombstone(proof, datetime.now(UTC)) == first
    assert "ALTER" not in server.log_since(mark)


async def test_a_retained_database_is_never_taken_for_a_new_one(door: PostgresServer) -> None:
    spec = new_spec()
    await door.ensure(spec)
    await door.tombstone(await proof_of(door, spec), DELETED_AT)
    with pytest.raises(UserError, match="retained"):
        await door.ensure(spec)


async def test_restore_gives_everything_back(server: RealServer, door: PostgresServer) -> None:
    spec = new_spec()
    await door.ensure(spec)
    server.run("CREATE TABLE kept AS SELECT 7 AS seven", dbname=spec.database)
    proof = await proof_of(door, spec)
    await door.tombstone(proof, DELETED_AT)
    restored = await door.restore_from_tombstone(proof)
    assert (restored.name, restored.tombstone, restored.deleted_at) == (spec.database, False, None)
    await door.ensure(spec)
    assert differences(spec, await door.observe(spec.tenant_id)) == ()
    assert server.one("SELECT seven FROM kept", dbname=spec.database) == 7


async def test_adoption_changes_only_the_uid(door: PostgresServer) -> None:
    spec = new_spec()
    await door.ensure(spec)
    proof = await proof_of(door, spec)
    await door.tombstone(proof, DELETED_AT)
    heir = replace(spec, identity=replace(spec.identity, uid=uuid4()))
    await door.adopt(proof, heir.identity)
    await door.adopt(proof, heir.identity)
    with pytest.raises(UserError):
        await door.drop(proof)
    await door.restore_from_tombstone(await proof_of(door, heir))
    await door.ensure(heir)
    assert differences(heir, await door.observe(spec.tenant_id)) == ()


async def test_adoption_needs_proof(door: PostgresServer) -> None:
    spec = new_spec()
    await door.ensure(spec)
    proof = await proof_of(door, spec)
    with pytest.raises(UserError):
        await door.adopt(replace(proof, uid=uuid4()), replace(spec.identity, uid=uuid4()))
    with pytest.raises(UserError):
        await door.adopt(proof, replace(spec.identity, tenant_id=uuid4()))
    assert (await door.observe(spec.tenant_id)).identity == spec.identity


async def test_a_tombstone_can_be_dropped(server: RealServer, door: PostgresServer) -> None:
    spec = new_spec()
    await door.ensure(spec)
    proof = await proof_of(door, spec)
    await door.tombstone(proof, DELETED_AT)
    assert await door.drop(proof) == "Dropped"
    assert names_left(server, spec) == []

"""Every role of every tenant against every database, schema and role of its server: what it holds, and what it can do."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import pytest_asyncio
from psycopg.rows import tuple_row

from hoa_app.migrations.run import upgrade
from hoa_operator.errors import UserError
from hoa_operator.postgres import differences
from hoa_operator.postgres.names import lock_key, role_names
from tests.contract import attempts
from tests.contract.fix_jobs import HEAD, migrate_tenant
from tests.contract.neighbours import NEW_TEMPLATE, TEMPLATE_PASSWORD, Neighbours
from tests.contract.rights_allowed import in_the_open
from tests.contract.servers import new_spec, proof_of
from tests.never import never

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tests.contract.attempts import Login
    from tests.contract.rights import Right
    from tests.contract.servers import RealServer


@pytest_asyncio.fixture(scope="module")
async def neighbours(
    server: RealServer, golden: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Neighbours]:
    """One server with everyone on it; the tests change tenants and look at all of them."""
    made = await Neighbours.settle(server, golden, tmp_path_factory.mktemp("neighbours"))
    yield made
    await made.leave()


def prove(neighbours: Neighbours, *names: str) -> None:
    """All roles hold what the table says and no more.

    The logins of the tenants named try where they get in and whom they can become; without names everyone tries everything.
    """
    held, public = neighbours.held()
    allowed = neighbours.allowed()
    never(sorted(held - allowed), "more than the table says")
    assert sorted(allowed - held) == [], "less than the table says"
    never(sorted(in_the_open(public)), "rights that everybody has")
    tenants = {str(neighbours.specs[name].tenant_id) for name in names}
    for login in neighbours.logins():
        if not names or login.tenant in tenants:
            try_the_doors(neighbours, login)
        if not names and login.home:
            try_everything(neighbours, login, allowed)


def try_the_doors(neighbours: Neighbours, login: Login) -> None:
    """Every database, and every role."""
    server = neighbours.server
    reached = attempts.reached(server, login)
    never([dbname for dbname in reached if dbname != login.home], f"{login.role} gets into others' databases")
    assert reached == ([login.home] if login.home else []), login.role
    if not login.home:
        return
    assert attempts.becomes(server, login) == sorted(login.groups), login.role


def try_everything(neighbours: Neighbours, login: Login, allowed: set[Right]) -> None:
    """From inside, as itself and as the role it may become."""
    server = neighbours.server
    others = [str(spec.tenant_id) for spec in neighbours.specs.values() if str(spec.tenant_id) != login.tenant]
    never(attempts.overhears(server, login), f"{login.role} overhears others")
    tables = neighbours.tables(login)
    granted = {right[3:] for right in allowed if right[:3] == (login.role, login.home, "table")}
    let = {(privilege, f"public.{table}") for privilege, table in attempts.may(server, login, tables)}
    assert {(thing, word) for word, thing in let} == {
        (thing, word) for thing, word in granted if word in attempts.WAYS and thing.removeprefix("public.") in tables
    }, login.role
    for acting in (False, True) if login.also else (False,):
        altered = attempts.alters(server, login, neighbours.some_of_each(login), acting=acting)
        never(altered, f"{login.role} alters what is others'")
        never(attempts.done_to_databases(server, login, acting=acting), f"{login.role} does this to databases")
        never(attempts.succeeds(server, login, acting=acting), f"{login.role} may do this")
        if login.tenant and login.migrated:
            never(attempts.forges(server, login, others, acting=acting), f"{login.role} passes for others")


async def test_side_by_side(neighbours: Neighbours) -> None:
    prove(neighbours)


async def test_suspended_and_back(neighbours: Neighbours) -> None:
    await neighbours.change("ours", suspended=True)
    prove(neighbours, "ours")
    await neighbours.change("ours", suspended=False)
    prove(neighbours, "ours")


async def test_read_only_and_back(neighbours: Neighbours) -> None:
    await neighbours.change("ours", read_only=True)
    prove(neighbours, "ours")
    await neighbours.change("ours", read_only=False)
    prove(neighbours, "ours")


async def test_before_and_after_an_upgrade(neighbours: Neighbours) -> None:
    """From the first revision, which no Job has granted anything in, to the head."""
    spec = neighbours.specs["upgraded"] = new_spec()
    await neighbours.change("upgraded")
    login = neighbours.login("upgraded", "migrator")
    with login.session(neighbours.server, acting=True) as session:
        session.row_factory = tuple_row  # type: ignore[assignment]
        upgrade(session, "0001")
    neighbours.unmigrated.add("upgraded")
    prove(neighbours, "upgraded")
    result = await migrate_tenant(neighbours.server, spec)
    assert (result["exit"], result["fromRevision"], result["revision"]) == (0, "0001", HEAD), result
    neighbours.unmigrated.remove("upgraded")
    prove(neighbours, "upgraded")


async def test_rotated_and_rotated_again(neighbours: Neighbours) -> None:
    """Two logins while they overlap, then the new one alone; the next rotation goes back to the first, with a new password."""
    first = neighbours.login("ours", "app")
    for _ in range(2):
        await neighbours.rotate("ours")
        prove(neighbours, "ours")
        await neighbours.change("ours", overlapping=False)
        prove(neighbours, "ours")
    assert neighbours.specs["ours"].login == "app"
    assert attempts.reached(neighbours.server, first) == []


async def test_retained_and_brought_back_by_another(neighbours: Neighbours) -> None:
    """Undelete: the data goes to a new HOATenant, with new passwords; the old ones open nothing."""
    before = neighbours.login("kept", "app"), neighbours.login("kept", "migrator")
    await neighbours.bring_back("kept")
    prove(neighbours, "kept")
    for login in before:
        assert attempts.reached(neighbours.server, login) == []
    await neighbours.retain("kept")
    prove(neighbours, "kept")


async def test_dropped_and_made_again(neighbours: Neighbours) -> None:
    """A name used again is another tenant: nothing of the first one's logins is left to come back with."""
    await neighbours.move_in("again")
    before = neighbours.specs["again"], neighbours.login("again", "app"), neighbours.login("again", "migrator")
    await neighbours.door.drop(await proof_of(neighbours.door, before[0]))
    await neighbours.move_in("again")
    prove(neighbours, "again")
    for login in before[1:]:
        assert attempts.reached(neighbours.server, login) == []
    names = role_names(before[0].tenant_id).values()
    assert neighbours.server.all("SELECT FROM pg_roles WHERE rolname = ANY(%s)", list(names)) == []


GIFTS = (
    'ALTER ROLE "{ours_app}" CREATEDB CREATEROLE INHERIT',
    'ALTER ROLE "{ours_migrator}" CREATEROLE INHERIT',
    'ALTER ROLE "{ours_owner}" LOGIN CREATEROLE',
    'ALTER ROLE "{ours_writer}" LOGIN CREATEDB',
    'GRANT pg_read_all_data, pg_write_all_data, pg_monitor, pg_signal_backend TO "{ours_app}"',
    'GRANT pg_read_server_files, pg_execute_server_program TO "{ours_migrator}"',
    'GRANT "{theirs_owner}" TO "{ours_app}"',
    'GRANT "{ours_owner}" TO "{ours_app}" WITH ADMIN OPTION',
    'GRANT "{ours_writer}" TO "{ours_app}" WITH ADMIN OPTION',
    'GRANT "{ours_owner}" TO "{ours_migrator}" WITH ADMIN OPTION',
    'GRANT hoa_connect_template_owner TO "{ours_owner}"',
    'GRANT ALL ON DATABASE "{ours}" TO "{ours_app}" WITH GRANT OPTION',
    'GRANT CREATE, TEMPORARY ON DATABASE "{ours}" TO "{ours_migrator}"',
    'GRANT ALL ON DATABASE "{theirs}" TO "{ours_app}"',
    'GRANT CONNECT ON DATABASE "{theirs}" TO "{ours_writer}", "{ours_migrator}"',
    'GRANT CONNECT ON DATABASE "{ours}" TO PUBLIC',
)
#: Only a superuser gives and takes these.
GREAT_GIFTS = (
    'ALTER ROLE "{ours_app}" SUPERUSER REPLICATION BYPASSRLS',
    'ALTER ROLE "{ours_owner}" SUPERUSER',
    'GRANT CONNECT ON DATABASE postgres TO "{ours_app}"',
    'GRANT CONNECT ON DATABASE accounting TO "{ours_migrator}"',
)


async def test_repaired_after_gifts(neighbours: Neighbours) -> None:
    """Whatever somebody gave a role, the operator notices and takes back."""
    spec = neighbours.specs["ours"]
    for gift in (*GIFTS, *(GREAT_GIFTS if neighbours.server.superuser else ())):
        neighbours.server.run(gift.format(**neighbours.names()))
    held, public = neighbours.held()
    assert len(held - neighbours.allowed()) > 50
    assert in_the_open(public)
    await neighbours.change("ours")
    assert differences(spec, await neighbours.door.observe(spec.tenant_id)) == ()
    prove(neighbours, "ours", "theirs")
    for kind in ("app", "migrator"):
        try_everything(neighbours, neighbours.login("ours", kind), neighbours.allowed())


#: Given inside the tenant's database. The app passes on what it may pass on.
INSIDE = (
    'GRANT ALL ON SCHEMA public TO "{ours_app}", "{theirs_app}", "{ours_migrator}" WITH GRANT OPTION',
    "GRANT CREATE ON SCHEMA public TO PUBLIC",
    'GRANT ALL ON users, hoa_usage TO "{ours_app}", "{ours_writer}", "{ours_migrator}", "{theirs_app}" WITH GRANT OPTION',
    "GRANT SELECT ON users, hoa_usage TO PUBLIC",
    'GRANT SELECT (password_hash), UPDATE (email) ON users TO "{theirs_migrator}", "{ours_app}"',
    'GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO "{ours_app}", "{ours_writer}", "{theirs_app}", PUBLIC',
    'GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO "{ours_app}", "{theirs_app}" WITH GRANT OPTION',
    "GRANT EXECUTE ON FUNCTION usage_figures() TO PUBLIC",
    'SET ROLE "{ours_app}"',
    'GRANT SELECT ON users TO "{theirs_writer}"',
    'GRANT EXECUTE ON FUNCTION usage_figures() TO "{theirs_writer}"',
    "RESET ROLE",
    'ALTER DEFAULT PRIVILEGES FOR ROLE "{ours_owner}" GRANT ALL ON TABLES TO "{ours_app}", "{theirs_app}", PUBLIC',
    'ALTER DEFAULT PRIVILEGES FOR ROLE "{ours_owner}" IN SCHEMA public GRANT ALL ON SEQUENCES TO "{theirs_app}", PUBLIC',
    'ALTER DEFAULT PRIVILEGES FOR ROLE "{ours_owner}" GRANT EXECUTE ON FUNCTIONS TO "{theirs_app}"',
    'ALTER DEFAULT PRIVILEGES FOR ROLE "{ours_owner}" IN SCHEMA public GRANT EXECUTE ON FUNCTIONS TO PUBLIC',
    'ALTER DEFAULT PRIVILEGES FOR ROLE "{ours_owner}" GRANT USAGE ON SCHEMAS TO "{theirs_app}"',
)


async def test_a_migration_takes_back_what_was_given_inside(neighbours: Neighbours) -> None:
    """On schemas, tables, columns, sequences, functions and what is still to come, of the tenant's own roles and of others."""
    names = neighbours.names()
    neighbours.server.run(*(gift.format(**names) for gift in INSIDE), dbname=names["ours"])
    held, public = neighbours.held()
    assert {right.kind for right in (held - neighbours.allowed()) | in_the_open(public)} >= {
        *("schema", "table", "grantable", "column", "sequence", "function", "definer", "default")
    }
    result = await migrate_tenant(neighbours.server, neighbours.specs["ours"])
    assert result["exit"] == 0, result
    assert neighbours.server.all("SELECT FROM pg_default_acl", dbname=names["ours"]) == []
    prove(neighbours, "ours", "theirs")


@pytest.mark.parametrize("gift", GIFTS)
async def test_each_gift_is_noticed(neighbours: Neighbours, gift: str) -> None:
    spec, names = neighbours.specs["ours"], neighbours.names()
    assert differences(spec, await neighbours.door.observe(spec.tenant_id)) == ()
    neighbours.server.run(gift.format(**names))
    assert differences(spec, await neighbours.door.observe(spec.tenant_id))
    await neighbours.change("ours")
    assert differences(spec, await neighbours.door.observe(spec.tenant_id)) == ()


async def test_a_gift_that_only_a_superuser_takes_back_is_told(neighbours: Neighbours) -> None:
    server, app = neighbours.server, neighbours.login("ours", "app").role
    if server.superuser:
        server.run(f'GRANT CONNECT ON DATABASE postgres TO "{app}"')
        await neighbours.change("ours")
    else:
        server.run(f'GRANT CONNECT ON DATABASE postgres TO "{app}"')
        with pytest.raises(UserError, match=f'REVOKE ALL ON DATABASE "postgres" FROM "{app}"') as caught:
            await neighbours.change("ours")
        assert caught.value.reason == "DatabaseGrantedByAnother"
        server.run(f'REVOKE ALL ON DATABASE postgres FROM "{app}"')
        await neighbours.change("ours")
    prove(neighbours, "ours")


async def test_no_tenant_can_keep_another_from_going(neighbours: Neighbours) -> None:
    """The owner of a database may grant something of it to any role, which Postgres then does not drop."""
    await neighbours.move_in("leaving")
    spec, names = neighbours.specs["leaving"], neighbours.names()
    leaving = ", ".join(f'"{role}"' for role in neighbours.tenant("leaving").roles.values())
    with neighbours.login("ours", "migrator").session(neighbours.server, acting=True) as session:
        session.execute(f'GRANT CONNECT ON DATABASE "{names["ours"]}" TO {leaving}'.encode())
        session.execute(f"GRANT SELECT ON users TO {leaving}".encode())
        session.execute(f"ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO {leaving}".encode())
    assert await neighbours.door.drop(await proof_of(neighbours.door, spec)) == "Dropped"
    del neighbours.specs["leaving"]
    prove(neighbours, "ours")


async def test_no_catalog_tells_who_the_others_are(neighbours: Neighbours) -> None:
    """Everything that a login may read of the system, searched for what the others' Jobs and specs were given."""
    told = {"seabreeze", "dana", "reyes", "new_york"}
    told |= {
        secret.lower() for spec in neighbours.specs.values() for secret in (spec.app_password, spec.migrator_password)
    }
    for kind in ("app", "migrator"):
        with neighbours.login("ours", kind).session(neighbours.server) as session:
            text = "\n".join(everything_of_the_system(session)).lower()
        assert neighbours.specs["theirs"].tenant_id.hex in text, "names are seen by everyone; so they must say nothing"
        assert sorted(word for word in told if word in text) == []


def everything_of_the_system(session: psycopg.Connection[Any]) -> Iterator[str]:
    """The rows of each catalog and view of the system that the login may read."""
    names = session.execute(
        "SELECT c.oid::regclass::text AS name FROM pg_class c WHERE c.relkind IN ('r', 'v') AND c.relnamespace = 'pg_catalog'::regnamespace"
        " AND has_table_privilege(c.oid, 'SELECT') AND c.relname NOT IN ('pg_timezone_names', 'pg_timezone_abbrevs')"
    ).fetchall()
    assert len(names) > 100
    for row in names:
        with suppress(psycopg.errors.InsufficientPrivilege):
            for found in session.execute(f"SELECT t::text AS row FROM {row['name']} t".encode()).fetchall():
                yield found["row"]


async def test_no_lock_of_a_tenant_holds_the_operator_up(neighbours: Neighbours) -> None:
    """Advisory locks are of a database, and no tenant gets into the operator's; nor does the reader hold up its registry."""
    server, spec = neighbours.server, neighbours.specs["theirs"]
    keys = [lock_key("tenant", spec.tenant_id.hex), lock_key("template", "all"), 0x484F41,
            lock_key("registry", neighbours.rig.dbname)]  # fmt: skip
    with ExitStack() as held:
        for login in neighbours.logins():
            if login.home:
                session = held.enter_context(login.session(server))
                for key in keys:
                    session.execute("SELECT pg_try_advisory_lock(%s)", [key])
        async with asyncio.timeout(20):
            await neighbours.change("theirs")
            await neighbours.door.ensure_template(NEW_TEMPLATE, TEMPLATE_PASSWORD)
            again = neighbours.rig.registry("two")
            await again.start()
            await again.close()


async def test_no_notice_crosses_from_one_database_to_another(neighbours: Neighbours) -> None:
    """Neither the registry's followers nor another tenant hear what a tenant says on their channels."""
    server = neighbours.server
    listeners = [neighbours.rig.dbname, neighbours.specs["theirs"].database]
    with ExitStack() as open_sessions:
        hearing = [open_sessions.enter_context(server.look(dbname)) for dbname in listeners]
        for session in hearing:
            session.execute("LISTEN hoa_tenants")
            session.execute("LISTEN hoa_outbox")
        for kind in ("app", "migrator"):
            with neighbours.login("ours", kind).session(server) as session:
                for channel in ("hoa_tenants", "hoa_outbox"):
                    session.execute(f"NOTIFY {channel}, '{neighbours.specs['theirs'].tenant_id}'".encode())
        for session in hearing:
            session.execute("NOTIFY hoa_outbox, 'the end'")
            assert [notice.payload for notice in session.notifies(timeout=5, stop_after=1)] == ["the end"]

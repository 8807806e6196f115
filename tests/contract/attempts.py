"""A tenant's logins try all they should not be able to do, on a real connection: what the catalogs say is one thing."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import errors, sql

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from tests.contract.servers import RealServer

#: Each of these is more than a tenant's login is for, in any database.
REFUSED = (
    "CREATE DATABASE mine",
    "CREATE ROLE mine",
    "CREATE TABLESPACE mine LOCATION '/tmp'",
    "CREATE EXTENSION dblink",
    "CREATE EXTENSION postgres_fdw",
    "CREATE EXTENSION file_fdw",
    "CREATE LANGUAGE mine HANDLER plpgsql_call_handler",
    "CREATE FOREIGN DATA WRAPPER mine",
    "CREATE SUBSCRIPTION mine CONNECTION 'dbname=postgres' PUBLICATION p",
    "CREATE PUBLICATION mine FOR ALL TABLES",
    "CREATE EVENT TRIGGER mine ON ddl_command_start EXECUTE FUNCTION current_tenant()",
    "ALTER SYSTEM SET work_mem = '1GB'",
    "ALTER ROLE ALL SET work_mem = '1GB'",
    "ALTER ROLE CURRENT_USER CREATEDB",
    "ALTER ROLE CURRENT_USER BYPASSRLS",
    "ALTER ROLE CURRENT_USER CONNECTION LIMIT 1000",
    "ALTER ROLE postgres RENAME TO mine",
    "SET log_statement = 'none'",
    "SET session_preload_libraries = 'mine'",
    "LOAD '/tmp/mine.so'",
    "COPY (SELECT 1) TO PROGRAM 'true'",
    "COPY (SELECT 1) TO '/tmp/mine'",
    "CREATE TEMPORARY TABLE IF NOT EXISTS copied (line text); COPY copied FROM '/etc/passwd'",
    "SELECT pg_read_file('postgresql.conf')",
    "SELECT pg_ls_dir('.')",
    "SELECT pg_stat_file('postgresql.conf')",
    "SELECT lo_import('/etc/passwd')",
    "SELECT lo_export(1, '/tmp/mine')",
    "SELECT pg_current_logfile(), pg_ls_logdir()",
    "SELECT * FROM pg_authid",
    "SELECT * FROM pg_shadow",
    "SELECT * FROM pg_hba_file_rules",
    "SELECT * FROM pg_file_settings",
    "SELECT * FROM pg_statistic",
    "SELECT * FROM pg_largeobject",
    "SELECT * FROM pg_user_mapping",
    "SELECT * FROM pg_subscription",
    "SELECT pg_reload_conf()",
    "SELECT pg_rotate_logfile()",
    "SELECT pg_switch_wal()",
    "SELECT pg_create_restore_point('mine')",
    "SELECT pg_create_physical_replication_slot('mine')",
    "SELECT pg_stat_reset()",
    "SELECT pg_log_backend_memory_contexts(pg_backend_pid())",
    "SELECT pg_replication_origin_create('mine')",
    "CHECKPOINT",
    "GRANT SET ON PARAMETER log_statement TO PUBLIC",
    "CREATE SCHEMA pg_mine",
    "CREATE TABLE pg_catalog.mine (id int)",
)
#: What says that a right is missing; any other error is one of the test.
REFUSALS = (errors.InsufficientPrivilege, errors.ReservedName)
#: Ways to use a table, by the privilege that they need.
WAYS = {"SELECT": "SELECT FROM {}", "INSERT": "INSERT INTO {} DEFAULT VALUES", "DELETE": "DELETE FROM {}"}
#: Warnings that no privileges were granted, or could be revoked.
IN_VAIN = {"01006", "01007"}


@dataclass(frozen=True)
class Login:
    """A way in: `home` is the one database it is for, `groups` the roles it may become there, `tenant` whose it is."""

    role: str
    password: str
    home: str
    groups: tuple[str, ...] = ()
    tenant: str = ""
    migrated: bool = True

    @property
    def also(self) -> str:
        """The first of the roles that it may become, or nothing."""
        return self.groups[0] if self.groups else ""

    @contextmanager
    def session(self, server: RealServer, *, acting: bool = False) -> Iterator[psycopg.Connection[dict[str, Any]]]:
        """A session at home; `acting` says SET ROLE first."""
        options = f"-c app.current_tenant={self.tenant}" if self.tenant else ""
        with server.login(self.role, self.password, self.home, options=options) as session:
            session.execute("SET default_transaction_read_only = off")
            if acting:
                session.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(self.also)))
            yield session


def reached(server: RealServer, login: Login) -> list[str]:
    """Return the databases that let the login in."""
    everything = sorted(server.databases())
    with ThreadPoolExecutor(4) as pool:
        refusals = list(pool.map(lambda dbname: server.sees(login.role, login.password, dbname), everything))
    return [dbname for dbname, refusal in zip(everything, refusals, strict=True) if refusal is None]


def becomes(server: RealServer, login: Login) -> list[str]:
    """Return the roles, of all that there are, that the login can act as."""
    found = []
    names = [row["rolname"] for row in server.all("SELECT rolname FROM pg_roles ORDER BY 1")]
    with login.session(server) as session:
        for name in names:
            for say in ("SET ROLE {}", "SET SESSION AUTHORIZATION {}"):
                if name != login.role and _allowed(session, sql.SQL(say).format(sql.Identifier(name)), whole=True):
                    found.append(name)
                    session.execute("RESET ROLE")
                    session.execute("RESET SESSION AUTHORIZATION")
    return found


def alters(server: RealServer, login: Login, roles: Collection[str], *, acting: bool = False) -> list[str]:
    """Return what the login can do to other roles, and to the comment that says whose it is itself."""
    found, itself = [], login.also if acting else login.role
    with login.session(server, acting=acting) as session:
        for role in roles:
            for say in ("ALTER ROLE {} SET work_mem = 64000", "ALTER ROLE {} PASSWORD NULL", "GRANT {} TO CURRENT_USER",
                        "COMMENT ON ROLE {} IS NULL", "DROP ROLE {}"):  # fmt: skip
                other = role != itself or say.startswith("COMMENT")
                if other and _allowed(session, sql.SQL(say).format(sql.Identifier(role))):
                    found.append(f"{say} {role}")
    return found


def done_to_databases(server: RealServer, login: Login, *, acting: bool = False) -> list[str]:
    """Return what the login can do to databases that are not its own."""
    ways = ("GRANT CONNECT ON DATABASE {} TO CURRENT_USER", "REVOKE CONNECT ON DATABASE {} FROM PUBLIC",
            "ALTER DATABASE {} SET work_mem = 64000", "ALTER DATABASE {} ALLOW_CONNECTIONS true",
            "COMMENT ON DATABASE {} IS NULL", "DROP DATABASE {}")  # fmt: skip
    with login.session(server, acting=acting) as session:
        return [
            f"{say} {dbname}"
            for dbname in server.databases() - {login.home}
            for say in ways
            if _allowed(session, sql.SQL(say).format(sql.Identifier(dbname)), whole=True)
        ]


def succeeds(server: RealServer, login: Login, *, acting: bool = False) -> list[str]:
    """Return those of `REFUSED` that worked."""
    with login.session(server, acting=acting) as session:
        return [statement for statement in REFUSED if _worked(session, statement)]


def may(server: RealServer, login: Login, tables: Collection[str]) -> set[tuple[str, str]]:
    """Return (privilege, table) of what the login is let do to the tables of its home. EXPLAIN checks rights and does nothing."""
    with login.session(server) as session:
        return {
            (privilege, table)
            for table in tables
            for privilege, way in WAYS.items()
            if _allowed(session, sql.SQL("EXPLAIN " + way).format(sql.Identifier("public", table)))
        }


def forges(server: RealServer, login: Login, others: Collection[str], *, acting: bool = False) -> list[str]:
    """Return the tenants that a session which names them is let read or write for."""
    found = []
    with login.session(server, acting=acting) as session:
        for other in others:
            session.execute("SELECT set_config('app.current_tenant', %s, false)", [other])
            ways = ("SELECT FROM invitations", "SELECT current_tenant()", "UPDATE outbox SET attempts = 0")
            found += [f"{other}: {say}" for say in ways if _allowed(session, sql.SQL(say))]
    return found


def overhears(server: RealServer, login: Login) -> list[str]:
    """Return what others' sessions are seen doing, and the sessions of others that the login can end."""
    with login.session(server) as session:
        rows = session.execute(
            "SELECT pid, query, client_addr, backend_start FROM pg_stat_activity WHERE usename <> current_user AND pid <> pg_backend_pid()"
        ).fetchall()
        assert rows, "somebody else is always connected: this test's own superuser"
        heard = [row["query"] for row in rows if row["query"] not in ("<insufficient privilege>", "", None)]
        seen = [str(row["client_addr"]) for row in rows if row["client_addr"] or row["backend_start"]]
        ended = [
            f"{say} {row['pid']}"
            for row in rows
            for say in ("pg_cancel_backend", "pg_terminate_backend")
            if _allowed(session, sql.SQL("SELECT " + say + "({})").format(sql.Literal(row["pid"])))
        ]
    return heard + seen + ended


def _worked(session: psycopg.Connection[Any], statement: str) -> bool:
    """Not in a transaction: some of them may not run in one, and then it is not the right that is missing."""
    try:
        session.execute(statement.encode())
    except REFUSALS:
        return False
    return True


def _allowed(session: psycopg.Connection[Any], statement: sql.SQL | sql.Composed, *, whole: bool = False) -> bool:
    """Whether the server did not say that the right is missing; what changed is rolled back, but for a `whole` statement."""
    warned: list[str | None] = []

    def note(notice: errors.Diagnostic) -> None:
        warned.append(notice.sqlstate)

    session.add_notice_handler(note)
    try:
        with nullcontext() if whole else session.transaction(force_rollback=True):
            session.execute(statement)
    except errors.InsufficientPrivilege:
        return False
    except psycopg.Error:
        return True
    finally:
        session.remove_notice_handler(note)
    return not IN_VAIN.intersection(warned)

"""Brings the registry up at start: its database, the reader's login as its connection directory says, and its schema."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psycopg import sql

from hoa_operator import registry_cluster
from hoa_operator.errors import Outdated, UserError, WorldError
from hoa_operator.postgres import comments, names
from hoa_operator.postgres.connections import Connections, parameters
from hoa_operator.postgres.failures import not_ours
from hoa_operator.postgres.logins import verify_login
from hoa_operator.postgres.model import AdminLogin, ServerAddress
from hoa_operator.postgres.provision import create_database, ident
from hoa_operator.scram import verifier

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hoa_operator.postgres.connections import Connection
    from hoa_operator.registry_cluster import Cluster

_MIGRATIONS = Path(__file__).parent / "registry_migrations"
_REGISTRY_TABLES = {"public.alembic_version", "public.operator_epoch", "public.placements", "public.tenants"}
#: What people made in a database: no catalogs, and nothing that an extension brought.
_TABLES = """
SELECT n.nspname || '.' || c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
    AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY 1
"""


@dataclass(frozen=True)
class ConnectionDirectory:
    """A mounted Secret with one file per libpq parameter (contract, "Words")."""

    login: AdminLogin
    dbname: str

    @classmethod
    def read(cls, path: Path, maintenance_db: str = "postgres") -> ConnectionDirectory:
        """Read it; raises UserError that names the file which is missing or malformed."""
        try:
            address = ServerAddress(
                _value(path, "host"), int(_value(path, "port", "5432")), _value(path, "sslmode", "prefer")
            )
        except ValueError as error:
            raise UserError(
                "ConnectionDirectoryInvalid", f"{path / 'port'} holds no number; correct the Secret mounted there"
            ) from error
        login = AdminLogin(address, _value(path, "username"), _value(path, "password"), maintenance_db)
        return cls(login, _value(path, "dbname", names.REGISTRY_DATABASE))

    def inside(self) -> AdminLogin:
        """Return the login whose sessions work in the directory's database."""
        return replace(self.login, maintenance_db=self.dbname)


def _value(path: Path, name: str, default: str | None = None) -> str:
    try:
        text = (path / name).read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        text = ""
    except OSError as error:
        raise WorldError(
            "ConnectionDirectoryUnreadable",
            f"cannot read {path / name}: {error.strerror}; check the Secret mounted there",
        ) from error
    if not text and default is None:
        raise UserError(
            "ConnectionDirectoryInvalid", f"{path / name} is missing or empty; add it to the Secret mounted there"
        )
    return text or str(default)


async def set_up(
    registry: ConnectionDirectory, reader: ConnectionDirectory, application: str, installation: str, cluster: Cluster
) -> None:
    """Create what is missing and migrate to the head; safe to run from several instances at once. Raises ForeignRegistry, and
    leaves the reader's login and the schema as they are, where the registry is another cluster's."""
    connections = Connections(registry.login, application, limit=1)
    try:
        async with connections.locked("registry", registry.dbname) as connection:
            await _ensure_database(connections, connection, registry.dbname, installation)
            async with connections.within(registry.dbname) as inside:
                unclaimed = await registry_cluster.admit(inside, cluster)
            await _ensure_reader(connection, registry, reader, installation)
            # Under the same lock, which is not of the registry's database: there the reader could take it and keep it.
            await _migrate(connections, registry, reader.login.username, application)
            if unclaimed:
                async with connections.within(registry.dbname) as inside:
                    await registry_cluster.claim(inside, cluster)
    finally:
        await connections.close()


async def _ensure_database(connections: Connections, connection: Connection, dbname: str, installation: str) -> None:
    if await _comment_of(connection, dbname) is None:
        create = sql.SQL("CREATE DATABASE {} ALLOW_CONNECTIONS false").format(ident(dbname))
        await create_database(connection, create, template=None)
    found = await _comment_of(connection, dbname)
    if found is None:
        raise WorldError(
            "DatabaseMissing",
            f"database {dbname} disappeared; it is made again; should it last, see docs/operations/lost-server.md",
        )
    holder = found["comment"].get(comments.INSTALLATION, installation)
    if holder != installation:
        raise not_ours(f"database {dbname}", f"it is the registry of installation {holder}; name another dbname")
    unclaimed = comments.INSTALLATION not in found["comment"]
    if unclaimed:
        await _refuse_foreign(connections, dbname, found)
    async with connection.transaction():
        if unclaimed:
            text = sql.Literal(comments.render_template(installation, None))
            await connection.execute(sql.SQL("COMMENT ON DATABASE {} IS {}").format(ident(dbname), text))
        if found["public"]:
            await connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(ident(dbname)))
        if not found["open"]:
            await connection.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(ident(dbname)))


async def _refuse_foreign(connections: Connections, dbname: str, found: Mapping[str, Any]) -> None:
    """Let pass what a killed start left, what is empty, and a registry that was put back from a dump."""
    refusal = "name another dbname, or one that is empty, in the Secret of the registry"
    if not found["open"]:
        if found["bare"] and found["owned"]:
            return
        raise not_ours(f"database {dbname}", f"it refuses connections and is no registry of ours; {refusal}")
    async with connections.within(dbname) as inside:
        tables = [row["name"] for row in await (await inside.execute(_TABLES)).fetchall()]
    if tables and not _REGISTRY_TABLES.issubset(tables):
        some = ", ".join(tables[:3]) + (", ..." if len(tables) > 3 else "")
        raise not_ours(f"database {dbname}", f"it holds {some} and is no registry of ours; {refusal}")


async def _comment_of(connection: Connection, dbname: str) -> dict[str, Any] | None:
    cursor = await connection.execute(
        "SELECT shobj_description(d.oid, 'pg_database') AS comment, d.datallowconn AS open,"
        " pg_get_userbyid(d.datdba) = current_user AS owned, EXISTS (SELECT FROM"
        " aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a WHERE a.grantee = 0) AS public"
        " FROM pg_database d WHERE d.datname = %s",
        [dbname],
    )
    row = await cursor.fetchone()
    return None if row is None else {**row, "bare": row["comment"] is None, "comment": comments.parse(row["comment"])}


async def _ensure_reader(
    connection: Connection, registry: ConnectionDirectory, reader: ConnectionDirectory, installation: str
) -> None:
    name, password = reader.login.username, reader.login.password
    cursor = await connection.execute(
        "SELECT shobj_description(oid, 'pg_authid') AS comment,"
        " has_database_privilege(oid, %s, 'CONNECT') AS connect, rolcanlogin FROM pg_roles WHERE rolname = %s",
        [registry.dbname, name],
    )
    role = await cursor.fetchone()
    ours = role is None or comments.parse(role["comment"]).get(comments.INSTALLATION) == installation
    right = role is not None and await verify_login(registry.login.address, registry.dbname, name, password)
    if not right and not ours:
        raise UserError(
            "ReaderLoginRefused",
            f"role {name} on {registry.login.address} was not made by this installation and refuses the reader's password;"
            " correct the reader's Secret, or drop the role",
        )
    async with connection.transaction():
        if role is None:
            await connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(ident(name)))
            text = sql.Literal(comments.render_template(installation, None))
            await connection.execute(sql.SQL("COMMENT ON ROLE {} IS {}").format(ident(name), text))
        if not right:
            await connection.execute(
                sql.SQL("ALTER ROLE {} PASSWORD {}").format(ident(name), sql.Literal(verifier(password)))
            )
        if role is None or not role["connect"]:
            await connection.execute(
                sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(ident(registry.dbname), ident(name))
            )


async def _migrate(connections: Connections, registry: ConnectionDirectory, reader: str, application: str) -> None:
    """Upgrade to the head, under the caller's lock. Where there is nothing to upgrade, which is nearly always, alembic is
    not even imported; and where there is, not here: it and SQLAlchemy would stay in the operator's memory for good."""
    known = {path.name[:4] for path in (_MIGRATIONS / "versions").glob("[0-9][0-9][0-9][0-9]_*.py")}
    async with connections.within(registry.dbname) as inside:
        found = await _revisions(inside)
    if found - known:
        raise Outdated(
            f"the registry is at revision {', '.join(sorted(found - known))}, made by a later build of the operator; this one "
            f"knows {', '.join(sorted(known))}. Tenants are served as they are. Install the later build again"
        )
    if found == {max(known)}:
        return
    await _upgrade_apart(parameters(registry.login, application, registry.dbname), registry, reader)


async def _upgrade_apart(given: Mapping[str, Any], registry: ConnectionDirectory, reader: str) -> None:
    """Run `registry_upgrade` in a process of its own, which is told on its standard input what to do."""
    asked = {"given": dict(given), "scripts": str(_MIGRATIONS), "reader": reader, "where": f"{registry.login.address}"}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "hoa_operator.registry_upgrade"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    try:
        said, _ = await process.communicate(json.dumps(asked).encode())
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if said:
        trouble = json.loads(said)
        raise WorldError(trouble["reason"], trouble["message"])
    if process.returncode != 0:
        raise WorldError(
            "RegistryUpgradeEnded",
            f"the process that migrates database {registry.dbname} ended with {process.returncode}; each revision is whole or not"
            " there, and it is tried again; should it last, look at the operator's log, and give its pod more memory",
        )


async def _revisions(inside: Connection) -> set[str]:
    """Return what alembic wrote down last; nothing in an empty database."""
    cursor = await inside.execute("SELECT to_regclass('public.alembic_version') IS NOT NULL AS known")
    row = await cursor.fetchone()
    if not row or not row["known"]:
        return set()
    cursor = await inside.execute("SELECT version_num FROM public.alembic_version")
    return {found["version_num"] for found in await cursor.fetchall()}

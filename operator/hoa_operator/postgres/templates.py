"""Golden templates: a database per schema revision that new tenants are cloned from, owned by the admin and sealed when ready."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg import sql

from hoa_operator.errors import UserError, WorldError
from hoa_operator.postgres import comments, names
from hoa_operator.postgres.failures import not_ours
from hoa_operator.postgres.observe import list_templates
from hoa_operator.postgres.provision import create_database, ident, join
from hoa_operator.postgres.sessions import terminate_database
from hoa_operator.postgres.teardown import drop_database
from hoa_operator.scram import verifier

if TYPE_CHECKING:
    from collections.abc import Collection

    from hoa_operator.postgres.connections import Connection, Connections
    from hoa_operator.postgres.model import TemplateDatabase


async def ensure_template(
    connection: Connection, connections: Connections, installation: str, revision: str, migrator_password: str
) -> None:
    """Make the template's roles and its empty database, ready for the migration Job; a sealed template is left alone."""
    found = await _find(connection, revision)
    if found is not None and found.ready and found.installation == installation:
        return
    await _ensure_roles(connection, installation, migrator_password)
    if found is None:
        create = sql.SQL("CREATE DATABASE {} ALLOW_CONNECTIONS false").format(ident(names.template_name(revision)))
        await create_database(connection, create, template=None)
    await _claim(connection, installation, revision)
    await _open(connection, installation, revision)
    async with connections.within(names.template_name(revision)) as inside:
        await inside.execute(sql.SQL("ALTER SCHEMA public OWNER TO {}").format(ident(names.TEMPLATE_OWNER)))


async def _find(connection: Connection, revision: str) -> TemplateDatabase | None:
    return next((found for found in await list_templates(connection) if found.revision == revision), None)


async def _claim(connection: Connection, installation: str, revision: str) -> None:
    """Raise unless the template carries our installation, or is uncommented, closed and the admin's own: a killed creation."""
    name = names.template_name(revision)
    cursor = await connection.execute(
        "SELECT shobj_description(oid, 'pg_database') AS comment, datallowconn,"
        " datdba = (SELECT oid FROM pg_roles WHERE rolname = current_user) AS own FROM pg_database WHERE datname = %s",
        [name],
    )
    row = await cursor.fetchone()
    if row is None:
        raise WorldError("TemplateMissing", f"template database {name} disappeared; it is made again")
    holder = comments.parse(row["comment"]).get(comments.INSTALLATION)
    begun = row["comment"] is None and row["own"] and not row["datallowconn"]
    if holder != installation and not begun:
        raise not_ours(f"database {name}", "it is not a template of this installation")


async def _open(connection: Connection, installation: str, revision: str) -> None:
    database = ident(names.template_name(revision))
    comment = sql.Literal(comments.render_template(installation, revision))
    async with connection.transaction():
        await connection.execute(sql.SQL("COMMENT ON DATABASE {} IS {}").format(database, comment))
        await connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(database))
        await connection.execute(sql.SQL("ALTER DATABASE {} IS_TEMPLATE false ALLOW_CONNECTIONS true").format(database))
        await connection.execute(
            sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(database, ident(names.TEMPLATE_MIGRATOR))
        )
        await connection.execute(
            sql.SQL("ALTER ROLE {} IN DATABASE {} SET search_path = 'public'").format(
                ident(names.TEMPLATE_MIGRATOR), database
            )
        )


async def _ensure_roles(connection: Connection, installation: str, migrator_password: str) -> None:
    owner, migrator = ident(names.TEMPLATE_OWNER), ident(names.TEMPLATE_MIGRATOR)
    comment = sql.Literal(comments.render_template(installation, None))
    async with connection.transaction():
        for name in (names.TEMPLATE_OWNER, names.TEMPLATE_MIGRATOR):
            if not await _role_is_ours(connection, name, installation):
                await connection.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(ident(name)))
                await connection.execute(sql.SQL("COMMENT ON ROLE {} IS {}").format(ident(name), comment))
            await join(connection, name)
        await connection.execute(
            sql.SQL("ALTER ROLE {} LOGIN NOINHERIT CONNECTION LIMIT 4 PASSWORD {}").format(
                migrator, sql.Literal(verifier(migrator_password))
            )
        )
        await connection.execute(sql.SQL("GRANT {} TO {}").format(owner, migrator))


async def _role_is_ours(connection: Connection, name: str, installation: str) -> bool:
    cursor = await connection.execute(
        "SELECT shobj_description(oid, 'pg_authid') AS comment FROM pg_roles WHERE rolname = %s", [name]
    )
    row = await cursor.fetchone()
    if row is None:
        return False
    if comments.parse(row["comment"]).get(comments.INSTALLATION) != installation:
        raise not_ours(
            f"role {name}", "another installation uses this server's templates; give each installation its own server"
        )
    return True


async def seal_template(connection: Connection, installation: str, revision: str) -> None:
    """Close the migrated template to everyone and mark it ready to be cloned."""
    await _claim(connection, installation, revision)
    name = names.template_name(revision)
    comment = sql.Literal(comments.render_template(installation, revision, sealed=True))
    async with connection.transaction():
        migrator = ident(names.TEMPLATE_MIGRATOR)
        await connection.execute(sql.SQL("ALTER ROLE {} NOLOGIN").format(migrator))
        # The next template's Job logs in as the same role, and has no business here.
        await connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM {}").format(ident(name), migrator))
        await connection.execute(
            sql.SQL("ALTER DATABASE {} IS_TEMPLATE true ALLOW_CONNECTIONS false").format(ident(name))
        )
        await connection.execute(sql.SQL("COMMENT ON DATABASE {} IS {}").format(ident(name), comment))
    await terminate_database(connection, name)


async def template_ready(connection: Connection, revision: str) -> bool:
    """Say whether tenants can be cloned from the template."""
    found = await _find(connection, revision)
    return found is not None and found.ready


async def drop_old_templates(connection: Connection, installation: str, keep: Collection[str]) -> tuple[str, ...]:
    """Drop this installation's templates of other revisions; returns the revisions that went."""
    if not keep:
        raise UserError("NoTemplateKept", "at least one template revision must be kept")
    gone = []
    for found in await list_templates(connection):
        if found.installation != installation or found.revision in keep:
            continue
        name = names.template_name(found.revision)
        await connection.execute(sql.SQL("ALTER DATABASE {} IS_TEMPLATE false").format(ident(name)))
        await drop_database(connection, name)
        gone.append(found.revision)
    return tuple(gone)

"""Makes a tenant's roles and database what they shall be; every step reads first and writes only what differs.

Crash safety rests on one order: roles are made and commented in one transaction, so a database owned by a role that carries our
comment is ours, even when its own comment was never written. A new database refuses connections until PUBLIC is locked out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import psycopg
from psycopg import errors, sql

from hoa_operator.errors import UserError, WorldError
from hoa_operator.postgres import comments, desired, excess, names
from hoa_operator.postgres.failures import not_ours
from hoa_operator.postgres.observe import observe
from hoa_operator.postgres.sessions import terminate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hoa_operator.postgres.connections import Connection, Connections
    from hoa_operator.postgres.model import Created, DatabaseIdentity, DatabaseSpec, ObservedDatabase, ObservedRole

_LASTS: Final = "should it last, see docs/operations/lost-server.md"


def ident(name: str) -> sql.Identifier:
    """Return a quoted identifier."""
    return sql.Identifier(name)


async def admin_of(connection: Connection) -> tuple[bool, int]:
    """Return whether the session's login is a superuser, and the server's version number."""
    cursor = await connection.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
    row = await cursor.fetchone()
    return bool(row and row["rolsuper"]), connection.info.server_version


async def join(connection: Connection, role: str) -> None:
    """Make the admin a member of `role`, which a login without superuser needs to act for it."""
    superuser, version = await admin_of(connection)
    if superuser:
        return
    cursor = await connection.execute(
        "SELECT pg_has_role(%s, 'USAGE') AND pg_has_role(%s, 'MEMBER') AS joined", [role, role]
    )
    row = await cursor.fetchone()
    if row and row["joined"]:
        return
    options = " WITH INHERIT TRUE, SET TRUE" if version >= 160000 else ""
    await connection.execute(sql.SQL("GRANT {} TO CURRENT_USER" + options).format(ident(role)))


def claim_roles(spec: DatabaseSpec, observed: ObservedDatabase) -> None:
    """Raise unless every existing role carries exactly the spec's identity."""
    for kind, name in names.role_names(spec.tenant_id).items():
        role = observed.role(kind)
        if role.exists and role.identity != spec.identity:
            raise not_ours(f"role {name}", "it exists and its comment does not carry this tenant's identity")


def claim_database(spec: DatabaseSpec, observed: ObservedDatabase) -> None:
    """Raise unless the existing database is the spec's: by its comment, or uncommented and owned by our commented role."""
    claim_roles(spec, observed)
    owner = names.role_name(spec.tenant_id, names.OWNER)
    if observed.tombstone:
        kept = "it is retained from a deleted tenant; bring it back first (docs/operations/retained-databases.md)"
        raise not_ours(f"database {observed.name}", kept)
    ours = observed.identity == spec.identity or observed.identity is None
    if not ours or observed.owner != owner or not observed.role(names.OWNER).exists:
        raise not_ours(
            f"database {observed.name}", "it exists and its owner or comment does not carry this tenant's identity"
        )


async def ensure_roles(connection: Connection, spec: DatabaseSpec) -> None:
    """Make the tenant's roles, their attributes, comments and membership; one transaction."""
    observed = await observe(connection, spec.tenant_id)
    claim_roles(spec, observed)
    statements = list(_role_statements(spec, observed))
    async with connection.transaction():
        for statement in statements:
            await connection.execute(statement)
        for kind, name in names.role_names(spec.tenant_id).items():
            if desired.is_wanted(spec, kind, observed.role(kind)):
                await join(connection, name)
    await excess.revoke_trespasses(connection, spec, observed)
    if desired.excess(spec, observed):
        excess.refuse(spec, await observe(connection, spec.tenant_id))


def _role_statements(spec: DatabaseSpec, observed: ObservedDatabase) -> Iterator[sql.Composed]:
    for kind, name in names.role_names(spec.tenant_id).items():
        role = observed.role(kind)
        if not desired.is_wanted(spec, kind, role):
            continue
        if not role.exists:
            yield sql.SQL("CREATE ROLE {} {}").format(ident(name), _attributes(spec, kind, role))
            yield sql.SQL("COMMENT ON ROLE {} IS {}").format(ident(name), sql.Literal(comments.render(spec.identity)))
        elif desired.role_differs(spec, kind, role):
            yield sql.SQL("ALTER ROLE {} {}").format(ident(name), _attributes(spec, kind, role))
        if role.set_everywhere:
            yield sql.SQL("ALTER ROLE {} RESET ALL").format(ident(name))
    yield from excess.membership_statements(spec, observed)


def _attributes(spec: DatabaseSpec, kind: str, role: ObservedRole) -> sql.Composed:
    words = [
        "LOGIN" if desired.can_login(spec, kind) else "NOLOGIN",
        "INHERIT" if desired.inherits(kind) else "NOINHERIT",
        *(f"NO{power}" for power in role.powers),
        *(["VALID UNTIL 'infinity'"] if role.expires else []),
        *(["PASSWORD NULL"] if role.exists and desired.is_retired(spec, kind) else []),
    ]
    limit = sql.SQL("CONNECTION LIMIT {}").format(sql.Literal(desired.connection_limit(spec, kind)))
    return sql.SQL(" ").join([*(sql.SQL(word) for word in words), limit])


async def ensure_database(connection: Connection, spec: DatabaseSpec) -> Created:
    """Create the database closed, comment it, lock PUBLIC out, then open it; or finish what a killed run began."""
    observed = await observe(connection, spec.tenant_id)
    created: Created = "Exists"
    if not observed.exists:
        if observed.role(names.OWNER).identity != spec.identity:
            raise not_ours(
                f"role {names.role_name(spec.tenant_id, names.OWNER)}", "it is missing or carries another identity"
            )
        created = await create_database(connection, _create(spec), template=spec.template)
        observed = await observe(connection, spec.tenant_id)
    claim_database(spec, observed)
    await _open_database(connection, spec, observed)
    return created


def _create(spec: DatabaseSpec) -> sql.Composed:
    return sql.SQL("CREATE DATABASE {} OWNER {} ALLOW_CONNECTIONS false").format(
        ident(spec.database), ident(names.role_name(spec.tenant_id, names.OWNER))
    )


async def create_database(connection: Connection, create: sql.Composed, *, template: str | None) -> Created:
    """Run CREATE DATABASE from a template of ours or from template0; a busy template is waited for by the server, 5 s."""
    if template is None:
        source = sql.SQL(" TEMPLATE template0") + await _encoding(connection)
    else:
        source = sql.SQL(" TEMPLATE {} STRATEGY WAL_LOG").format(ident(names.template_name(template)))
    try:
        await connection.execute(create + source)
    except (errors.DuplicateDatabase, errors.UniqueViolation):
        return "Exists"
    except errors.InvalidCatalogName as error:
        raise WorldError(
            "TemplateMissing", f"template {template} is not on {connection.info.host}; it is made first"
        ) from error
    except errors.ObjectInUse as error:
        raise WorldError(
            "TemplateBusy",
            f"sessions are connected to template {template or 'template0'} on {connection.info.host}; it is tried again. Should"
            " it last, end them (pg_stat_activity says whose they are)",
        ) from error
    return "Created"


async def _encoding(connection: Connection) -> sql.Composable:
    cursor = await connection.execute(
        "SELECT pg_encoding_to_char(encoding) AS encoding FROM pg_database WHERE datname = 'template0'"
    )
    row = await cursor.fetchone()
    if row and row["encoding"] == "UTF8":
        return sql.SQL("")
    return sql.SQL(" ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'")


async def _open_database(connection: Connection, spec: DatabaseSpec, observed: ObservedDatabase) -> None:
    database = ident(observed.name)
    async with connection.transaction():
        if observed.identity != spec.identity:
            await connection.execute(
                sql.SQL("COMMENT ON DATABASE {} IS {}").format(database, sql.Literal(comments.render(spec.identity)))
            )
        if observed.public_connect:
            await connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(database))
        if not observed.allow_connections:
            await connection.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(database))


async def ensure_grants(connection: Connection, connections: Connections, spec: DatabaseSpec) -> None:
    """Hand a clone's objects to the tenant's owner, install extensions, and let the tenant's logins in."""
    observed = await observe(connection, spec.tenant_id)
    if not observed.exists:
        raise WorldError("DatabaseMissing", f"database {spec.database} is missing; it is made first; {_LASTS}")
    claim_database(spec, observed)
    if observed.foreign_objects:
        await join_if_present(connection, names.TEMPLATE_OWNER)
        await _hand_over(connections, spec)
    if not set(spec.extensions) <= set(observed.extensions):
        await _install(connections, spec, set(spec.extensions) | set(observed.extensions))
    await _let_in(connection, spec, observed)


async def join_if_present(connection: Connection, role: str) -> None:
    """Join `role` if it exists."""
    cursor = await connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role])
    if await cursor.fetchone():
        await join(connection, role)


async def _hand_over(connections: Connections, spec: DatabaseSpec) -> None:
    owner = ident(names.role_name(spec.tenant_id, names.OWNER))
    template_owner = ident(names.TEMPLATE_OWNER)
    async with connections.within(spec.database) as inside, inside.transaction():
        # Schemas first: without superuser, an object's new owner must have CREATE on the schema it lies in.
        cursor = await inside.execute(
            "SELECT nspname FROM pg_namespace WHERE nspowner = (SELECT oid FROM pg_roles WHERE rolname = %s)",
            [names.TEMPLATE_OWNER],
        )
        for row in await cursor.fetchall():
            await inside.execute(sql.SQL("ALTER SCHEMA {} OWNER TO {}").format(ident(row["nspname"]), owner))
        await inside.execute(sql.SQL("REASSIGN OWNED BY {} TO {}").format(template_owner, owner))
        # Nothing is owned any more: this revokes leftovers and drops default privileges, in this database only.
        await inside.execute(sql.SQL("DROP OWNED BY {}").format(template_owner))


async def _install(connections: Connections, spec: DatabaseSpec, extensions: set[str]) -> None:
    async with connections.within(spec.database) as inside, inside.transaction():
        for extension in sorted(extensions):
            try:
                await inside.execute(
                    sql.SQL("CREATE EXTENSION IF NOT EXISTS {} SCHEMA public").format(ident(extension))
                )
            except (errors.FeatureNotSupported, errors.UndefinedFile, errors.InsufficientPrivilege) as error:
                raise _unavailable(extension, error) from error
        comment = comments.render(spec.identity, extensions=sorted(extensions))
        await inside.execute(sql.SQL("COMMENT ON DATABASE {} IS {}").format(ident(spec.database), sql.Literal(comment)))


def _unavailable(extension: str, error: psycopg.Error) -> UserError:
    return UserError(
        "ExtensionUnavailable",
        f"extension {extension!r} cannot be installed: {error.diag.message_primary};"
        " take it out of spec.database.extensions, or have it installed on the server",
    )


async def _let_in(connection: Connection, spec: DatabaseSpec, observed: ObservedDatabase) -> None:
    database = ident(observed.name)
    async with connection.transaction():
        if observed.public_connect:
            await connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(database))
        for kind in names.LOGINS:
            if observed.role(kind).exists and not observed.role(kind).can_connect:
                role = ident(names.role_name(spec.tenant_id, kind))
                await connection.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(database, role))


async def ensure_settings(connection: Connection, spec: DatabaseSpec) -> None:
    """Set the login roles' settings in the database; end the app's sessions where a new state must hold at once, and those
    of a login that is closed."""
    observed = await observe(connection, spec.tenant_id)
    if not observed.exists:
        raise WorldError("DatabaseMissing", f"database {spec.database} is missing; it is made first; {_LASTS}")
    claim_database(spec, observed)
    async with connection.transaction():
        for statement in _setting_statements(spec, observed):
            await connection.execute(statement)
    for kind in names.APP_LOGINS:
        role = observed.role(kind)
        newly_read_only = spec.read_only and desired.READ_ONLY not in role.settings
        if desired.must_end(spec, kind, role) or (role.sessions and newly_read_only):
            await terminate(connection, names.role_name(spec.tenant_id, kind))


async def shut_out(connection: Connection, identity: DatabaseIdentity) -> None:
    """Take LOGIN from the tenant's app logins and end their sessions; raises before that if one is another's."""
    observed = await observe(connection, identity.tenant_id)
    logins = {kind: role for kind in names.APP_LOGINS if (role := observed.role(kind)).exists}
    for kind, role in logins.items():
        if role.identity != identity:
            name = names.role_name(identity.tenant_id, kind)
            raise not_ours(f"role {name}", "it exists and its comment does not carry this tenant's identity")
    for kind, role in logins.items():
        name = names.role_name(identity.tenant_id, kind)
        await join(connection, name)
        if role.can_login:
            await connection.execute(sql.SQL("ALTER ROLE {} NOLOGIN").format(ident(name)))
        await terminate(connection, name)


def _setting_statements(spec: DatabaseSpec, observed: ObservedDatabase) -> Iterator[sql.Composed]:
    for kind, name in names.role_names(spec.tenant_id).items():
        if not observed.role(kind).exists:
            continue
        head = sql.SQL("ALTER ROLE {} IN DATABASE {} ").format(ident(name), ident(observed.name))
        for setting, value in desired.setting_changes(spec, kind, observed).items():
            quoted = sql.Identifier(*setting.split("."))
            if value is None:
                yield head + sql.SQL("RESET {}").format(quoted)
            else:
                yield head + sql.SQL("SET {} = {}").format(quoted, sql.Literal(value))

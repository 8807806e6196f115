"""Reads a tenant's whole state on a server with one query of the shared catalogs, which any login may read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hoa_operator.postgres import comments, names
from hoa_operator.postgres.model import ObservedDatabase, ObservedRole, TemplateDatabase, TenantDatabase, TenantRole

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from hoa_operator.postgres.connections import Connection

#: Which databases grant a role something is looked up in pg_shdepend, where Postgres itself notes it and has an index by role:
#: to go through the grants of every database took longer the more tenants there were.
_OBSERVE: Final = """
WITH db AS (
    SELECT d.*, pg_get_userbyid(d.datdba) AS owner, shobj_description(d.oid, 'pg_database') AS comment
    FROM pg_database d WHERE d.datname IN (%(live)s, %(tombstone)s)
), chosen AS (
    SELECT * FROM db ORDER BY datname = %(live)s DESC LIMIT 1
), acl AS (
    SELECT a.grantee, a.privilege_type
    FROM chosen c, aclexplode(coalesce(c.datacl, acldefault('d', c.datdba))) a
)
SELECT
    (SELECT system_identifier::text FROM pg_control_system()) AS system_identifier,
    has_parameter_privilege('app.current_tenant', 'SET') AS custom_settings_allowed,
    (SELECT jsonb_build_object(
        'name', c.datname, 'oid', c.oid::bigint, 'owner', c.owner, 'comment', c.comment,
        'connection_limit', c.datconnlimit, 'allow_connections', c.datallowconn,
        'public_connect', EXISTS (SELECT FROM acl WHERE grantee = 0),
        'sessions', (SELECT count(*) FROM pg_stat_activity s WHERE s.datid = c.oid AND s.backend_type = 'client backend'),
        'foreign_objects', (SELECT count(*) FROM pg_shdepend s WHERE s.dbid = c.oid
            AND s.refclassid = 'pg_authid'::regclass
            AND s.refobjid = (SELECT oid FROM pg_roles WHERE rolname = %(template_owner)s))
     ) FROM chosen c) AS database,
    (SELECT coalesce(jsonb_object_agg(r.rolname, jsonb_build_object(
        'oid', r.oid::bigint, 'comment', shobj_description(r.oid, 'pg_authid'), 'can_login', r.rolcanlogin,
        'connection_limit', r.rolconnlimit, 'inherits', r.rolinherit,
        'expires', coalesce(r.rolvaliduntil < 'infinity', false),
        'set_everywhere', coalesce((SELECT bool_or(split_part(c, '=', 1) !~ '[.]') FROM pg_db_role_setting s,
            unnest(s.setconfig) c WHERE s.setrole = r.oid AND s.setdatabase = 0), false),
        'powers', array_remove(ARRAY[
            CASE WHEN r.rolsuper THEN 'SUPERUSER' END, CASE WHEN r.rolcreatedb THEN 'CREATEDB' END,
            CASE WHEN r.rolcreaterole THEN 'CREATEROLE' END, CASE WHEN r.rolreplication THEN 'REPLICATION' END,
            CASE WHEN r.rolbypassrls THEN 'BYPASSRLS' END], NULL),
        'member_of', (SELECT coalesce(jsonb_agg(g.rolname ORDER BY g.rolname), '[]')
            FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid WHERE m.member = r.oid),
        'admin_of', (SELECT coalesce(jsonb_agg(DISTINCT g.rolname), '[]')
            FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid WHERE m.member = r.oid AND m.admin_option),
        'trespasses', (SELECT coalesce(jsonb_agg(DISTINCT d.datname ORDER BY d.datname), '[]')
            FROM pg_shdepend s JOIN pg_database d ON d.oid = s.objid, aclexplode(d.datacl) a
            WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = r.oid AND s.classid = 'pg_database'::regclass
            AND a.grantee = r.oid AND d.datdba <> r.oid
            AND (a.privilege_type <> 'CONNECT' OR a.is_grantable OR d.oid IS DISTINCT FROM (SELECT c.oid FROM chosen c))),
        'can_connect', EXISTS (SELECT FROM acl WHERE grantee = r.oid AND privilege_type = 'CONNECT'),
        'sessions', (SELECT count(*) FROM pg_stat_activity s WHERE s.usesysid = r.oid),
        'settings', coalesce((SELECT to_jsonb(s.setconfig) FROM pg_db_role_setting s, chosen c
            WHERE s.setrole = r.oid AND s.setdatabase = c.oid), '[]')
     )), '{}') FROM pg_roles r WHERE r.rolname = ANY(%(roles)s)) AS roles
"""

_TENANTS: Final = """
SELECT d.datname AS name, d.oid::bigint AS oid, shobj_description(d.oid, 'pg_database') AS comment,
    CASE WHEN has_database_privilege(d.oid, 'CONNECT') THEN pg_database_size(d.oid) END AS size_bytes
FROM pg_database d
WHERE starts_with(d.datname, %(live)s) OR starts_with(d.datname, %(tombstone)s)
ORDER BY d.datname
"""

_ROLES: Final = """
SELECT r.rolname AS name, shobj_description(r.oid, 'pg_authid') AS comment, r.rolcanlogin AS can_login
FROM pg_roles r WHERE starts_with(r.rolname, %(prefix)s) ORDER BY r.rolname
"""

_TEMPLATES: Final = """
SELECT d.datname AS name, d.oid::bigint AS oid, shobj_description(d.oid, 'pg_database') AS comment,
    d.datistemplate AND NOT d.datallowconn AS closed
FROM pg_database d WHERE starts_with(d.datname, %(prefix)s) ORDER BY d.datname
"""


async def observe(connection: Connection, tenant_id: UUID) -> ObservedDatabase:
    """Return what the server holds of the tenant."""
    cursor = await connection.execute(
        _OBSERVE,
        {
            "live": names.database_name(tenant_id),
            "tombstone": names.tombstone_name(tenant_id),
            "roles": list(names.role_names(tenant_id).values()),
            "template_owner": names.TEMPLATE_OWNER,
        },
    )
    row = await cursor.fetchone()
    assert row is not None  # noqa: S101 - a SELECT without FROM always has its row
    return _database(tenant_id, row)


def _database(tenant_id: UUID, row: Mapping[str, Any]) -> ObservedDatabase:
    roles = {kind: _role(row["roles"].get(name)) for kind, name in names.role_names(tenant_id).items()}
    found = row["database"]
    common: dict[str, Any] = {
        "system_identifier": row["system_identifier"],
        "custom_settings_allowed": row["custom_settings_allowed"],
        "roles": roles,
    }
    if found is None:
        return ObservedDatabase(exists=False, **common)
    return ObservedDatabase(
        exists=True,
        name=found["name"],
        oid=found["oid"],
        owner=found["owner"],
        identity=comments.identity(found["comment"]),
        tombstone=found["name"] == names.tombstone_name(tenant_id),
        deleted_at=comments.deleted_at(found["comment"]),
        connection_limit=found["connection_limit"],
        allow_connections=found["allow_connections"],
        public_connect=found["public_connect"],
        foreign_objects=found["foreign_objects"],
        extensions=comments.extensions(found["comment"]),
        sessions=found["sessions"],
        **common,
    )


def _role(found: Mapping[str, Any] | None) -> ObservedRole:
    if found is None:
        return ObservedRole(exists=False)
    return ObservedRole(
        exists=True,
        oid=found["oid"],
        identity=comments.identity(found["comment"]),
        can_login=found["can_login"],
        connection_limit=found["connection_limit"],
        inherits=found["inherits"],
        expires=found["expires"],
        set_everywhere=found["set_everywhere"],
        powers=tuple(found["powers"]),
        member_of=tuple(found["member_of"]),
        admin_of=tuple(sorted(found["admin_of"])),
        trespasses=tuple(found["trespasses"]),
        can_connect=found["can_connect"],
        sessions=found["sessions"],
        settings=dict(setting.split("=", 1) for setting in found["settings"]),
    )


async def list_tenants(connection: Connection) -> list[TenantDatabase]:
    """Return every tenant database on the server, live and retained, whoever made it."""
    cursor = await connection.execute(_TENANTS, {"live": names.TENANT_PREFIX, "tombstone": names.TOMBSTONE_PREFIX})
    return [
        TenantDatabase(
            name=row["name"],
            oid=row["oid"],
            tenant_id=names.tenant_id_of(row["name"]),
            identity=comments.identity(row["comment"]),
            tombstone=row["name"].startswith(names.TOMBSTONE_PREFIX),
            deleted_at=comments.deleted_at(row["comment"]),
            size_bytes=row["size_bytes"],
        )
        for row in await cursor.fetchall()
    ]


async def list_names(connection: Connection) -> dict[int, str]:
    """Return the name of every database on the server, by its oid."""
    cursor = await connection.execute("SELECT oid::bigint AS oid, datname AS name FROM pg_database")
    return {row["oid"]: row["name"] for row in await cursor.fetchall()}


async def list_roles(connection: Connection) -> list[TenantRole]:
    """Return every role that is named like a tenant's, whoever made it."""
    cursor = await connection.execute(_ROLES, {"prefix": names.TENANT_PREFIX})
    return [
        TenantRole(
            name=row["name"],
            tenant_id=names.tenant_id_of_role(row["name"]),
            identity=comments.identity(row["comment"]),
            can_login=row["can_login"],
        )
        for row in await cursor.fetchall()
    ]


async def list_templates(connection: Connection) -> list[TemplateDatabase]:
    """Return every template database on the server."""
    cursor = await connection.execute(_TEMPLATES, {"prefix": names.TEMPLATE_PREFIX})
    found = []
    for row in await cursor.fetchall():
        comment = comments.parse(row["comment"])
        found.append(
            TemplateDatabase(
                revision=row["name"].removeprefix(names.TEMPLATE_PREFIX),
                oid=row["oid"],
                ready=row["closed"] and comment.get(comments.SEALED) is True,
                installation=comment.get(comments.INSTALLATION),
            )
        )
    return found

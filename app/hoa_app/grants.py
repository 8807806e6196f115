"""Who may do what in a tenant's database: the grants that the migration Job makes, and everything else taken back.

`tests/contract/rights_allowed.py` lists every right that is left.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

# What changes a tenant's data is granted to the writer, of which the app's role is a member unless the tenant is ReadOnly.
WRITES = "INSERT, UPDATE, DELETE"
OTHER_WRITES = {
    "alembic_version": "",
    "tenant_identity": "",
    "tenant_roles": "",
    "audit_heads": "",
    "audit_log": "INSERT",
}
# What the app's role itself may write, in every state: sign-in, sessions, and the worker's own state.
BOOKKEEPING = {
    "sessions": "INSERT, UPDATE",
    "sign_in_failures": "INSERT, DELETE",
    "users": "UPDATE (last_sign_in_at)",
    "api_tokens": "UPDATE (last_used_at)",
    "invitations": "UPDATE (token_hash, sent_at)",
    "password_resets": "UPDATE (token_hash)",
    "outbox": "INSERT, UPDATE, DELETE",
    "usage_counters": "INSERT, UPDATE",
}
# Takes back every right on what the owner has, from whomever it was given, columns and rights that were passed on with it; and
# what its later objects would give. PUBLIC keeps what Postgres itself gives it: functions, but for those that count what a tenant
# uses, types, and USAGE of the schema. Groups come before their members: CASCADE spares what a member passed on for as long as a
# group of its may pass it on. Nobody but the tenant's logins is let into the database. (A tablespace, a language or a
# large object is not the owner's to give.)
TAKE_BACK = r"""
DO $$
DECLARE
    todo text;
BEGIN
    FOR todo IN
        WITH given (statement, grantee) AS (
            SELECT format('REVOKE ALL ON %s %s FROM ', CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, c.oid::regclass),
                a.grantee
            FROM pg_class c, LATERAL (
                SELECT grantee FROM aclexplode(c.relacl)
                UNION SELECT x.grantee FROM pg_attribute t, aclexplode(t.attacl) x WHERE t.attrelid = c.oid
            ) a
            WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND pg_has_role(c.relowner, 'USAGE') AND a.grantee <> c.relowner
            UNION
            SELECT format('REVOKE ALL ON ROUTINE %s FROM ', p.oid::regprocedure), a.grantee
            FROM pg_proc p, aclexplode(p.proacl) a
            WHERE pg_has_role(p.proowner, 'USAGE') AND a.grantee <> p.proowner AND (a.grantee <> 0 OR p.proname LIKE 'usage\_%')
            UNION
            SELECT format('REVOKE ALL ON TYPE %s FROM ', t.oid::regtype), a.grantee
            FROM pg_type t, aclexplode(t.typacl) a
            WHERE pg_has_role(t.typowner, 'USAGE') AND a.grantee NOT IN (0, t.typowner)
            UNION
            SELECT format('REVOKE %s ON SCHEMA %I FROM ', CASE a.grantee WHEN 0 THEN 'CREATE' ELSE 'ALL' END, n.nspname), a.grantee
            FROM pg_namespace n, aclexplode(n.nspacl) a
            WHERE pg_has_role(n.nspowner, 'USAGE') AND a.grantee <> n.nspowner
                AND (a.grantee <> 0 OR a.privilege_type = 'CREATE')
            UNION
            SELECT format('ALTER DEFAULT PRIVILEGES %s REVOKE ALL ON %s FROM ',
                CASE d.defaclnamespace WHEN 0 THEN '' ELSE 'IN SCHEMA ' || d.defaclnamespace::regnamespace END,
                CASE d.defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES' WHEN 'f' THEN 'ROUTINES'
                    WHEN 'T' THEN 'TYPES' ELSE 'SCHEMAS' END), a.grantee
            FROM pg_default_acl d, aclexplode(d.defaclacl) a
            WHERE d.defaclrole = current_user::regrole AND a.grantee <> d.defaclrole
                AND d.defaclobjtype IN ('r', 'S', 'f', 'T', 'n')
                AND NOT (a.grantee = 0 AND d.defaclnamespace = 0 AND d.defaclobjtype IN ('f', 'T'))
        ),
        ranked (grantee, groups) AS MATERIALIZED (
            SELECT grantee, (SELECT count(*) FROM pg_roles r WHERE grantee <> 0 AND pg_has_role(grantee, r.oid, 'USAGE'))
            FROM (SELECT DISTINCT grantee FROM given) g
        )
        SELECT statement || CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END || ' CASCADE'
        FROM given JOIN ranked USING (grantee) ORDER BY groups
    LOOP
        EXECUTE todo;
    END LOOP;
END
$$
"""


@dataclass(frozen=True)
class Grantees:
    """The roles of one tenant that are granted something; `usage`, who reads what it uses, may be empty."""

    app: str
    writer: str
    usage: str


def grant(connection: psycopg.Connection[Any], roles: Grantees) -> None:
    """Give the tenant's roles what they need and nobody anything else. The caller acts as the owner, in a transaction."""
    app, writer = sql.Identifier(roles.app), sql.Identifier(roles.writer)
    connection.execute(TAKE_BACK)
    for role in (app, writer):
        connection.execute(sql.SQL("GRANT USAGE ON SCHEMA public TO {}").format(role))
    tables = connection.execute(
        "SELECT c.relname FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')"
        " AND pg_has_role(c.relowner, 'USAGE') ORDER BY 1"
    ).fetchall()
    for (table,) in tables:
        _grant_on(connection, table, "SELECT", app)
        _grant_on(connection, table, BOOKKEEPING.get(table, ""), app)
        _grant_on(connection, table, OTHER_WRITES.get(table, WRITES), writer)
    connection.execute(sql.SQL("GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {}").format(app))
    if roles.usage:
        usage = sql.Identifier(roles.usage)
        connection.execute(sql.SQL("GRANT USAGE ON SCHEMA public TO {}").format(usage))
        connection.execute(sql.SQL("GRANT SELECT ON hoa_usage TO {}").format(usage))
        connection.execute(sql.SQL("GRANT EXECUTE ON FUNCTION usage_figures() TO {}").format(usage))


def _grant_on(connection: psycopg.Connection[Any], table: str, privileges: str, role: sql.Identifier) -> None:
    if privileges:
        name = sql.Identifier("public", table)
        connection.execute(sql.SQL("GRANT {} ON {} TO {}").format(sql.SQL(privileges), name, role))

"""Every right that a role holds on a server, read out of the catalogs of every database, open or closed."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import psycopg

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from tests.contract.servers import RealServer

#: Rights on what all databases of a server share. `%(roles)s` are the names of the roles that are looked at.
_SHARED = """
WITH r AS (SELECT * FROM pg_roles WHERE rolname = ANY(%(roles)s))
SELECT r.rolname, 'attribute', '', a FROM r, LATERAL (VALUES (rolcanlogin, 'LOGIN'), (rolinherit, 'INHERIT'),
    (rolsuper, 'SUPERUSER'), (rolcreatedb, 'CREATEDB'), (rolcreaterole, 'CREATEROLE'), (rolreplication, 'REPLICATION'),
    (rolbypassrls, 'BYPASSRLS')) v (has, a) WHERE has
UNION ALL
SELECT r.rolname, 'role', g.rolname, p FROM r, pg_roles g,
    unnest('{MEMBER,USAGE,MEMBER WITH ADMIN OPTION}'::text[]) p WHERE g.oid <> r.oid AND pg_has_role(r.oid, g.oid, p)
UNION ALL
SELECT r.rolname, 'database', d.datname, p FROM r, pg_database d,
    unnest('{CONNECT,CREATE,TEMPORARY,CONNECT WITH GRANT OPTION}'::text[]) p WHERE has_database_privilege(r.oid, d.oid, p)
UNION ALL
SELECT r.rolname, 'tablespace', t.spcname, 'CREATE' FROM r, pg_tablespace t WHERE has_tablespace_privilege(r.oid, t.oid, 'CREATE')
UNION ALL
SELECT r.rolname, 'parameter', a.parname, p FROM r, pg_parameter_acl a, unnest('{SET,ALTER SYSTEM}'::text[]) p
    WHERE has_parameter_privilege(r.oid, a.parname, p)
UNION ALL
SELECT r.rolname, 'shared ' || s.deptype::text, s.classid::regclass::text, '' FROM r, pg_shdepend s
    WHERE s.refobjid = r.oid AND s.refclassid = 'pg_authid'::regclass AND s.dbid = 0 AND s.classid <> 'pg_database'::regclass
"""
#: Rights inside one database. Of the system's own objects, as initdb made them, only what their ACLs say is read.
_INSIDE = """
WITH r AS (SELECT * FROM pg_roles WHERE rolname = ANY(%(roles)s)),
n AS (SELECT *, nspname ~ '^pg_|^information_schema$' AS system FROM pg_namespace WHERE nspname !~ '^pg_(toast|temp)')
SELECT r.rolname, 'schema', n.nspname, p FROM r, n, unnest('{USAGE,CREATE}'::text[]) p
    WHERE has_schema_privilege(r.oid, n.oid, p)
UNION ALL
SELECT r.rolname, 'table', n.nspname || '.' || c.relname, p FROM r, pg_class c JOIN n ON n.oid = c.relnamespace,
    unnest('{SELECT,INSERT,UPDATE,DELETE,TRUNCATE,REFERENCES,TRIGGER}'::text[]) p
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT n.system
    AND c.relowner <> r.oid AND has_table_privilege(r.oid, c.oid, p)
UNION ALL
SELECT r.rolname, 'grantable', n.nspname || '.' || c.relname, p FROM r, pg_class c JOIN n ON n.oid = c.relnamespace,
    unnest('{SELECT,INSERT,UPDATE,DELETE}'::text[]) p WHERE c.relkind IN ('r', 'p', 'v') AND c.relacl IS NOT NULL AND NOT n.system
    AND c.relowner <> r.oid AND has_table_privilege(r.oid, c.oid, p || ' WITH GRANT OPTION')
UNION ALL
SELECT r.rolname, 'column', n.nspname || '.' || c.relname || '.' || a.attname, p
    FROM r, pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN n ON n.oid = c.relnamespace,
    unnest('{SELECT,INSERT,UPDATE,REFERENCES}'::text[]) p WHERE a.attacl IS NOT NULL AND NOT n.system AND c.relowner <> r.oid
    AND has_column_privilege(r.oid, c.oid, a.attnum, p) AND NOT has_table_privilege(r.oid, c.oid, p)
UNION ALL
SELECT r.rolname, 'sequence', n.nspname || '.' || c.relname, p FROM r, pg_class c JOIN n ON n.oid = c.relnamespace,
    unnest('{USAGE,SELECT,UPDATE}'::text[]) p WHERE c.relkind = 'S' AND c.relowner <> r.oid
    AND has_sequence_privilege(r.oid, c.oid, p)
UNION ALL
SELECT r.rolname, CASE WHEN f.prosecdef THEN 'definer' ELSE 'function' END, n.nspname || '.' || f.proname, 'EXECUTE'
    FROM r, pg_proc f JOIN n ON n.oid = f.pronamespace WHERE NOT n.system AND f.proowner <> r.oid
    AND has_function_privilege(r.oid, f.oid, 'EXECUTE')
UNION ALL
SELECT r.rolname, 'type', n.nspname || '.' || t.typname, 'USAGE' FROM r, pg_type t JOIN n ON n.oid = t.typnamespace
    WHERE NOT n.system AND t.typtype <> 'c' AND t.typelem = 0 AND t.typowner <> r.oid
    AND has_type_privilege(r.oid, t.oid, 'USAGE')
UNION ALL
SELECT r.rolname, 'of the system', o.thing, a.privilege_type FROM r, (
    SELECT c.oid::regclass::text, c.relacl FROM pg_class c JOIN n ON n.oid = c.relnamespace WHERE n.system
    UNION ALL SELECT c.oid::regclass || '.' || t.attname, t.attacl FROM pg_attribute t JOIN pg_class c ON c.oid = t.attrelid
        JOIN n ON n.oid = c.relnamespace WHERE n.system
    UNION ALL SELECT f.oid::regprocedure::text, f.proacl FROM pg_proc f JOIN n ON n.oid = f.pronamespace WHERE n.system
    UNION ALL SELECT t.oid::regtype::text, t.typacl FROM pg_type t JOIN n ON n.oid = t.typnamespace WHERE n.system
    ) o (thing, acl), aclexplode(o.acl) a
    WHERE a.grantee = r.oid OR (a.grantee = 0 AND r.rolname = %(nobody)s)
UNION ALL
SELECT r.rolname, 'language', l.lanname, 'USAGE' FROM r, pg_language l WHERE has_language_privilege(r.oid, l.oid, 'USAGE')
UNION ALL
SELECT r.rolname, 'wrapper', w.fdwname, 'USAGE' FROM r, pg_foreign_data_wrapper w
    WHERE has_foreign_data_wrapper_privilege(r.oid, w.oid, 'USAGE')
UNION ALL
SELECT r.rolname, 'foreign server', s.srvname, 'USAGE' FROM r, pg_foreign_server s WHERE has_server_privilege(r.oid, s.oid, 'USAGE')
UNION ALL
SELECT r.rolname, 'large object', l.oid::text, a.privilege_type FROM r, pg_largeobject_metadata l,
    aclexplode(coalesce(l.lomacl, acldefault('L', l.lomowner))) a WHERE a.grantee IN (0, r.oid)
UNION ALL
SELECT r.rolname, 'default', coalesce(d.defaclnamespace::regnamespace::text, '*') || ' ' || d.defaclobjtype::text, a.privilege_type
    FROM r, pg_default_acl d, aclexplode(d.defaclacl) a WHERE a.grantee = r.oid AND d.defaclrole <> r.oid
UNION ALL
SELECT DISTINCT r.rolname, 'owner', 'something', '' FROM r, pg_shdepend s
    WHERE s.refobjid = r.oid AND s.refclassid = 'pg_authid'::regclass AND s.deptype = 'o'
    AND s.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
UNION ALL
SELECT r.rolname, 'named by a policy', s.classid::regclass::text, '' FROM r, pg_shdepend s
    WHERE s.refobjid = r.oid AND s.refclassid = 'pg_authid'::regclass AND s.deptype = 'r'
    AND s.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


class Right(NamedTuple):
    """`role` may do `privilege` to `thing`, a `kind` that lies in the database `place` (empty: shared by all)."""

    role: str
    place: str
    kind: str
    thing: str
    privilege: str


@contextmanager
def opened(server: RealServer, dbname: str) -> Iterator[None]:
    """Let the superuser into a database that refuses connections, for as long as it takes to look."""
    closed = not server.one("SELECT datallowconn FROM pg_database WHERE datname = %s", dbname)
    alter = f'ALTER DATABASE "{dbname}" ALLOW_CONNECTIONS '
    if closed:
        server.run(alter + "true")
    try:
        yield
    finally:
        if closed:
            server.run(alter + "false")


def read_rights(server: RealServer, roles: Collection[str], nobody: str) -> tuple[set[Right], set[Right]]:
    """Return the rights of `roles` beyond what PUBLIC has, and what PUBLIC has: the rights of `nobody`, granted nothing."""
    asked: dict[str, object] = {"roles": [*roles, nobody], "nobody": nobody}
    found = {Right(row[0], "", *row[1:]) for row in _rows(server, "postgres", _SHARED, asked)}
    for dbname in sorted(server.databases()):
        with opened(server, dbname):
            found |= {Right(row[0], dbname, *row[1:]) for row in _rows(server, dbname, _INSIDE, asked)}
    public = {right for right in found if right.role == nobody}
    everyones = {right[1:] for right in public}
    return {right for right in found if right.role != nobody and right[1:] not in everyones}, public


def _rows(server: RealServer, dbname: str, query: str, asked: dict[str, object]) -> list[tuple[str, str, str, str]]:
    with psycopg.connect(server.access.dsn(dbname), autocommit=True) as connection:
        return connection.execute(query.encode(), asked).fetchall()

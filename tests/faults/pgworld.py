"""A tenant's part of Postgres as plain data: see ``tests.faults.world``."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import psycopg
from psycopg.rows import dict_row

from hoa_operator.postgres import comments
from hoa_operator.sealing import Sealer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.faults.installation import Installation

Json = dict[str, Any]
Dsn = Callable[[str], str]
REGISTRY: Final = "hoa_connect_registry"

_ROLES: Final = """
SELECT r.rolname AS name, r.rolcanlogin AS login, r.rolinherit AS inherit, r.rolconnlimit AS "limit",
    r.rolsuper OR r.rolcreatedb OR r.rolcreaterole OR r.rolreplication OR r.rolbypassrls AS powerful,
    coalesce(r.rolvaliduntil < 'infinity', false) AS expires, a.rolpassword LIKE 'SCRAM-SHA-256$%%' AS password,
    shobj_description(r.oid, 'pg_authid') AS comment,
    ARRAY(SELECT g.rolname::text FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid
        WHERE m.member = r.oid ORDER BY 1) AS member_of,
    ARRAY(SELECT coalesce(d.datname, '*') || ': ' || c FROM pg_db_role_setting s LEFT JOIN pg_database d
        ON d.oid = s.setdatabase, unnest(s.setconfig) c WHERE s.setrole = r.oid ORDER BY 1) AS settings
FROM pg_roles r JOIN pg_authid a ON a.oid = r.oid WHERE starts_with(r.rolname, %s) ORDER BY 1
"""
_DATABASE: Final = """
SELECT d.datname AS name, pg_get_userbyid(d.datdba) AS owner, d.datallowconn AS open, d.datconnlimit AS "limit",
    d.datistemplate AS template, pg_encoding_to_char(d.encoding) AS encoding, d.oid::bigint AS oid,
    ARRAY(SELECT a::text FROM unnest(coalesce(d.datacl, acldefault('d', d.datdba))) a ORDER BY 1) AS acl,
    shobj_description(d.oid, 'pg_database') AS comment
FROM pg_database d WHERE d.datname = ANY(%s) ORDER BY 1
"""
_TABLES: Final = """
SELECT c.relname AS name, pg_get_userbyid(c.relowner) AS owner, c.relrowsecurity AND c.relforcerowsecurity AS locked,
    ARRAY(SELECT a::text FROM unnest(c.relacl) a ORDER BY 1) AS acl
FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'S') ORDER BY 1
"""
#: What the Job makes once, and would make twice if it were not careful.
_ONCE: Final = {
    "alembic_version": "SELECT version_num FROM alembic_version",
    "identity": "SELECT tenant_id::text FROM tenant_identity",
    "roles": "SELECT role_name::text, tenant_id::text FROM tenant_roles ORDER BY 1",
    "invitations": "SELECT email, role, revoked_at IS NOT NULL AS revoked FROM invitations ORDER BY 1",
    "outbox": "SELECT kind, state FROM outbox ORDER BY 1, 2",
    "invited": "SELECT i.email, o.kind, o.state FROM outbox o JOIN invitations i ON o.payload->>'invitation_id' = i.id::text"
    " WHERE i.revoked_at IS NULL ORDER BY 1, 2, 3",
    "settings": "SELECT key, value FROM settings ORDER BY 1",
}


@dataclass(frozen=True)
class Holdings:
    """What a server and the registry hold of all tenants."""

    rows: list[Json]
    databases: list[str]
    roles: list[str]


class _Kept(threading.local):
    """A thread's sessions by their connection string; None where none are kept."""

    sessions: dict[str, psycopg.Connection[Json]] | None = None


_KEPT: Final = _Kept()


@contextmanager
def kept_sessions() -> Iterator[None]:
    """Within, this thread looks through sessions that stay open, but for those in a tenant's own database: many looks at
    many worlds would else spend their time on logging in."""
    _KEPT.sessions = {}
    try:
        yield
    finally:
        for session in _KEPT.sessions.values():
            session.close()
        _KEPT.sessions = None


def query(dsn: str, text: str, values: Any = None) -> list[Json]:
    """Return rows as dicts; row-level security is off for the superuser."""
    if _KEPT.sessions is None:
        with _session(dsn) as session:
            return session.execute(text.encode(), values).fetchall()
    if dsn not in _KEPT.sessions:
        _KEPT.sessions[dsn] = _session(dsn)
    try:
        return _KEPT.sessions[dsn].execute(text.encode(), values).fetchall()
    except psycopg.OperationalError:
        _KEPT.sessions.pop(dsn).close()
        raise


def _session(dsn: str) -> psycopg.Connection[Json]:
    return psycopg.connect(dsn, autocommit=True, row_factory=dict_row)


def database_world(dsn: Dsn, tenant_id: str) -> Json:
    """Return the tenant's roles, database and what is inside, by ``roles``, ``database`` and ``inside``."""
    id_ = tenant_id.replace("-", "")
    roles = query(dsn("postgres"), _ROLES, [f"hoa_connect_tenant_{id_}_"])
    names = [f"hoa_connect_tenant_{id_}", f"hoa_connect_deleted_{id_}"]
    found = [{**row, "comment": comments.parse(row["comment"])} for row in query(dsn("postgres"), _DATABASE, [names])]
    for row in found:
        del row["oid"]
    return {
        "roles": {row.pop("name"): {**row, "comment": comments.parse(row["comment"])} for row in roles},
        "database": found,
        "inside": _inside(dsn(found[0]["name"])) if len(found) == 1 and found[0]["open"] else None,
    }


def _inside(dsn: str) -> Json | None:
    """Return what is inside of a database, or None of one that is closed or dropped at this moment."""
    try:
        session = psycopg.connect(dsn, autocommit=True, row_factory=dict_row)
    except psycopg.OperationalError:
        return None
    with session:
        return _seen_by(session)


def _seen_by(session: psycopg.Connection[Json]) -> Json:
    tables = {row.pop("name"): row for row in session.execute(_TABLES).fetchall()}
    if "tenant_identity" not in tables:
        return {"tables": tables}
    return {"tables": tables} | {what: session.execute(text.encode()).fetchall() for what, text in _ONCE.items()}


def registry_world(dsn: Dsn, tenant_id: str) -> Json:
    """Return the tenant's row, its claims on hosts, and where its data lies."""
    if not query(dsn("postgres"), "SELECT 1 FROM pg_database WHERE datname = %s", [REGISTRY]):
        return {"row": [], "hosts": [], "placement": []}
    where = dsn(REGISTRY)
    rows = query(where, "SELECT * FROM tenants WHERE tenant_id = %s", [tenant_id])
    hosts = query(where, "SELECT host FROM tenant_hosts WHERE tenant_id = %s ORDER BY 1", [tenant_id])
    placed = query(where, "SELECT * FROM placements WHERE tenant_id = %s", [tenant_id])
    held = query(
        where,
        "SELECT oid::bigint AS oid FROM pg_database WHERE starts_with(datname, 'hoa_connect_') AND oid::bigint = ANY(%s)",
        [[row["database_oid"] for row in placed]],
    )
    return {
        "row": [_row(row) for row in rows],
        "hosts": [row["host"] for row in hosts],
        "placement": [_placement(row, {found["oid"] for found in held}) for row in placed],
    }


def _row(row: Json) -> Json:
    found: Json = {key: str(value) if key in ("uid", "tenant_id") else value for key, value in row.items()}
    for key in ("sealed_password", "sealed_signing_keys"):
        found[key] = found[key] is not None
    found["database"] = {key: value for key, value in row["database"].items() if key not in ("host", "port")}
    del found["updated_at"], found["login_changed_at"]
    return found


def _placement(row: Json, oids: set[int]) -> Json:
    known = row["database_oid"]
    return {
        "server": row["server_name"],
        "system": row["system_identifier"],
        "oid": None if known is None else "the database's" if int(known) in oids else "of no database",
        "retained": row["deleted_at"] is not None,
    }


def logins_world(installation: Installation, tenant: str, tenant_id: str) -> Json:
    """Say for the tenant's passwords, in the Secret and in the registry, whether they log in."""
    live = installation.objects.find("Secret", f"tenant-{tenant}-credentials")
    if live is None:
        return {}
    held = {key: base64.b64decode(value).decode() for key, value in (live.get("data") or {}).items()}
    name = f"hoa_connect_tenant_{tenant_id.replace('-', '')}"
    sealed = _sealed_password(installation, tenant_id)
    login = held.get("app-login", "app")
    return {
        "app": _logs_in(installation, name, f"{name}_{login}", held.get("app-password", "")),
        "migrator": _logs_in(installation, name, f"{name}_migrator", held.get("migrator-password", "")),
        "signing keys": len(json.loads(held.get("signing-keys", "[]"))),
        "registry": None if sealed is None else sealed == held.get("app-password"),
    }


def _sealed_password(installation: Installation, tenant_id: str) -> str | None:
    dsn = installation.platform.postgres.dsn
    if not query(dsn("postgres"), "SELECT 1 FROM pg_database WHERE datname = %s", [REGISTRY]):
        return None
    rows = query(dsn(REGISTRY), "SELECT sealed_password FROM tenants WHERE tenant_id = %s", [tenant_id])
    if not rows or rows[0]["sealed_password"] is None:
        return None
    return Sealer.from_file(installation.sealing_keys).unseal(bytes(rows[0]["sealed_password"])).decode()


def _logs_in(installation: Installation, dbname: str, user: str, password: str) -> str:
    access = installation.platform.postgres
    try:
        psycopg.connect(host=access.host, port=access.port, user=user, password=password, dbname=dbname).close()
    except psycopg.OperationalError as error:
        if "password authentication failed" in str(error):
            return "refused"
        return "right, but not let in"
    return "logs in"


def holdings(dsn: Dsn) -> Holdings:
    """Return the registry's rows, and the names of every tenant's databases and roles."""
    there = query(dsn("postgres"), "SELECT 1 FROM pg_database WHERE datname = %s", [REGISTRY])
    rows = query(dsn(REGISTRY), "SELECT * FROM tenants") if there else []
    pattern = r"^hoa_connect_(tenant|deleted)_[0-9a-f]{32}"
    databases = query(dsn("postgres"), "SELECT datname AS name FROM pg_database WHERE datname ~ %s", [pattern])
    roles = query(dsn("postgres"), "SELECT rolname AS name FROM pg_roles WHERE rolname ~ %s", [pattern])
    return Holdings(rows, [row["name"] for row in databases], [row["name"] for row in roles])

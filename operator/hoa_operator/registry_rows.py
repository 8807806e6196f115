"""One row of the registry and its claims on hosts, written in one transaction. Who calls holds the fence."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final

from psycopg.types.json import Jsonb

from hoa_operator.errors import HostTaken, UserError
from hoa_operator.registry_model import RegistryRow

if TYPE_CHECKING:
    from hoa_operator.postgres.connections import Connection

COLUMNS: Final = tuple(f.name for f in fields(RegistryRow) if f.compare)
_UPSERT: Final = f"""
INSERT INTO tenants ({", ".join(COLUMNS)}) VALUES ({", ".join(f"%({c})s" for c in COLUMNS)})
ON CONFLICT (tenant_id) DO UPDATE SET {", ".join(f"{c} = excluded.{c}" for c in COLUMNS if c != "tenant_id")}
WHERE tenants.uid = excluded.uid
    AND ({", ".join(f"tenants.{c}" for c in COLUMNS)}) IS DISTINCT FROM ({", ".join(f"excluded.{c}" for c in COLUMNS)})
"""  # noqa: S608 - our own column names


async def write(connection: Connection, row: RegistryRow) -> bool:
    """Write the row and claim its hosts; says whether anything changed. Raises HostTaken."""
    cursor = await connection.execute(_UPSERT, _values(row))
    changed = cursor.rowcount > 0
    if not changed:
        await _same_owner(connection, row)
    return await _claim_hosts(connection, row) or changed


async def _same_owner(connection: Connection, row: RegistryRow) -> None:
    cursor = await connection.execute("SELECT uid FROM tenants WHERE tenant_id = %s", [row.tenant_id])
    found = await cursor.fetchone()
    if found is not None and found["uid"] != row.uid:
        raise UserError(
            "TenantIdTaken",
            f"tenant id {row.tenant_id} belongs to another HOATenant (uid {found['uid']}); delete "
            "that one first, or ask for other data here",
        )


async def _claim_hosts(connection: Connection, row: RegistryRow) -> bool:
    hosts = [] if row.state == "Deleted" else list(row.hosts)
    gone = await connection.execute(
        "DELETE FROM tenant_hosts WHERE tenant_id = %s AND host <> ALL(%s)", [row.tenant_id, hosts]
    )
    added = await connection.execute(
        "INSERT INTO tenant_hosts (host, tenant_id) SELECT h, %s FROM unnest(%s::text[]) h ORDER BY h ON CONFLICT DO NOTHING",
        [row.tenant_id, hosts],
    )
    cursor = await connection.execute(
        "SELECT h.host, t.namespace, t.name FROM tenant_hosts h JOIN tenants t USING (tenant_id)"
        " WHERE h.host = ANY(%s) AND h.tenant_id <> %s ORDER BY h.host LIMIT 1",
        [hosts, row.tenant_id],
    )
    taken = await cursor.fetchone()
    if taken is not None:
        raise HostTaken(taken["host"], f"{taken['namespace']}/{taken['name']}")
    return gone.rowcount > 0 or added.rowcount > 0


def _values(row: RegistryRow) -> dict[str, Any]:
    values = {column: getattr(row, column) for column in COLUMNS}
    values["hosts"] = list(row.hosts)
    return values | {name: Jsonb(dict(values[name])) for name in ("limits", "branding", "database")}

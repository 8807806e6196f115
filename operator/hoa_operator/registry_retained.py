"""Retained data in the registry: closed, claimed by one heir at a time, or dropped. Who calls holds the fence.

A takeover and a drop exclude each other here, by the row of `placements`: whoever wrote first goes on, the other finds out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime
    from uuid import UUID

    from hoa_operator.postgres.connections import Connection
    from hoa_operator.registry_model import Heir, Retirement

#: Records go when the next is written, long after the last file: no worker is away for so long.
_RECORD_DROPPED: Final = """
WITH old AS (DELETE FROM dropped_tenants WHERE dropped_at < now() - interval '90 days' AND tenant_id <> %(id)s)
INSERT INTO dropped_tenants (tenant_id) VALUES (%(id)s) ON CONFLICT (tenant_id) DO UPDATE SET dropped_at = now()
"""


async def retire(connection: Connection, retirement: Retirement) -> None:
    """Keep the row as a tombstone. The later of two clocks counts, so that neither alone shortens the window. What was retained
    already keeps its window, unless a person gives its server up: then nothing ends it."""
    await connection.execute(
        "UPDATE tenants SET state = 'Deleted', sealed_password = NULL, sealed_signing_keys = NULL"
        " WHERE tenant_id = %s AND state <> 'Deleted'",
        [retirement.tenant_id],
    )
    await connection.execute("DELETE FROM tenant_hosts WHERE tenant_id = %s", [retirement.tenant_id])
    await connection.execute(
        "UPDATE placements SET deleted_at = %(at)s, abandoned = %(abandoned)s,"
        " drop_after = greatest(%(at)s, now()) + %(window)s::interval"
        " WHERE tenant_id = %(id)s AND (deleted_at IS NULL OR (%(abandoned)s AND dropping_since IS NULL))",
        {
            "id": retirement.tenant_id,
            "at": retirement.deleted_at,
            "abandoned": retirement.abandoned,
            "window": retirement.window,
        },
    )


async def claim(connection: Connection, tenant_id: UUID, heir: Heir, void: Collection[UUID]) -> bool:
    """Note who takes the data over, before a word of it is changed; `void` are earlier claims that count no more.

    Says no where it is being dropped, another's claim counts, or it is neither retained nor of the heir's own name.
    """
    cursor = await connection.execute(
        "UPDATE placements p SET claimants ="
        " CASE WHEN %(heir)s = ANY(p.claimants) THEN p.claimants ELSE p.claimants || %(heir)s::uuid END"
        " FROM tenants t WHERE t.tenant_id = p.tenant_id AND p.tenant_id = %(id)s AND t.uid = %(owner)s"
        " AND (t.state = 'Deleted' OR (t.namespace, t.name) = (%(namespace)s, %(name)s))"
        " AND p.dropping_since IS NULL AND p.claimants <@ (%(void)s::uuid[] || %(heir)s::uuid)",
        {
            "id": tenant_id,
            "owner": heir.owner,
            "heir": heir.uid,
            "namespace": heir.namespace,
            "name": heir.name,
            "void": list(void),
        },
    )
    return cursor.rowcount > 0


async def adopt(connection: Connection, tenant_id: UUID, heir: Heir) -> bool:
    """Give the tenant to its heir, who has claimed it, and cancel its drop; says whether the claim still held."""
    cursor = await connection.execute(
        "UPDATE tenants SET uid = %(heir)s, state = 'Provisioning', sealed_password = NULL, sealed_signing_keys = NULL"
        " WHERE tenant_id = %(id)s AND uid = %(owner)s AND EXISTS (SELECT FROM placements p WHERE p.tenant_id = %(id)s"
        " AND %(heir)s = ANY(p.claimants) AND p.dropping_since IS NULL)",
        {"id": tenant_id, "owner": heir.owner, "heir": heir.uid},
    )
    if cursor.rowcount == 0:
        return False
    await connection.execute(
        "UPDATE placements SET deleted_at = NULL, drop_after = NULL, claimants = '{}', abandoned = false"
        " WHERE tenant_id = %s",
        [tenant_id],
    )
    return True


async def begin_drop(connection: Connection, tenant_id: UUID, void: Collection[UUID], now: datetime) -> bool:
    """Note that the data is being dropped: from then on nobody can take it over. Says no unless it is due by this
    server's clock and by `now`, and nobody but `void` claims it."""
    cursor = await connection.execute(
        "UPDATE placements p SET dropping_since = coalesce(p.dropping_since, now()) FROM tenants t"
        " WHERE t.tenant_id = p.tenant_id AND p.tenant_id = %(id)s AND t.state = 'Deleted'"
        " AND p.drop_after <= now() AND p.drop_after <= %(now)s AND p.claimants <@ %(void)s::uuid[]",
        {"id": tenant_id, "now": now, "void": list(void)},
    )
    return cursor.rowcount > 0


async def forget(connection: Connection, tenant_id: UUID, *, dropped: bool) -> bool:
    """Remove the row, and with it its place; put on record that its database was dropped. Says whether there was a row."""
    cursor = await connection.execute("DELETE FROM tenants WHERE tenant_id = %s", [tenant_id])
    if cursor.rowcount == 0:
        return False
    if dropped:
        await connection.execute(_RECORD_DROPPED, {"id": tenant_id})
    return True

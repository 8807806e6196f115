"""Finds the data that a new HOATenant takes over: what it asks for by its tenant id, or what is on record under its name."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC
from typing import TYPE_CHECKING
from uuid import UUID

from hoa_operator import heritage, names
from hoa_operator.errors import TenantRecordLeft, UserError
from hoa_operator.registry_model import Retained
from hoa_operator.tenant import format_time
from hoa_operator.world import Record

if TYPE_CHECKING:
    from collections.abc import Collection

    from hoa_operator.registry import Registry
    from hoa_operator.tenant import Identity, TenantSpec


async def taken_over(registry: Registry, identity: Identity, spec: TenantSpec, alive: Collection[UUID]) -> Record:
    """Return the record of a tenant that has none of its own, with the data it takes over, if any; `alive` are the uids of
    all HOATenants."""
    if identity.adopts is not None:
        record = await _by_tenant_id(registry, identity, identity.adopts, alive)
    else:
        record = heritage.choose(spec, await registry.named(identity.namespace, identity.name))
    if record.kept is None:
        return record
    return replace(record, void=heritage.void_claims(identity, record, alive, await registry.rows()))


def _of_one_that_is_gone(identity: Identity, found: Retained) -> Record:
    """Decide about a row that is not retained, whose HOATenant went without a teardown: one of its own name goes on with it at
    once, any other when it is retained."""
    row, placement = found.row, found.placement
    own = (row.namespace, row.name) == (identity.namespace, identity.name)
    if own and placement is not None and placement.database_oid is not None:
        return Record(None, placement, None, row)
    raise TenantRecordLeft(f"{row.owner} (uid {row.uid}, tenant {row.tenant_id})", then="takes it over")


async def _by_tenant_id(registry: Registry, identity: Identity, wanted: str, alive: Collection[UUID]) -> Record:
    try:
        row = await registry.by_tenant_id(UUID(wanted))
    except ValueError:
        row = None
    placement = await registry.placement(row.tenant_id) if row is not None else None
    if row is not None and row.state != "Deleted" and row.uid not in alive:
        return _of_one_that_is_gone(identity, Retained(row, placement))
    if row is None or placement is None or row.state != "Deleted":
        raise UserError(
            "NothingToAdopt",
            f"{names.ANNOTATION_ADOPT} asks for the data of tenant {wanted!r}, but none is retained under that id; kubectl "
            "describe hoads lists what is, with its tenantID",
        )
    if placement.dropping_since is not None:
        raise UserError(
            "RetainedDataDropped",
            f"the data of tenant {wanted} is being dropped since {format_time(placement.dropping_since.astimezone(UTC))}: its "
            f"undelete window is over; remove the annotation {names.ANNOTATION_ADOPT} to begin with an empty database",
        )
    return Record(None, placement, None, row)

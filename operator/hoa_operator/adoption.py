"""Finds the retained data that a new HOATenant asks for: whose it was, where it lies, and whether it can be had."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from hoa_operator import names
from hoa_operator.errors import UserError
from hoa_operator.world import Record

if TYPE_CHECKING:
    from hoa_operator.registry import Registry
    from hoa_operator.registry_model import RegistryRow
    from hoa_operator.tenant import Identity


async def retained(registry: Registry, identity: Identity) -> Record:
    """Return the record of the data that the tenant, which has none of its own, asks for, if it asks for any."""
    if identity.adopts is None:
        return Record(None, None, None)
    kept = await _row(registry, identity.adopts)
    placement = await registry.placement(kept.tenant_id)
    if placement is None:
        raise _nothing(identity.adopts)
    for row in await registry.rows():
        taken = row.slug == kept.slug or (row.namespace, row.name) == (kept.namespace, kept.name)
        if row.state != "Deleted" and taken:
            raise UserError(
                "SlugTaken",
                f"the retained data of slug {kept.slug!r} cannot come back while HOATenant {row.owner} is in its place; "
                "delete that one first",
            )
    return Record(None, placement, None, kept)


async def _row(registry: Registry, wanted: str) -> RegistryRow:
    try:
        row = await registry.by_tenant_id(UUID(wanted))
    except ValueError:
        row = None
    if row is None or row.state != "Deleted":
        raise _nothing(wanted)
    return row


def _nothing(wanted: str) -> UserError:
    return UserError(
        "NothingToAdopt",
        f"{names.ANNOTATION_ADOPT} asks for the data of tenant {wanted!r}, but none is retained under that id; kubectl "
        "describe hoads lists what is, with its tenantID",
    )

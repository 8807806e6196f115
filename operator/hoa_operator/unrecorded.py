"""A tenant that has data, and that no row of the registry tells of: that was lost, or restored from an older copy. Pure.

Its database is neither left open nor forgotten: its row is made anew from its status and from what its server shows, and
then it goes on, or goes, like any other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from hoa_operator.errors import UserError
from hoa_operator.postgres.model import DatabaseIdentity
from hoa_operator.postgres.names import database_name
from hoa_operator.registry_model import Placement, RegistryRow
from hoa_operator.steps import Forget, RecordPlacement, Register, Step, Tell, is_onboarded

if TYPE_CHECKING:
    from hoa_operator.kinds import Object
    from hoa_operator.postgres.model import ObservedDatabase
    from hoa_operator.tenant import Identity


@dataclass(frozen=True)
class Unrecorded:
    """The row that the tenant's status speaks of, the server that its data lies on, and what that shows of it: None where
    nobody asked, because a person gave the server up. `served` says that it was in service, `former` is what the registry has
    instead: the same data, as that of a HOATenant that is gone; `dropped` says that its database is on record as dropped."""

    row: RegistryRow
    server: str
    served: bool = True
    database: ObservedDatabase | None = None
    former: RegistryRow | None = None
    dropped: bool = False


def remembered(identity: Identity, body: Object) -> Unrecorded | None:
    """Return what the status says of a tenant that was in service, or that began to take an earlier one's data over; nothing
    for any other, of which no data is."""
    spec, said = body.get("spec") or {}, body.get("status") or {}
    server, served = (said.get("database") or {}).get("server"), is_onboarded(said)
    tenant_id = UUID(said.get("tenantID") or str(identity.uid))
    if not server or (not served and tenant_id == identity.uid):
        return None
    row = RegistryRow(
        tenant_id=tenant_id,
        uid=identity.uid,
        namespace=identity.namespace,
        name=identity.name,
        slug=spec.get("slug") or identity.name,
        hosts=(),
        display_name=spec.get("displayName") or identity.name,
        state="Deleting",
        placement=spec.get("placement", "Shared"),
        tier=said.get("tier") or "unknown",
        limits={},
        schema_revision=said.get("schemaRevision"),
    )
    return Unrecorded(row, server, served)


def put_on_record(found: Unrecorded, installation: str) -> list[Step]:
    """Return the steps that make its row anew, none where nothing is left of it; raise where what is there is not surely its."""
    row, database = found.row, found.database
    if database is None or database.absent:
        return []
    if not database.exists or database.identity != DatabaseIdentity(row.tenant_id, row.uid, installation):
        raise _not_surely(found, installation)
    place = Placement(row.tenant_id, found.server, database.system_identifier, database.oid)
    void: list[Step] = [Forget(row.tenant_id)] if found.former is not None else []
    return [*void, told_rebuilt(found.former, database.name), Register(row), RecordPlacement(place)]


def _not_surely(found: Unrecorded, installation: str) -> UserError:
    """Say why what is there cannot be closed as this tenant's."""
    server, former, carried = found.server, found.former, found.database.identity if found.database else None
    if former is not None and carried == DatabaseIdentity(former.tenant_id, former.uid, installation):
        return UserError(
            "TenantRecordLost",
            f"this tenant was in service with the data of tenant {former.tenant_id}, but the registry and HOADatabaseServer "
            f"{server} have it as that of {former.owner} (uid {former.uid}), which is gone: both were put back from a copy of before "
            "it was taken over. It is not dropped while this HOATenant is there; letting it go keeps the database for good, as "
            "what the earlier HOATenant left (docs/operations/lost-server.md#registry-and-server-were-put-back-together)",
        )
    return UserError(
        "TenantRecordLost",
        f"the registry does not know this tenant, which was in service, and HOADatabaseServer {server} has roles of it, "
        f"but no database {database_name(found.row.tenant_id)} that is surely its own; nothing of it is dropped. Restore the registry "
        "from a backup that knows it, or look with psql who renamed the database or changed its comment, and put that back "
        "(docs/operations/lost-server.md)",
    )


def told_rebuilt(former: RegistryRow | None, database: str) -> Tell:
    """Say that a tenant's row is made anew, and whose the registry had its data for."""
    had = "did not know this tenant, which has data"
    if former is not None:
        had = f"had the data of this tenant, {former.tenant_id}, as that of {former.owner} (uid {former.uid}), which is gone"
    return Tell("Warning", "TenantRecordRebuilt", f"the registry {had}; its row is made anew for database {database}")

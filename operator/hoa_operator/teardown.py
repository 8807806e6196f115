"""Decides how a tenant goes away, and how a provisioning that came too late is undone: pure.

Whatever cannot be proved to be this tenant's stays. Nothing is made here, so children are never recreated while
deleting.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from hoa_operator import names, waiting
from hoa_operator.errors import WorldError
from hoa_operator.kinds import CHILDREN, JOB, POD, SECRET, kind_of, name_of
from hoa_operator.postgres import names as postgres_names
from hoa_operator.postgres.model import DatabaseIdentity
from hoa_operator.registry_model import Retirement
from hoa_operator.steps import (
    READY,
    ClaimDatabase,
    DeleteObject,
    DropDatabase,
    Forget,
    Plan,
    RecordPlacement,
    RemoveFinalizer,
    Retire,
    Step,
    StopServing,
    Tell,
    Tombstone,
)
from hoa_operator.tenant import Disposal
from hoa_operator.unrecorded import put_on_record

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from hoa_operator.kinds import Object
    from hoa_operator.postgres.model import ObservedDatabase
    from hoa_operator.registry_model import Placement, RegistryRow
    from hoa_operator.tenant import Identity
    from hoa_operator.unrecorded import Unrecorded
    from hoa_operator.world import Children, Record


#: Seconds until it is looked again whether sessions have ended.
_DRAIN_LOOK: Final = 0.5


@dataclass(frozen=True)
class Remains:
    """What is left of a tenant. `database` is None while nobody asked its server, or no server was ever recorded; `drained`
    says that sessions have had their time to finish. `unrecorded` is what its status says where the registry has no row."""

    identity: Identity
    record: Record
    database: ObservedDatabase | None
    children: Children
    installation: str
    now: datetime
    drained: bool = False
    unrecorded: Unrecorded | None = None


def plan_deletion(remains: Remains, disposal: Disposal) -> Plan:
    """Return the next steps of deleting the HOATenant, or what is waited for; the last step removes the finalizer."""
    decided = _removal(remains, disposal)
    if decided.steps or decided.waits_for:
        return decided
    lingering = _lingering(remains)
    if lingering:
        return Plan(waits_for=waiting.for_children(remains.identity.namespace, lingering))
    if not remains.identity.has_finalizer:
        return Plan()
    return Plan((*_told_lost(remains.unrecorded, disposal, remains.now), RemoveFinalizer()))


def _told_lost(lost: Unrecorded | None, disposal: Disposal, now: datetime) -> list[Step]:
    """Say of a tenant that no row tells of what became of its data, unless it was to be dropped and is. What is left as it is
    stays so, whatever window a former owner gave it."""
    if lost is None:
        return []
    if lost.database is None:
        kept = lost.former is not None and lost.former.state == "Deleted"
        keep = [Retire(Retirement(lost.row.tenant_id, now, abandoned=True))] if kept else []
        return [*keep, _told_abandoned(lost.row.tenant_id, lost.server)]
    if disposal.at_once or lost.dropped or not lost.served:
        return []
    message = (
        f"the registry did not know this tenant, which was in service, and HOADatabaseServer {lost.server} has neither a database "
        f"nor a role of it (tenant {lost.row.tenant_id}), so that nothing was kept; a backup of that server may have it "
        "(docs/operations/lost-server.md)"
    )
    return [Tell("Warning", "TenantRecordLost", message)]


def holds_data(row: RegistryRow | None, uid: UUID) -> bool:
    """Tell whether people's data is in what the row names: it was in service once, or was taken over from an earlier
    HOATenant (whoever made a database has its own uid for the tenant's id), whatever became of its revision since."""
    return row is not None and (row.schema_revision is not None or row.tenant_id != uid)


def plan_rollback(remains: Remains) -> Plan:
    """Return the next steps of undoing a provisioning that never served anybody."""
    if holds_data(remains.record.row, remains.identity.uid):
        raise WorldError("RollbackRefused", "the database has been in use; nothing of it is removed")
    return _removal(replace(remains, drained=True), Disposal(timedelta(0)))


def _removal(remains: Remains, disposal: Disposal) -> Plan:
    row = remains.record.row
    if row is not None and row.state not in ("Deleting", "Deleted"):
        return Plan((StopServing(row.tenant_id),))
    steps: list[Step] = [*_children(remains, secrets=False)]
    if row is None and remains.unrecorded is not None:
        steps = steps or put_on_record(remains.unrecorded, remains.installation)
        if steps:
            return Plan(tuple(steps))
    if row is not None and row.state != "Deleted":
        if _is_draining(remains):
            sessions = remains.database.sessions if remains.database else 0
            return Plan(tuple(steps), wait=_DRAIN_LOOK, waits_for=waiting.for_sessions(sessions))
        steps += _data(remains, disposal)
    if not steps or row is None or row.state == "Deleted":
        steps += _children(remains, secrets=True)
    return Plan(tuple(steps))


def _is_draining(remains: Remains) -> bool:
    """Tell whether requests that began before the tenant was no longer served may still be at work."""
    database = remains.database
    return database is not None and not database.tombstone and database.sessions > 0 and not remains.drained


def _children(remains: Remains, *, secrets: bool) -> list[Step]:
    uid = str(remains.identity.uid)
    kinds = (SECRET,) if secrets else tuple(kind for kind in CHILDREN if kind not in (SECRET, POD))
    left = [item for kind in kinds for item in remains.children.owned(kind, uid)]
    return [
        DeleteObject(kind_of(item), name_of(item), item["metadata"]["uid"], READY)
        for item in left
        if "deletionTimestamp" not in item["metadata"]
    ]


def _lingering(remains: Remains) -> list[Object]:
    """Return the children that were deleted and are held by somebody else; a Job's pods may take their time to end."""
    uid = str(remains.identity.uid)
    left = [item for kind in CHILDREN if kind not in (POD, JOB) for item in remains.children.owned(kind, uid)]
    return [item for item in left if "deletionTimestamp" in item["metadata"]]


def _data(remains: Remains, disposal: Disposal) -> list[Step]:
    row, placement, database = remains.record.row, remains.record.placement, remains.database
    assert row is not None  # noqa: S101 - the caller checked; for the type checker
    if placement is None:
        return [Forget(row.tenant_id)]
    if is_abandoned(remains.identity, placement):
        return [
            _told_abandoned(row.tenant_id, placement.server_name),
            Retire(Retirement(row.tenant_id, remains.now, abandoned=True)),
        ]
    if database is None:
        raise WorldError(
            "ServerUnknown",
            f"HOADatabaseServer {placement.server_name} cannot be asked; see docs/operations/lost-server.md",
        )
    proof = placement.proof(row.uid)
    if placement.database_oid is None and _was_just_made(remains, database):
        identity = _identity(remains, row)
        if database.identity is None:
            return [ClaimDatabase(placement.server_name, proof, identity)]
        recorded = type(placement)(row.tenant_id, placement.server_name, database.system_identifier, database.oid)
        return [RecordPlacement(recorded)]
    if database.exists and not disposal.at_once:
        closed = database.tombstone and not database.allow_connections
        kept: list[Step] = [] if closed else [Tombstone(placement.server_name, proof, remains.now)]
        retire = Retire(Retirement(row.tenant_id, remains.now, disposal.window))
        return [*kept, _told_retained(placement, disposal), retire]
    if placement.database_oid is not None and not disposal.at_once and not _is_there_or_gone(placement, database):
        raise _missing(placement)
    # Without an oid a killed run's session may still be making it: dropping waits for that session's lock.
    gone = database.absent and placement.database_oid is not None and _is_same_server(placement, database)
    dropped: list[Step] = [] if gone else [DropDatabase(placement.server_name, proof)]
    # Of what was to be kept and is not there nobody knows who dropped it: its files stay. A rollback was never served, so
    # that it has none, and its id comes back when it is tried again.
    wanted = remains.identity.deleting and disposal.at_once and placement.database_oid is not None
    return [*dropped, _told_dropped(placement), Forget(row.tenant_id, dropped=wanted)]


def _is_same_server(placement: Placement, database: ObservedDatabase) -> bool:
    return placement.system_identifier == database.system_identifier


def _is_there_or_gone(placement: Placement, database: ObservedDatabase) -> bool:
    """Tell whether the database is found, or nothing of it is left, as only a drop leaves it. Roles without their database say
    that somebody renamed it, or dropped it by hand."""
    return database.exists or (database.absent and _is_same_server(placement, database))


def _missing(placement: Placement) -> WorldError:
    name, oid = postgres_names.database_name(placement.tenant_id), placement.database_oid
    return WorldError(
        "DatabaseLost",
        f"database {name} (oid {oid}), which is to be kept, is not on HOADatabaseServer {placement.server_name} under either of "
        "its names; nothing of it is dropped. Where somebody renamed it (pg_database has it by its oid), "
        "rename it back; if it was dropped, see docs/operations/lost-server.md",
    )


def _told_retained(placement: Placement, disposal: Disposal) -> Tell:
    name, server = postgres_names.tombstone_name(placement.tenant_id), placement.server_name
    kept = f"database {name} on HOADatabaseServer {server} keeps the tenant's data and lets nobody in"
    if disposal.window is None:
        kept += "; it stays until a person acts"
    else:
        kept += f"; it is dropped in {_hours(disposal.window)} unless the tenant is applied again with adoptionPolicy IfUnclaimed"
    return Tell(
        "Normal",
        "DatabaseRetained",
        f"{kept}. kubectl describe hoads {server} lists it, docs/operations/retained-databases.md says how to read it, bring it "
        "back or drop it",
    )


def _hours(window: timedelta) -> str:
    hours, seconds = divmod(int(window.total_seconds()), 3600)
    return f"{hours} hours" if not seconds else f"{int(window.total_seconds())} s"


def _told_dropped(placement: Placement) -> Tell:
    name, server = postgres_names.database_name(placement.tenant_id), placement.server_name
    return Tell("Normal", "DatabaseDropped", f"database {name} on HOADatabaseServer {server} and its roles are gone")


def _told_abandoned(tenant_id: UUID, server: str) -> Tell:
    name = postgres_names.database_name(tenant_id)
    return Tell(
        "Warning",
        "DatabaseAbandoned",
        f"database {name} on HOADatabaseServer {server} was left as it is, because {names.ANNOTATION_ABANDON} says that "
        "the server is gone for good; should it come back, drop the database by hand",
    )


def is_abandoned(identity: Identity, placement: Placement) -> bool:
    """Tell whether a person said that the very server the data lies on is gone for good."""
    return identity.deleting and identity.abandoned_server == placement.server_name


def _identity(remains: Remains, row: RegistryRow) -> DatabaseIdentity:
    return DatabaseIdentity(row.tenant_id, row.uid, remains.installation)


def _was_just_made(remains: Remains, database: ObservedDatabase) -> bool:
    """Tell whether a database whose oid was never recorded is this tenant's, made just before a kill.

    Its comment says so; before that is written, that nobody could open it yet and that its owner's role says so.
    """
    row, placement = remains.record.row, remains.record.placement
    if row is None or placement is None or not database.exists:
        return False
    if database.system_identifier != placement.system_identifier:
        return False
    owner = postgres_names.role_name(row.tenant_id, postgres_names.OWNER)
    carried = database.identity
    if carried is None and database.owner == owner and not database.allow_connections and not database.tombstone:
        carried = database.role(postgres_names.OWNER).identity
    return carried == _identity(remains, row)


def describe(plan: Plan) -> str:
    """Return what is still to be removed, for people."""
    return "; ".join(step.describe() for step in plan.steps) or "nothing"

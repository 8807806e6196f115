"""Lists on each HOADatabaseServer the databases that are kept of deleted tenants, so that nobody forgets them, and drops those
whose undelete window is over.

A drop is noted in the registry before it begins, which refuses it unless two clocks agree that it is due; the database is
dropped only with proof, and forgotten only when it is gone. Any doubt keeps it, and says so on the server.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Literal
from uuid import UUID

import structlog

from hoa_operator import events, heritage
from hoa_operator.apply import tell
from hoa_operator.errors import OperatorError, WorldError
from hoa_operator.events import Event
from hoa_operator.kinds import SERVER, name_of
from hoa_operator.kube import Conflict
from hoa_operator.observe import server_named
from hoa_operator.postgres import tombstone_name
from hoa_operator.publish import publish
from hoa_operator.reconcile import Outcome
from hoa_operator.tenant import format_time, parse_identity
from hoa_operator.unrecorded import remembered

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from hoa_operator.apply import Doors
    from hoa_operator.registry_model import Placement, RegistryRow

log = structlog.get_logger()

_RETRY: Final = 15.0
#: Entries in a status, as the CRD allows; the count goes on.
_LISTED: Final = 100
_RUNBOOK: Final = "docs/operations/retained-databases.md"


def by_server(
    tombstones: Iterable[tuple[RegistryRow, Placement | None]], problems: Mapping[UUID, str]
) -> dict[str, list[dict[str, str]]]:
    """Return what the status of each server lists: what could not be dropped, then the latest first."""
    found: dict[str, list[dict[str, str]]] = {}
    for row, placement in tombstones:
        if placement is None or placement.deleted_at is None:
            continue
        entry = {
            "name": tombstone_name(row.tenant_id),
            "tenant": row.name,
            "tenantID": str(row.tenant_id),
            "retainedAt": format_time(placement.deleted_at.astimezone(UTC)),
        }
        drop_after = heritage.drop_time(placement)
        if drop_after:
            entry["dropAfter"] = drop_after
        if placement.dropping_since is not None:
            entry["droppingSince"] = format_time(placement.dropping_since.astimezone(UTC))
        if row.tenant_id in problems:
            entry["problem"] = problems[row.tenant_id][:2000]
        found.setdefault(placement.server_name, []).append(entry)
    for entries in found.values():
        entries.sort(key=lambda entry: ("problem" in entry, entry["retainedAt"], entry["name"]), reverse=True)
    return found


def listed(before: Mapping[str, Any], entries: list[dict[str, str]]) -> dict[str, Any]:
    """Return a server's status with these entries; without any it says nothing of them."""
    status = {key: value for key, value in before.items() if key not in ("retained", "retainedDatabases")}
    if entries:
        status |= {"retained": len(entries), "retainedDatabases": entries[:_LISTED]}
    return status


class RetainedReconciler:
    """Keeps the lists, and drops what is due."""

    def __init__(self, doors: Doors, reporter: str, clock: Callable[[], datetime] | None = None) -> None:
        self._doors = doors
        self._sources = doors.sources
        self._reporter = reporter
        self._clock = clock or (lambda: datetime.now(UTC))

    async def __call__(self, _: str = "") -> Outcome:
        """Drop what is due, write the lists that differ, and come back when the next is due."""
        try:
            tombstones = await self._sources.registry.tombstones()
            problems = await self._drop_due(tombstones)
            tombstones = await self._sources.registry.tombstones()
            kept = by_server(tombstones, problems)
            for body in self._sources.cache.all(SERVER):
                status = listed(body.get("status") or {}, kept.get(name_of(body), []))
                await publish(self._doors, body, status, self._clock(), self._reporter)
        except Conflict:
            raise
        except OperatorError as error:
            return Outcome(wait=_RETRY, failed=error.reason)
        return Outcome(wait=self._until_next(tombstones), failed="RetainedNotDropped" if problems else None)

    def _until_next(self, tombstones: Iterable[tuple[RegistryRow, Placement | None]]) -> float | None:
        """Return the seconds until something is due; what is due already is tried again at the next resync."""
        now = self._clock()
        times = [placement.drop_after for _, placement in tombstones if placement and placement.drop_after]
        waits = [(at - now).total_seconds() for at in times]
        return min((wait + 1.0 for wait in waits if wait > 0), default=None)

    async def _drop_due(self, tombstones: Iterable[tuple[RegistryRow, Placement | None]]) -> dict[UUID, str]:
        """Drop what is due; return by tenant id what was not dropped, and why. One that is held up holds up nobody else;
        a server that is away is asked once (`Fleet`)."""
        problems: dict[UUID, str] = {}
        for row, placement in tombstones:
            if placement is None or placement.drop_after is None or placement.drop_after > self._clock():
                continue
            problem = await self._try(row, placement)
            if problem is not None:
                problems[row.tenant_id] = problem
        return problems

    async def _try(self, row: RegistryRow, placement: Placement) -> str | None:
        """Drop one database if nobody claims it; return why it was not, if that is a problem."""
        try:
            await self._drop(row, placement)
        except OperatorError as error:
            problem = (
                f"{error.reason}: {error.message.rstrip('.')}; it is not dropped yet, and tried again. See {_RUNBOOK}"
            )
            log.warning(
                "retained database not dropped", tenant=row.owner, tenant_id=str(row.tenant_id), message=problem
            )
            await self._tell("Warning", "RetainedNotDropped", row, placement, problem)
            return problem
        return None

    async def _drop(self, row: RegistryRow, placement: Placement) -> None:
        sources, proof = self._sources, placement.proof(row.uid)
        self._refuse_while_named(row)
        void = await self._void(placement)
        async with sources.fleet.door(server_named(sources.cache, placement.server_name)) as door:
            await door.prove(proof)
            if not await sources.registry.begin_drop(row.tenant_id, void, self._clock(), self._doors.epoch):
                return
            log.info("step", tenant=row.name, step="drop the retained database and its roles")
            await door.drop(proof)
        await self._tell(
            "Normal", "DatabaseDropped", row, placement, "it and its roles are gone, its undelete window is over"
        )
        await sources.registry.forget(row.tenant_id, self._doors.epoch, dropped=True)

    def _refuse_while_named(self, row: RegistryRow) -> None:
        """Refuse to drop what the status of another HOATenant says is its own: registry and server may both have been put back
        from a copy of before it took that over, and then neither knows."""
        for body in self._sources.tenants():
            identity = parse_identity(body)
            found = remembered(identity, body) if identity.uid != row.uid else None
            if found is not None and found.row.tenant_id == row.tenant_id:
                raise WorldError(
                    "RetainedDataInUse",
                    f"HOATenant {identity.name} says that this data is its own (status.tenantID); look at its conditions, or delete "
                    "it if it is not to have the data",
                )

    async def _void(self, placement: Placement) -> list[UUID]:
        """Return the claims on the data that count no more; raise where one counts, of whoever has begun to take it over."""
        if not placement.claimants:
            return []
        alive = {UUID(body["metadata"]["uid"]): name_of(body) for body in self._sources.tenants()}
        busy = heritage.busy(alive, await self._sources.registry.rows())
        rival = next((uid for uid in placement.claimants if uid in busy), None)
        if rival is not None:
            raise WorldError(
                "RetainedDataClaimed",
                f"HOATenant {alive[rival]} has begun to take it over; look at its conditions, or delete it if it is not to have it",
            )
        return list(placement.claimants)

    async def _tell(
        self, kind: Literal["Normal", "Warning"], reason: str, row: RegistryRow, placement: Placement, what: str
    ) -> None:
        body = self._sources.cache.get(SERVER, placement.server_name)
        if body is None:
            return
        message = f"database {tombstone_name(row.tenant_id)} of {row.owner} on HOADatabaseServer {placement.server_name}: {what}"
        event = Event(kind, reason, message, once=True)
        await tell(self._doors, events.manifest(body, event, self._reporter, self._clock()))

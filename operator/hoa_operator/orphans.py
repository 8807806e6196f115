"""Registry rows whose HOATenant was removed by force, past its finalizer: closed and retained, never dropped.

The app would serve such a tenant for ever. But an empty cluster looks the same when it is being restored, so a row waits
an hour, and while more than half of all rows have lost their HOATenant nothing is done but saying so.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import structlog

from hoa_operator import steps, teardown
from hoa_operator.apply import Subject, apply
from hoa_operator.dispatch import Key
from hoa_operator.errors import OperatorError, WorldError
from hoa_operator.kinds import TENANT
from hoa_operator.manifests.meta import tenant_family
from hoa_operator.observe import observe_remains
from hoa_operator.reconcile import Outcome
from hoa_operator.removal import DRAIN
from hoa_operator.target import Failure, StepFailed, attributed
from hoa_operator.tenant import Disposal, format_time

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from uuid import UUID

    from hoa_operator.apply import Doors
    from hoa_operator.registry_model import RegistryRow

log = structlog.get_logger()

ORPHANS: Final = Key("orphans", "")
GRACE: Final = timedelta(hours=1)
_ROUNDS: Final = 6


def too_many(lost: Collection[object], rows: Collection[object]) -> bool:
    """Tell whether so many HOATenants are missing that it is the cluster which lost them, and no person."""
    return len(lost) > 1 and 2 * len(lost) > len(rows)


class OrphanReconciler:
    """Looks after rows that no HOATenant owns any more."""

    def __init__(self, doors: Doors, clock: Callable[[], datetime] | None = None) -> None:
        self._doors = doors
        self._sources = doors.sources
        self._clock = clock or (lambda: datetime.now(UTC))
        self._since: dict[UUID, datetime] = {}

    async def __call__(self, _: str) -> Outcome:
        """Look at all rows once."""
        try:
            rows = [row for row in await self._sources.registry.rows() if self._is_living(row)]
            lost = await self._lost(rows)
        except OperatorError as error:
            return Outcome(failed=error.reason)
        now = self._clock()
        self._since = {row.uid: self._since.get(row.uid, now) for row in lost}
        if not lost:
            return Outcome()
        names = [row.owner for row in lost]
        if too_many(lost, rows):
            log.error("most HOATenants are missing: is the cluster being restored? nothing is done", tenants=names)
            return Outcome()
        log.warning(
            "HOATenants were removed by force; their data is closed and retained", tenants=names, after=str(GRACE)
        )
        failures: list[str] = []
        draining = False
        for row in lost:
            if now - self._since[row.uid] >= GRACE:
                try:
                    draining |= not await self._retain(row)
                except StepFailed as left:
                    trouble = left.failure.error
                    log.warning("tenant without HOATenant not retained", tenant=row.owner, message=trouble.message)
                    failures.append(trouble.reason)
        return Outcome(wait=DRAIN.total_seconds() if draining else None, failed=failures[-1] if failures else None)

    def _is_living(self, row: RegistryRow) -> bool:
        return row.state != "Deleted" and row.namespace == self._sources.settings.namespace

    async def _lost(self, rows: list[RegistryRow]) -> list[RegistryRow]:
        """Return the rows whose uid no HOATenant has: asked of the API server, after the rows were read."""
        cached = {body["metadata"]["uid"] for body in self._sources.tenants()}
        if all(str(row.uid) in cached for row in rows):
            return []
        items = await self._doors.kube.list_all(TENANT, metadata_only=True)
        alive = {item["metadata"]["uid"] for item in items}
        return [row for row in rows if str(row.uid) not in alive]

    async def _retain(self, row: RegistryRow) -> bool:
        """Do what deleting the HOATenant would have done, but never drop anything; False while its requests have time to
        end. Whoever is in the database after that time is no request. Raises StepFailed."""
        settings, body = self._sources.settings, self._body(row)
        for _ in range(_ROUNDS):
            remains = await observe_remains(self._sources, body, self._clock())
            with attributed(steps.DATABASE_READY):
                decided = teardown.plan_deletion(replace(remains, drained=row.state == "Deleting"), Disposal())
            if not decided.steps:
                if decided.waits_for is None:
                    log.warning("tenant without HOATenant retained", tenant=row.owner, tenant_id=str(row.tenant_id))
                return decided.waits_for is None
            who = (row.name, str(row.uid), str(row.tenant_id))
            family = tenant_family(settings.namespace, settings.release, settings.app.version, who)
            for step in decided.steps:
                log.info("step", tenant=row.owner, step=step.describe())
                await apply(self._doors, Subject(remains.identity, family, self._clock()), step)
        fight = f"what is left of HOATenant {row.owner} is to be removed again and again; something else may be making it anew, see"
        endless = WorldError("NotConverging", f"{fight} kubectl get -o yaml --show-managed-fields")
        raise StepFailed(Failure(endless, steps.READY))

    def _body(self, row: RegistryRow) -> Mapping[str, Any]:
        """Return the HOATenant as it must have been last."""
        now = format_time(self._clock())
        return {
            "metadata": {
                "namespace": row.namespace,
                "name": row.name,
                "uid": str(row.uid),
                "resourceVersion": "0",
                "creationTimestamp": now,
                "deletionTimestamp": now,
            }
        }

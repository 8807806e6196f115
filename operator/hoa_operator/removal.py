"""Carries out a deletion or a rollback: observe, decide, act, look again, until nothing is left or something is waited for."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import structlog

from hoa_operator import steps, teardown
from hoa_operator.apply import Subject, apply
from hoa_operator.errors import OperatorError
from hoa_operator.kinds import TENANT
from hoa_operator.manifests.meta import tenant_family
from hoa_operator.observe import observe_remains
from hoa_operator.steps import Plan
from hoa_operator.target import Failure, StepFailed, attributed
from hoa_operator.tenant import parse_disposal

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from uuid import UUID

    from hoa_operator.apply import Doors
    from hoa_operator.kinds import Object
    from hoa_operator.settings import Settings
    from hoa_operator.status import Report
    from hoa_operator.teardown import Remains
    from hoa_operator.tenant import Identity

log = structlog.get_logger()

#: How long the sessions of a tenant that is no longer served may go on before they are ended.
DRAIN: Final = timedelta(seconds=10)
_ROUNDS: Final = 12


async def take(doors: Doors, decided: Plan, subject: Subject) -> None:
    """Carry the steps out in their order."""
    for step in decided.steps:
        log.info("step", tenant=subject.identity.name, step=step.describe())
        await apply(doors, subject, step)


def subject_of(settings: Settings, identity: Identity, tenant_id: str, now: datetime) -> Subject:
    """Return whom steps are about."""
    who = (identity.name, str(identity.uid), tenant_id)
    return Subject(identity, tenant_family(settings.namespace, settings.release, settings.app.version, who), now)


class Remover:
    """Removes tenants, and remembers since when each is drained: after a restart that begins anew."""

    def __init__(self, doors: Doors, clock: Callable[[], datetime]) -> None:
        self._doors = doors
        self._sources = doors.sources
        self._clock = clock
        self._stopped: dict[UUID, datetime] = {}

    async def leaves_with_namespace(self, identity: Identity) -> bool:
        """Let go of a tenant whose whole namespace is being deleted, whatever its spec says: its data stays as it is."""
        with attributed(steps.READY):
            if not await self._doors.kube.is_leaving():
                return False
        log.warning("let go of with its namespace, data untouched", tenant=identity.name)
        await self._take(Plan((steps.RemoveFinalizer(),)), identity, str(identity.uid))
        return True

    async def delete(self, body: Object, report: Report) -> Report:
        """Do what the deletion of the HOATenant asks for."""
        disposal = parse_disposal(body)
        return await self.remove(body, report, lambda remains: teardown.plan_deletion(remains, disposal))

    async def remove(self, body: Object, report: Report, decide: Callable[[Remains], Plan]) -> Report:
        """Take the steps that `decide` names until it names none; the report says what failed or is waited for."""
        try:
            for _ in range(_ROUNDS):
                body = self._sources.cache.get(TENANT, report.identity.name) or body
                remains = await observe_remains(self._sources, body, self._clock())
                decided = decide(replace(remains, drained=self._is_drained(remains)))
                if not decided.steps:
                    return replace(report, plan=decided)
                tenant_id = remains.record.row.tenant_id if remains.record.row else report.identity.uid
                await self._take(decided, remains.identity, str(tenant_id))
                if any(isinstance(step, steps.RemoveFinalizer) for step in decided.steps):
                    break
        except StepFailed as failed:
            return replace(report, failure=failed.failure)
        except OperatorError as error:
            return replace(report, failure=Failure(error, steps.DATABASE_READY))
        return report

    def _is_drained(self, remains: Remains) -> bool:
        row = remains.record.row
        if row is None or row.state != "Deleting":
            self._stopped.pop(remains.identity.uid, None)  # of a rollback, too: whoever is retried is drained anew
            return False
        return self._clock() - self._stopped.setdefault(remains.identity.uid, self._clock()) >= DRAIN

    async def _take(self, decided: Plan, identity: Identity, tenant_id: str) -> None:
        await take(self._doors, decided, subject_of(self._sources.settings, identity, tenant_id, self._clock()))

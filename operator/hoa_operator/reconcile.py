"""The one reconcile of a tenant: observe, plan, apply, look again, until nothing is left to do; then status.

It answers a created, changed, deleted or merely old HOATenant the same way, remembers nothing that matters, and can
be killed anywhere.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import structlog

from hoa_operator import conditions, drift, names, status, steps, suspension, teardown, timing
from hoa_operator.apply import patch_source
from hoa_operator.errors import OperatorError, WorldError
from hoa_operator.kinds import JOB, TENANT, kind_of
from hoa_operator.kube import Conflict
from hoa_operator.labelling import Relabelled
from hoa_operator.observe import observe_tenant
from hoa_operator.plan import plan, survey
from hoa_operator.publish import publish
from hoa_operator.removal import Remover, subject_of, take
from hoa_operator.status import Report, Retry
from hoa_operator.steps import Plan
from hoa_operator.target import Failure, StepFailed
from hoa_operator.tenant import parse_identity
from hoa_operator.turns import Wish
from hoa_operator.workqueue import backoff

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from random import Random

    from hoa_operator.apply import Doors, Subject
    from hoa_operator.kinds import Object
    from hoa_operator.tenant import Identity
    from hoa_operator.world import World

log = structlog.get_logger()

_ROUNDS: Final = 12
_CONFLICT_PAUSE: Final = 0.2


@dataclass(frozen=True)
class Outcome:
    """When to look again (seconds; None: only when something changes or at the next resync), and what failed, if
    anything."""

    wait: float | None = None
    failed: str | None = None


class TenantReconciler:
    """Reconciles HOATenants by name. `random` spreads retries, `repaired` hears of tenants that something was put back of."""

    def __init__(
        self,
        doors: Doors,
        reporter: str,
        random: Random,
        repaired: Callable[[str], None],
        clock: Callable[[], datetime] | None = None,
    ) -> None:
        self._doors = doors
        self._sources = doors.sources
        self._reporter = reporter
        self._random = random
        self._repaired = repaired
        self._clock = clock or (lambda: datetime.now(UTC))
        self._deadline = doors.sources.settings.timing.provisioning_deadline
        self._failures: dict[str, int] = {}
        self._remover = Remover(doors, self._clock)

    async def __call__(self, name: str) -> Outcome:
        """Reconcile one tenant."""
        body = self._sources.cache.get(TENANT, name)
        if body is None:
            self._failures.pop(name, None)
            self._sources.turns.settle(name, None)
            return Outcome()
        identity = parse_identity(body)
        try:
            if identity.deleting and not identity.has_finalizer:
                return await self._left_to_others(body, identity)
            report = await self._take_part(body, identity)
            return await self._conclude(name, report)
        except Conflict as stale:
            log.debug("looked at something old", tenant=name, message=stale.message)
            return Outcome(wait=_CONFLICT_PAUSE * (0.5 + self._random.random()))
        except OperatorError as error:
            log.warning("status not written", tenant=name, reason=error.reason, message=error.message)
            return Outcome(wait=self._delay(name, error), failed=error.reason)

    async def _take_part(self, body: Object, identity: Identity) -> Report:
        """Look at the tenant and act, and keep its place in the line for migration Jobs, if it has to wait there."""
        wish = None
        try:
            report = await self._report(body, identity)
            if report.plan is not None and report.plan.queued and report.world is not None and report.failure is None:
                wish = _wish(report.world)
            return report
        finally:
            self._sources.turns.settle(identity.name, wish)

    async def _report(self, body: Object, identity: Identity) -> Report:
        before = body.get("status") or {}
        policy = _policy(body, identity)
        report = Report(identity, before, self._clock(), policy=policy)
        try:
            if identity.deleting and await self._remover.leaves_with_namespace(identity):
                return report
        except StepFailed as failed:
            return replace(report, failure=failed.failure)
        if policy != "Managed":
            return await self._look(body, report)
        if identity.deleting:
            return await self._delete(body, report)
        undone = status.is_rolled_back(before, identity)
        if undone and not await self._holds_data(identity):
            return await self._undo(body, report)
        report = replace(report, restart=undone or status.starts_over(before, identity))
        report = await self._converge(body, report)
        if report.failure is not None and not isinstance(report.failure.error, Conflict):
            report = await self._suspended(body, report)
        return await self._undo(body, report) if await self._is_to_be_undone(report) else report

    async def _is_to_be_undone(self, report: Report) -> bool:
        if not timing.is_late(report, self._deadline):
            return False
        try:
            return not await self._holds_data(report.identity)
        except OperatorError:
            return False  # while nobody can say what there is, nothing is undone

    async def _holds_data(self, identity: Identity) -> bool:
        """Tell whether people's data is at stake: the tenant's own, or what it has begun to take over."""
        registry = self._sources.registry
        row = await registry.observe(identity.uid)
        if row is not None:  # whatever it began to take over, it has its own by now
            return teardown.holds_data(row, identity.uid)
        return bool(await registry.claimed_by(identity.uid))

    # A tenant that lives

    async def _converge(self, body: Object, report: Report) -> Report:
        world: World | None = None
        decided: Plan | None = None
        try:
            report = replace(report, suspended=await suspension.carry_out(self._doors, body, self._clock()))
            for number in range(_ROUNDS):
                body = self._sources.cache.get(TENANT, report.identity.name) or body
                world = await observe_tenant(self._sources, body, self._clock())
                decided = plan(world) if number == 0 else drift.untold(plan(world))
                if any(isinstance(step, steps.ApplyObject) and kind_of(step.manifest) == JOB for step in decided.steps):
                    self._sources.turns.give(_wish(world))
                if not decided.steps:
                    return replace(report, world=world, plan=decided, now=self._clock())
                target, now = world.target, self._clock()
                subject = subject_of(self._sources.settings, target.identity, str(target.tenant_id), now)
                await self._take(decided, subject)
        except StepFailed as failed:
            self._give_up_place(report, world)
            report = replace(report, failure=failed.failure, now=self._clock())
            # A spec that is not accepted is no measure for what is served.
            return (
                report
                if failed.failure.condition == steps.SPEC_ACCEPTED
                else replace(report, world=world, plan=decided)
            )
        except OperatorError as error:
            self._give_up_place(report, world)
            failure = Failure(error, steps.DATABASE_READY)
            return replace(report, world=world, plan=decided, failure=failure, now=self._clock())
        left = "; ".join(step.describe() for step in decided.steps) if decided else ""
        fight = f"the same steps are needed again and again: {left}; something else may be changing these objects, see"
        endless = WorldError("NotConverging", f"{fight} kubectl get -o yaml --show-managed-fields")
        return replace(report, world=world, plan=decided, failure=Failure(endless, steps.STALLED))

    async def _take(self, decided: Plan, subject: Subject) -> None:
        """Carry the steps out. What turns out to have lost its labels has them back by now, which is told, and is planned
        with anew."""
        try:
            await take(self._doors, decided, subject)
        except StepFailed as failed:
            found = failed.failure.error
            if not isinstance(found, Relabelled):
                raise
            decided = Plan((steps.Tell("Normal", "Repaired", found.message, once=False),))
            await take(self._doors, decided, subject)
        if drift.is_repair(decided):
            self._repaired(subject.identity.name)

    async def _suspended(self, body: Object, report: Report) -> Report:
        """See to it that a tenant that shall be suspended is, although something else was refused or failed; what keeps it
        from that is said before what was refused, for it is tried again."""
        try:
            return replace(report, suspended=await suspension.carry_out(self._doors, body, self._clock(), again=True))
        except StepFailed as failed:
            return replace(report, suspended=False, failure=failed.failure)

    def _give_up_place(self, report: Report, world: World | None) -> None:
        """Count a tenant that failed before its place was recorded nowhere."""
        if world is None or world.record.placement is None:
            self._sources.places.release(str(report.identity.uid))

    # A tenant that is only looked at

    async def _look(self, body: Object, report: Report) -> Report:
        if report.identity.deleting:
            return replace(report, begun=await self._has_begun(report))
        if report.policy == "Paused":
            return report
        try:
            world = await observe_tenant(self._sources, body, self._clock())
            self._give_up_place(report, world)
            return replace(report, world=world, plan=survey(world))
        except StepFailed as failed:
            return replace(report, failure=failed.failure)
        except OperatorError as error:
            return replace(report, failure=Failure(error, steps.DATABASE_READY))

    # A tenant that goes

    async def _has_begun(self, report: Report) -> bool:
        """Tell whether the removal of a tenant was at work before its spec held it back; while nobody can say, as was said."""
        try:
            row = await self._sources.registry.observe(report.identity.uid)
        except OperatorError:
            row = None
        if row is None:
            return report.before.get("phase") == "Deleting"
        return row.state in ("Deleting", "Deleted")

    async def _delete(self, body: Object, report: Report) -> Report:
        await self._write(body, status.build(report), report.now)
        return await self._remover.delete(body, report)

    async def _left_to_others(self, body: Object, identity: Identity) -> Outcome:
        """Say who else holds a tenant of which nothing is left here."""
        others = body["metadata"].get("finalizers") or ()
        if others:
            report = Report(identity, body.get("status") or {}, self._clock())
            await self._write(body, status.left_to_others(report, others), report.now)
        return Outcome()

    async def _undo(self, body: Object, report: Report) -> Report:
        """Remove what a provisioning that came too late made; say so first, so that a kill changes nothing."""
        before = report.before if status.is_rolled_back(report.before, report.identity) else status.build(report)
        said = status.rolled_back(replace(report, before=before), before, "")
        if not status.is_rolled_back(report.before, report.identity):
            log.warning("provisioning passed its deadline", tenant=report.identity.name)
            body = await self._write(body, said, report.now)
        undone = Report(report.identity, said, report.now)
        undone = await self._remover.remove(body, undone, teardown.plan_rollback)
        self._sources.places.release(str(report.identity.uid))
        left = undone.failure.error.message if undone.failure else None
        final = status.rolled_back(replace(undone, failure=None), before, left)
        await self._write(self._sources.cache.get(TENANT, report.identity.name) or body, final, undone.now)
        return replace(undone, before=final, policy="RolledBack")

    # The end of every reconcile

    async def _conclude(self, name: str, report: Report) -> Outcome:
        failure = report.failure
        if failure is not None and isinstance(failure.error, Conflict):
            raise failure.error
        outcome = self._outcome(name, report)
        body = self._sources.cache.get(TENANT, name)
        if body is None or report.policy == "RolledBack":
            return outcome
        if failure is not None and self._is_blip(name, report):
            return outcome
        if failure is not None and not failure.for_people and outcome.wait is not None:
            next_time = report.now + timedelta(seconds=outcome.wait)
            report = replace(report, retry=Retry(self._failures[name], next_time))
        said = status.build(report)
        if report.policy != "Managed":
            said = self._observed(report, said)
        body = await self._write(body, said, report.now)
        if report.identity.retry_requested and report.policy == "Managed":
            await self._consume_request(body)
        return outcome

    def _observed(self, report: Report, said: dict[str, Any]) -> dict[str, Any]:
        """Report on a tenant that nothing is done for: as it was, and for ObserveOnly what differs."""
        if report.identity.deleting:
            return status.held_back(report)
        if report.plan is None:
            kept = {**report.before, "phase": "Paused", "observedGeneration": report.identity.generation}
            kept.pop("retry", None)
            return kept
        sync = conditions.in_sync(report.plan)
        others = [c for c in said["conditions"] if c["type"] != steps.IN_SYNC]
        return {**said, "conditions": [*others, status.one_condition(report, steps.IN_SYNC, sync)]}

    def _outcome(self, name: str, report: Report) -> Outcome:
        failure = report.failure
        if failure is None:
            self._failures.pop(name, None)
            return Outcome(wait=self._next_look(report))
        log.warning(
            "reconcile failed", tenant=name, condition=failure.condition, reason=failure.error.reason,
            message=failure.error.message,
        )  # fmt: skip
        if failure.for_people:
            self._failures.pop(name, None)
            return Outcome(failed=failure.error.reason)
        self._failures[name] = self._failures.get(name, 0) + 1
        return Outcome(wait=self._delay(name, failure.error), failed=failure.error.reason)

    def _delay(self, name: str, error: OperatorError) -> float:
        after = error.retry_after if isinstance(error, WorldError) else None
        ceiling = self._sources.settings.timing.resync
        return max(after or 0.0, backoff(self._failures.get(name, 1), ceiling, self._random))

    def _is_blip(self, name: str, report: Report) -> bool:
        """Tell whether a tenant that is served failed only once: not worth a word yet."""
        ready = status.condition(report.before, steps.READY)
        served = ready is not None and ready["status"] == "True"
        return served and self._failures.get(name, 0) == 1

    def _next_look(self, report: Report) -> float | None:
        mail = self._sources.usage.next_look(report.world.target.tenant_id) if report.world is not None else None
        return timing.next_look(report, self._deadline, mail)

    async def _consume_request(self, body: Object) -> None:
        patch = {
            "metadata": {
                "annotations": {names.ANNOTATION_RETRY: None},
                "resourceVersion": body["metadata"]["resourceVersion"],
            }
        }
        await patch_source(self._doors, body, patch)

    async def _write(self, body: Object, said: Mapping[str, Any], now: datetime) -> Object:
        return await publish(self._doors, body, said, now, self._reporter)


def _policy(body: Object, identity: Identity) -> str:
    """Return what may be done for the tenant. One that was deleted past its protection is left alone: where the cluster has no
    policy that refuses the deletion, that is all there is to refuse."""
    spec = body.get("spec") or {}
    if identity.deleting and spec.get("deletionProtection") == "Enabled":
        return "Protected"
    return str(spec.get("managementPolicy", "Managed"))


def _wish(world: World) -> Wish:
    return Wish(world.name, world.target.server.name, world.revision is not None)

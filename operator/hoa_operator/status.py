"""Turns what is known into `status`: pure. Conditions are read off the world, not off what was tried.

One failure is laid over the condition it belongs to. A condition keeps its transition time while its status stays the
same, and a status that says nothing new equals the one before, so that nothing is written.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from hoa_operator import conditions as found
from hoa_operator import facts, names, steps, waiting
from hoa_operator.tenant import format_time

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from hoa_operator.conditions import Finding
    from hoa_operator.steps import Plan
    from hoa_operator.target import Failure
    from hoa_operator.tenant import Identity
    from hoa_operator.world import World

DEADLINE_EXCEEDED: Final = "ProvisioningDeadlineExceeded"
ROLLED_BACK: Final = "RolledBack"
_UNDONE: Final = (
    f"provisioning passed its deadline and was undone; correct the cause that {steps.STALLED} names, then change the spec or "
    f"annotate the HOATenant with {names.ANNOTATION_RETRY}=now"
)
Phase = Literal["Pending", "Provisioning", "Ready", "Updating", "Degraded", "Suspended", "Paused", "Failed", "Deleting"]
Status = dict[str, Any]


@dataclass(frozen=True)
class Retry:
    """Failed attempts in a row, and when the next one starts."""

    attempts: int
    next_time: datetime


@dataclass(frozen=True)
class Report:
    """What one reconcile found out. `world` is None when it could not be read at all; `suspended` says that the spec wants the
    tenant suspended and that this was carried out, whatever failed besides; `begun` that its removal was at work before its
    spec held that back."""

    identity: Identity
    before: Mapping[str, Any]
    now: datetime
    world: World | None = None
    plan: Plan | None = None
    failure: Failure | None = None
    retry: Retry | None = None
    restart: bool = False
    policy: str = "Managed"
    suspended: bool = False
    begun: bool = False


def build(report: Report) -> Status:
    """Return the whole status."""
    world = report.world
    status: Status = dict(report.before)
    status["observedGeneration"] = report.identity.generation
    status["onboarding"] = onboarding(report)
    if world is not None:
        status |= facts.read(world)
        if report.plan is not None and not report.plan.steps and report.failure is None:
            _set(status, "failedMigration", facts.failed_migration(world, report.plan))
    _set(status, "retry", _retry(report.retry))
    findings = _previous(report.before)
    findings.pop(steps.IN_SYNC, None)  # said only of a tenant that nothing is done for
    if world is not None:
        findings.pop(steps.DOMAINS_READY, None)  # said only of a tenant that has any
    if world is not None and report.plan is not None:
        findings |= found.read(world, report.plan)
    if report.failure is not None:
        findings |= _laid_over(report.failure)
    if report.identity.deleting:
        waits_for = report.plan.waits_for if report.plan is not None else None
        said = waiting.deletion(report.identity, report.before, report.failure, waits_for)
        findings[steps.DELETION] = found.Finding("True", *said)
    findings[steps.READY] = _ready(report, findings)
    if _is_settled(report) and world is not None:
        status |= facts.in_force(world)
    elif report.suspended:
        status["state"] = "Suspended"
    status["conditions"] = _conditions(report, findings)
    status["phase"] = phase(report, findings, served=_served(report))
    return {key: value for key, value in status.items() if value is not None}


def held_back(report: Report) -> Status:
    """Return the status of a tenant that is deleted while nothing may be done for it: as it was, and what lets it go. One that
    is half gone already goes on being deleted, in its phase and for whoever is alerted."""
    message = waiting.for_policy(report.identity, report.policy, begun=report.begun)
    status = _only(report, steps.DELETION_PAUSED, message)
    status |= {"phase": "Deleting" if report.begun else "Paused", "observedGeneration": report.identity.generation}
    status.pop("retry", None)
    return status


def left_to_others(report: Report, holders: Sequence[str]) -> Status:
    """Return the status of a tenant of which nothing is left but the object, which others hold."""
    return {
        **_only(report, waiting.OTHER_FINALIZERS, waiting.for_others(report.identity, holders)),
        "phase": "Deleting",
    }


def _only(report: Report, reason: str, message: str) -> Status:
    """Return the status as it was, but for what a deletion waits for."""
    known = {
        c["type"]: found.Finding(c["status"], c["reason"], c["message"]) for c in report.before.get("conditions") or ()
    }
    known[steps.READY] = found.Finding("False", reason, message)
    known[steps.DELETION] = found.Finding("True", reason, message)
    return {**report.before, "conditions": _conditions(report, known)}


def rolled_back(report: Report, hung: Mapping[str, Any], left: str | None) -> Status:
    """Return the status of a provisioning that passed its deadline; `left` says what could not be removed yet, and is
    empty before that is tried."""
    base = build(report)
    step = next((entry for entry in hung.get("onboarding") or () if "finishedAt" not in entry), {"step": "onboarding"})
    why = _reason_of_hanging(hung)
    removal = "was removed" if left is None else "is being removed"
    removal += f", but not all of it can be yet ({left.rstrip('.')})" if left else ""
    message = (
        f"{step['step']} was not done in time: {why}. What was made for this tenant {removal}; correct the cause, "
        f"then change the spec or annotate the HOATenant with {names.ANNOTATION_RETRY}=now"
    )
    findings = dict(_previous(base))
    findings[steps.STALLED] = found.Finding("True", DEADLINE_EXCEEDED, message)
    findings[steps.READY] = found.Finding("False", DEADLINE_EXCEEDED, message)
    for name in (steps.DATABASE_READY, steps.CREDENTIALS_READY, steps.SCHEMA_CURRENT, steps.ROUTE_READY):
        if name in findings and findings[name].status == "True":  # what hung goes on saying why
            findings[name] = found.Finding("False", ROLLED_BACK, _UNDONE)
    base["conditions"] = _conditions(report, findings)
    base["phase"] = "Failed"
    base["onboarding"] = list(hung.get("onboarding") or ())
    for key in (
        "retry",
        "credentials",
        "database",
        "schemaRevision",
        "url",
        "tenantID",
        "failedMigration",
        *facts.WHILE_THERE,
    ):
        base.pop(key, None)
    return base


def is_rolled_back(before: Mapping[str, Any], identity: Identity) -> bool:
    """Tell whether this very spec passed its deadline and nobody has asked to try again."""
    stalled = condition(before, steps.STALLED)
    if stalled is None or stalled["status"] != "True" or stalled["reason"] != DEADLINE_EXCEEDED:
        return False
    return stalled.get("observedGeneration") == identity.generation and not identity.retry_requested


def starts_over(before: Mapping[str, Any], identity: Identity) -> bool:
    """Tell whether onboarding begins anew: after a rollback, or because a person asked for it."""
    stalled = condition(before, steps.STALLED)
    was = stalled is not None and stalled["status"] == "True" and stalled["reason"] == DEADLINE_EXCEEDED
    return (was and not is_rolled_back(before, identity)) or (
        identity.retry_requested and not steps.is_onboarded(before)
    )


def condition(status: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    """Return a condition of a status."""
    return next((c for c in status.get("conditions") or () if c["type"] == name), None)


def onboarding(report: Report) -> list[dict[str, str]]:
    """Return the seven steps: each starts when the one before is done, the migration when it is its turn, and once
    finished stays finished. One that waits for a person has not started: the clock of the deadline stands still."""
    before = {} if report.restart else {entry["step"]: entry for entry in report.before.get("onboarding") or ()}
    done = found.onboarding(report.world) if report.world is not None else {}
    waits = report.policy != "Managed" or (report.failure is not None and report.failure.for_people)
    now = format_time(report.now)
    entries: list[dict[str, str]] = []
    start: str | None = now
    for name in steps.ONBOARDING:
        entry = dict(before.get(name, {"step": name}))
        if "finishedAt" not in entry:
            finding = done.get(name)
            queued = name == steps.RUN_MIGRATIONS and report.plan is not None and report.plan.queued
            if waits:
                entry.pop("startedAt", None)
            if (start is not None and not queued and not waits) or (finding is not None and finding.done):
                entry.setdefault("startedAt", now)
            if finding is not None and finding.done:
                entry["finishedAt"] = now
            message = finding.message if finding is not None else entry.get("message")
            if report.failure is not None and start is not None and "finishedAt" not in entry:
                message = f"{report.failure.error.reason}: {report.failure.error.message}"
            _set(entry, "message", message[:1000] if message else None)
        entries.append(entry)
        start = entry.get("finishedAt")
    return entries


def phase(report: Report, findings: Mapping[str, Finding], *, served: bool) -> Phase:
    """Return one word for people, derived from the conditions."""
    if report.identity.deleting:
        return "Deleting"
    if report.policy != "Managed":
        return "Paused"
    stalled = findings[steps.STALLED].status == "True"
    if not served:
        return "Failed" if stalled else ("Provisioning" if report.world else "Pending")
    if findings[steps.READY].reason == "Suspended":
        return "Suspended"
    if stalled or findings[steps.READY].status != "True":
        return "Degraded"
    schema = findings.get(steps.SCHEMA_CURRENT)
    return "Updating" if schema is not None and schema.status == "False" else "Ready"


def _is_settled(report: Report) -> bool:
    """Tell whether nothing was left to do, so that what the spec wants is what there is."""
    decided = report.plan
    return report.policy == "Managed" and report.failure is None and decided is not None and not decided.steps


def _served(report: Report) -> bool:
    if report.world is not None:
        return report.world.revision is not None
    return steps.is_onboarded(report.before)


def _ready(report: Report, findings: Mapping[str, Finding]) -> Finding:
    if report.identity.deleting:
        return found.Finding("False", steps.DELETING, "the tenant is being deleted")
    if not _served(report):
        for name in (steps.STALLED, *found.NEEDED):
            finding = findings.get(name)
            bad = "True" if name == steps.STALLED else "False"
            if finding is not None and finding.status == bad:
                return found.Finding("False", finding.reason, finding.message)
        return found.Finding("False", "Provisioning", "the tenant is being set up")
    if report.suspended:
        return found.SUSPENDED
    if report.world is None:
        return found.previous(report.before, steps.READY, report.failure)
    return found.ready(report.world, findings)


def _laid_over(failure: Failure) -> dict[str, Finding]:
    error = failure.error
    undecided = failure.condition == steps.SPEC_ACCEPTED and not failure.for_people
    findings = {failure.condition: found.Finding("Unknown" if undecided else "False", error.reason, error.message)}
    # What goes round in circles is tried again, too, but only a person can end it.
    if failure.for_people or failure.condition == steps.STALLED:
        findings[steps.STALLED] = found.Finding("True", error.reason, error.message)
    else:
        findings[steps.STALLED] = found.Finding("False", "Retrying", f"{error.reason}: it is tried again")
    return findings


def _previous(before: Mapping[str, Any]) -> dict[str, Finding]:
    defaults = {steps.SPEC_ACCEPTED: found.Finding("True", "Accepted", ""), steps.STALLED: found.PROGRESSING}
    known = {c["type"]: found.Finding(c["status"], c["reason"], c["message"]) for c in before.get("conditions") or ()}
    return defaults | known


def _conditions(report: Report, findings: Mapping[str, Finding]) -> list[dict[str, Any]]:
    built = []
    for name in found.ORDER:
        finding = findings.get(name)
        if finding is None:
            continue
        built.append(one_condition(report, name, finding))
    return built


def one_condition(report: Report, name: str, finding: Finding) -> dict[str, Any]:
    """Return a condition; its time changes only with its status."""
    before = condition(report.before, name)
    same = before is not None and before["status"] == finding.status
    return {
        "type": name,
        "status": finding.status,
        "observedGeneration": report.identity.generation,
        "lastTransitionTime": before["lastTransitionTime"] if same and before else format_time(report.now),
        "reason": finding.reason,
        "message": finding.message[:2000],
    }


def _retry(retry: Retry | None) -> dict[str, Any] | None:
    return {"attempts": retry.attempts, "nextRetryTime": format_time(retry.next_time)} if retry else None


def _reason_of_hanging(hung: Mapping[str, Any]) -> str:
    for name in (
        steps.SCHEMA_CURRENT,
        steps.DATABASE_READY,
        steps.CREDENTIALS_READY,
        steps.ROUTE_READY,
        steps.SPEC_ACCEPTED,
    ):
        known = condition(hung, name)
        if known is not None and known["status"] == "False" and known["reason"] != ROLLED_BACK:
            return f"{known['reason']}: {known['message']}".rstrip(".")
    return "no cause was reported"


def _set(mapping: dict[str, Any], key: str, value: Any) -> None:
    if value is None:
        mapping.pop(key, None)
    else:
        mapping[key] = value

"""When a provisioning is too late, and when a tenant is worth another look: pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hoa_operator import status, steps
from hoa_operator.tenant import parse_time

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from hoa_operator.status import Report
    from hoa_operator.tenant import Identity


def elapsed(before: Mapping[str, Any], identity: Identity, now: datetime) -> float:
    """Return the seconds provisioning took so far; waiting for a turn of its migration Job is not counted."""
    entries = {entry["step"]: entry for entry in before.get("onboarding") or ()}
    made, run = entries.get(steps.PROVISION_DATABASE, {}), entries.get(steps.RUN_MIGRATIONS, {})
    first = status.started_at(before, identity)
    if "finishedAt" not in made:
        return (now - first).total_seconds()
    running = (now - parse_time(run["startedAt"])).total_seconds() if "startedAt" in run else 0.0
    return (parse_time(made["finishedAt"]) - first).total_seconds() + running


def remaining(report: Report, deadline: float) -> float:
    """Return the seconds that are left of the provisioning's deadline."""
    return deadline - elapsed(report.before, report.identity, report.now)


def is_late(report: Report, deadline: float) -> bool:
    """Tell whether a tenant that was never served passed its deadline, and no person has to act first."""
    if report.world is None or report.world.revision is not None or report.world.row is None:
        unknown = report.world is None and report.failure is not None and not report.failure.for_people
        if not unknown or status.is_onboarded(report.before):
            return False
    if report.failure is not None and report.failure.for_people:
        return False
    return not report.restart and remaining(report, deadline) <= 0


def next_look(report: Report, deadline: float, mail: float | None) -> float | None:
    """Return the seconds until something is due by itself; `mail` is when to look for a welcome mail that waits."""
    world, decided = report.world, report.plan
    if report.identity.deleting:
        return decided.wait if decided is not None else None
    if report.policy != "Managed" or world is None:
        return None
    waits = [decided.wait] if decided is not None and decided.wait is not None else []
    if world.domains.budget.wait is not None:
        waits.append(world.domains.budget.wait)
    if world.revision is not None:
        waits += [mail] if mail is not None else []
    elif decided is None or not decided.queued:
        waits.append(max(0.0, remaining(report, deadline)) + 0.1)
    return min(waits, default=None)

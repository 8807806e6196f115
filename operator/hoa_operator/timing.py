"""When a provisioning is too late, and when a tenant is worth another look: pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hoa_operator.steps import CREATE_TENANT_RECORD, PROVISION_DATABASE, RUN_MIGRATIONS, is_onboarded
from hoa_operator.teardown import holds_data
from hoa_operator.tenant import parse_time

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from hoa_operator.status import Report


#: What goes on one after the other until a tenant can be served; what follows is done beside it, or after.
_TIMED: Final = (CREATE_TENANT_RECORD, PROVISION_DATABASE, RUN_MIGRATIONS)


def elapsed(before: Mapping[str, Any], now: datetime) -> float:
    """Return the seconds that the steps of provisioning took so far: none begins before the operator looks at the tenant, and
    none goes on while it waits for a person, or the migration for its turn."""
    entries = [entry for entry in before.get("onboarding") or () if entry["step"] in _TIMED and "startedAt" in entry]
    return sum((_ended(entry, now) - parse_time(entry["startedAt"])).total_seconds() for entry in entries)


def _ended(entry: Mapping[str, Any], now: datetime) -> datetime:
    return parse_time(entry["finishedAt"]) if "finishedAt" in entry else now


def remaining(report: Report, deadline: float) -> float:
    """Return the seconds that are left of the provisioning's deadline."""
    return deadline - elapsed(report.before, report.now)


def is_late(report: Report, deadline: float) -> bool:
    """Tell whether a tenant that was never served passed its deadline, and no person has to act first. Whatever the registry
    says: a tenant that was in service once has data, and is never undone; so does one whose data was an earlier one's."""
    if report.restart or not _has_deadline(report):
        return False
    if report.failure is not None and report.failure.for_people:
        return False
    begun = report.failure is not None if report.world is None else report.world.row is not None
    return begun and remaining(report, deadline) <= 0


def _has_deadline(report: Report) -> bool:
    row = report.world.row if report.world is not None else None
    return not is_onboarded(report.before) and not holds_data(row, report.identity.uid)


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
    elif _has_deadline(report) and (decided is None or not decided.queued):
        waits.append(max(0.0, remaining(report, deadline)) + 0.1)
    return min(waits, default=None)

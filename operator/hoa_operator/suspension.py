"""Carries out `spec.state: Suspended` before all else and on its own, as a deletion stops serving: what is refused of the
rest of the spec holds up neither the page that says so nor the end of the sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hoa_operator.apply import apply
from hoa_operator.observe import read_record
from hoa_operator.postgres.model import DatabaseIdentity
from hoa_operator.registry import SERVED_STATES
from hoa_operator.removal import subject_of
from hoa_operator.steps import SPEC_ACCEPTED, Suspend
from hoa_operator.target import attributed
from hoa_operator.tenant import parse_identity

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from hoa_operator.apply import Doors
    from hoa_operator.world import Record


def is_wanted(body: Mapping[str, Any]) -> bool:
    """Tell whether the spec says so; nothing else of it needs to be readable."""
    return (body.get("spec") or {}).get("state") == "Suspended"


def decide(record: Record, installation: str, *, again: bool) -> Suspend | None:
    """Return the step for a tenant that is served; one that is suspended needs it only `again`, where a run that was killed or
    refused may have left its logins open."""
    row = record.row
    if row is None or row.state not in SERVED_STATES or (row.state == "Suspended" and not again):
        return None
    server = record.placement.server_name if record.placement else None
    return Suspend(server, DatabaseIdentity(row.tenant_id, row.uid, installation))


async def carry_out(doors: Doors, body: Mapping[str, Any], now: datetime, *, again: bool = False) -> bool:
    """Suspend the tenant if its spec says so and it is served; tell whether it is suspended now. Raises StepFailed."""
    if not is_wanted(body):
        return False
    identity, settings = parse_identity(body), doors.sources.settings
    with attributed(SPEC_ACCEPTED):
        record = await read_record(doors.sources, identity)
    step = decide(record, settings.installation, again=again)
    if step is not None:
        await apply(doors, subject_of(settings, identity, str(step.identity.tenant_id), now), step)
    return record.row is not None and record.row.state in SERVED_STATES

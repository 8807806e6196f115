"""What the registry forgot: a tenant that was in service is never undone and never begun anew beside its data."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from hoa_operator import timing
from hoa_operator.errors import UserError
from hoa_operator.plan import plan
from hoa_operator.status import Report, build
from hoa_operator.steps import AddFinalizer, Register, Tell
from hoa_operator.target import Failure
from hoa_operator.world import Record
from tests.unit.operator.samples import NOW, Json, made, provisioned, served, world

if TYPE_CHECKING:
    from hoa_operator.world import World

MONTH = timedelta(days=30)
DEADLINE = 600.0


def told() -> Json:
    """The status of a tenant that is served."""
    base = served()
    return build(Report(base.target.identity, {}, NOW, world=base, plan=plan(base)))


def forgotten(base: World) -> World:
    """Return the world in which a registry of before the tenant was restored."""
    return replace(base, record=Record(None, None, None), body={**base.body, "status": told()})


def test_a_tenant_that_was_in_service_is_registered_anew_with_its_database() -> None:
    base = served()
    steps = plan(forgotten(replace(base, database=made(base)))).steps
    assert [type(step) for step in steps if not isinstance(step, AddFinalizer)] == [Tell, Register]
    (event,) = [step for step in steps if isinstance(step, Tell)]
    assert (event.kind, event.reason) == ("Warning", "TenantRecordRebuilt")


@pytest.mark.parametrize("there", ["nothing", "another's"])
def test_it_is_not_begun_anew_where_its_database_is_not(there: str) -> None:
    base = served()
    database = made(base)
    other = replace(database.identity, uid=base.target.tenant_id.__class__(int=7)) if database.identity else None
    lost = {"nothing": world().database, "another's": replace(database, identity=other)}[there]
    with pytest.raises(UserError, match="Restore the registry") as caught:
        plan(forgotten(replace(base, database=lost)))
    assert caught.value.reason == "TenantRecordLost"


def test_it_is_never_late() -> None:
    base = provisioned()
    assert base.row is not None
    registered_anew = Report(base.target.identity, told(), NOW + MONTH, world=base, plan=plan(base))
    assert not timing.is_late(registered_anew, DEADLINE)
    never_served = build(Report(base.target.identity, {}, NOW, world=base, plan=plan(base)))
    assert timing.is_late(replace(registered_anew, before=never_served), DEADLINE)


def test_data_that_was_taken_over_has_no_deadline() -> None:
    """Even where the registry does not know of any revision: it was restored from a copy, or made anew."""
    base = provisioned()
    assert base.row is not None
    inherited = replace(base.row, tenant_id=UUID(int=7))
    taken_over = replace(base, record=replace(base.record, row=inherited))
    before = build(Report(base.target.identity, {}, NOW, world=base, plan=plan(base)))
    own = Report(base.target.identity, before, NOW + MONTH, world=base, plan=plan(base))
    assert timing.is_late(own, DEADLINE)
    others = replace(own, world=taken_over)
    assert not timing.is_late(others, DEADLINE)
    assert timing.next_look(own, DEADLINE, None) is not None
    assert timing.next_look(others, DEADLINE, None) is None, "nothing is due"


def test_the_deadline_stands_still_while_a_person_is_waited_for() -> None:
    """Refused for a month, or held by its policy, and then let on: that is no provisioning that took a month."""
    base = provisioned()
    failure = Failure(UserError("HostTaken", "somebody else has the host; choose another"), "SpecAccepted")
    report = Report(base.target.identity, {}, NOW, world=base, plan=plan(base))
    for waits in (
        replace(report, failure=failure),
        replace(report, policy="Paused"),
        replace(report, policy="ObserveOnly"),
    ):
        before = build(waits)
        assert build(replace(waits, before=before, now=NOW + MONTH))["onboarding"] == before["onboarding"]
        on = replace(report, before=before, now=NOW + MONTH)
        assert not timing.is_late(on, DEADLINE)
        later = replace(on, before=build(on), now=NOW + MONTH + timedelta(seconds=DEADLINE + 1))
        assert timing.is_late(later, DEADLINE)

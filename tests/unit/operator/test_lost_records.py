"""What the registry forgot: a tenant that was in service is never undone and never begun anew beside its data."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from hoa_operator import steps, timing
from hoa_operator.errors import UserError
from hoa_operator.plan import plan
from hoa_operator.registry_model import Retirement
from hoa_operator.status import Report, build
from hoa_operator.steps import (
    AddFinalizer,
    DeleteObject,
    Forget,
    RecordPlacement,
    Register,
    RemoveFinalizer,
    Retire,
    Tell,
)
from hoa_operator.target import Failure
from hoa_operator.teardown import Remains, plan_deletion
from hoa_operator.tenant import Disposal, parse_identity
from hoa_operator.unrecorded import remembered
from hoa_operator.world import Record
from tests.faults.words import lacks_words
from tests.unit.operator.samples import NOW, Json, children, made, placement, provisioned, served, tenant_body, world

if TYPE_CHECKING:
    from hoa_operator.postgres.model import ObservedDatabase
    from hoa_operator.world import World

MONTH = timedelta(days=30)
DEADLINE = 600.0


def told() -> Json:
    """The status of a tenant that is served."""
    base = served()
    return build(Report(base.target.identity, {}, NOW, world=base, plan=plan(base)))


def forgotten(base: World) -> World:
    """Return the world in which a registry of before the tenant was restored."""
    record = Record(None, None, None, lost=base.target.tenant_id)
    return replace(base, record=record, body={**base.body, "status": told()})


def test_a_tenant_that_was_in_service_is_registered_anew_with_its_database() -> None:
    base = served()
    decided = plan(forgotten(replace(base, database=made(base)))).steps
    event, register, place = [step for step in decided if not isinstance(step, AddFinalizer)]
    assert isinstance(event, Tell)
    assert (event.kind, event.reason) == ("Warning", "TenantRecordRebuilt")
    assert isinstance(register, Register)
    assert place == RecordPlacement(placement())


def test_the_row_of_a_former_owner_that_is_gone_is_replaced_whatever_its_name() -> None:
    """Another company may have the former owner's name and slug by now: nothing of these is taken."""
    base, former = served(), provisioned().row
    assert former is not None
    former = replace(former, uid=UUID(int=7), name="earlier", slug="earlier")
    lost = forgotten(replace(base, database=made(base)))
    decided = plan(replace(lost, record=replace(lost.record, void_row=former))).steps
    forget, event, register, _ = [step for step in decided if not isinstance(step, AddFinalizer)]
    assert forget == Forget(former.tenant_id)
    assert isinstance(event, Tell)
    assert "as that of hoa-connect/earlier" in event.message
    assert isinstance(register, Register)
    assert (register.row.name, register.row.slug) == ("seabreeze", "seabreeze")


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


def test_its_status_goes_on_telling_where_its_data_is() -> None:
    """Else the next look would place it anew, and a deletion would find nothing to close."""
    base = served()
    lost = forgotten(replace(base, database=world().database))
    before = {**told(), "tenantID": str(UUID(int=7))}
    error = Failure(UserError("TenantRecordLost", "x"), steps.DATABASE_READY)
    lost = replace(lost, body={**lost.body, "status": before})
    after = build(Report(lost.target.identity, before, NOW, world=lost, failure=error))
    for key in ("tenantID", "database", "schemaRevision", "appVersion"):
        assert after[key] == before[key]


# One that goes


DELETED = tenant_body(meta={"deletionTimestamp": "2026-11-23T12:00:00Z"})
WHO = parse_identity(DELETED)


def going(status: Json | None = None, *, observed: ObservedDatabase | None = None, **changes: Any) -> Remains:
    """What is left of a deleted tenant that the registry does not know, its children gone; its status tells that it was in service."""
    found = remembered(WHO, {**DELETED, "status": told() if status is None else status})
    lost = replace(found, database=observed) if found else None
    base = Remains(
        WHO, Record(None, None, None), None, children(), served().settings.installation, NOW, unrecorded=lost
    )
    return replace(base, **changes)


@pytest.mark.parametrize("closed", [False, True])
def test_one_that_goes_is_put_on_record_with_its_database_and_goes_on_from_there(*, closed: bool) -> None:
    observed = replace(made(served()), tombstone=closed)
    event, register, place = plan_deletion(going(observed=observed), Disposal()).steps
    assert isinstance(event, Tell)
    assert (event.kind, event.reason) == ("Warning", "TenantRecordRebuilt")
    assert isinstance(register, Register)
    row = register.row
    assert (row.state, row.slug, row.hosts, row.tier, row.schema_revision) == (
        "Deleting",
        "seabreeze",
        (),
        "small",
        "0002",
    )
    assert (row.tenant_id, row.uid, row.display_name) == (WHO.uid, WHO.uid, "Seabreeze Management")
    assert place == RecordPlacement(placement())
    after = going(record=Record(row, placement(), None), unrecorded=None, database=observed)
    assert isinstance(plan_deletion(after, Disposal()).steps[-1], Retire)


def test_one_that_the_registry_has_as_a_former_owners_is_its_own_again() -> None:
    """Its database says whose it is; else it would stay open, and nobody could ever prove that it may be closed."""
    row, remains = provisioned().row, going(observed=made(served()))
    assert row is not None
    assert remains.unrecorded is not None
    lost = replace(remains.unrecorded, former=replace(row, uid=UUID(int=7), name="earlier"))
    forget, event, register, place = plan_deletion(replace(remains, unrecorded=lost), Disposal()).steps
    assert forget == Forget(WHO.uid)
    assert isinstance(event, Tell)
    assert (event.reason, "earlier (uid 00000000" in event.message) == ("TenantRecordRebuilt", True)
    assert isinstance(register, Register)
    assert (register.row.uid, register.row.name, register.row.state) == (WHO.uid, "seabreeze", "Deleting")
    assert place == RecordPlacement(placement())


def test_its_route_goes_first() -> None:
    decided = plan_deletion(going(observed=made(served()), children=served().children), Disposal()).steps
    assert {type(step) for step in decided} == {DeleteObject}
    assert {step.kind.kind for step in decided if isinstance(step, DeleteObject)} == {"Ingress"}


def test_what_was_put_back_from_before_it_was_taken_over_holds_it_too() -> None:
    """Registry and server agree on somebody who is gone: closing it by that one's window would lose what came since."""
    row, database = provisioned().row, made(served())
    assert row is not None
    assert database.identity is not None
    former = replace(row, uid=UUID(int=7), name="earlier", state="Deleted")
    remains = going(observed=replace(database, identity=replace(database.identity, uid=former.uid)))
    assert remains.unrecorded is not None
    lost = replace(remains.unrecorded, former=former)
    with pytest.raises(UserError, match="as that of hoa-connect/earlier") as caught:
        plan_deletion(replace(remains, unrecorded=lost), Disposal())
    assert (caught.value.reason, lacks_words(caught.value.message)) == ("TenantRecordLost", "")
    unsigned = replace(lost, database=replace(database, identity=None))
    with pytest.raises(UserError, match="who renamed the database or changed its comment"):
        plan_deletion(replace(remains, unrecorded=unsigned), Disposal())


@pytest.mark.parametrize("state", ["Deleted", "Active"])
def test_what_is_left_as_it_is_stays_whatever_window_a_former_owner_gave_it(state: str) -> None:
    row, remains = provisioned().row, going()
    assert row is not None
    assert remains.unrecorded is not None
    former = replace(row, uid=UUID(int=7), state=state)
    left = replace(remains, unrecorded=replace(remains.unrecorded, former=former))
    *kept, event, last = plan_deletion(left, Disposal()).steps
    retired = Retire(Retirement(row.tenant_id, NOW, abandoned=True))
    assert kept == ([retired] if state == "Deleted" else [])
    assert isinstance(event, Tell)
    assert (event.reason, last) == ("DatabaseAbandoned", RemoveFinalizer())


def test_the_status_of_one_that_has_data_goes_on_telling_where_it_is() -> None:
    """Also of one that took it over and is not in service yet, looked at while the registry has no row of it."""
    base = provisioned()
    half_made = build(Report(base.target.identity, {}, NOW, world=base, plan=plan(base)))
    before = {**half_made, "tenantID": str(UUID(int=7))}
    lost = replace(base, record=Record(None, None, None), body={**base.body, "status": before})
    after = build(Report(lost.target.identity, before, NOW, world=lost, policy="ObserveOnly"))
    assert (after["tenantID"], after["database"]) == (before["tenantID"], before["database"])


@pytest.mark.parametrize("there", ["roles only", "another's"])
def test_what_is_not_surely_its_own_holds_it_until_a_person_decides(there: str) -> None:
    database = made(served())
    other = replace(database.identity, uid=UUID(int=7)) if database.identity else None
    observed = {"roles only": replace(database, exists=False), "another's": replace(database, identity=other)}[there]
    with pytest.raises(UserError, match="Restore the registry") as caught:
        plan_deletion(going(observed=observed), Disposal(timedelta(0)))
    assert (caught.value.reason, lacks_words(caught.value.message)) == ("TenantRecordLost", "")
    told_to_go = plan_deletion(going(), Disposal()).steps
    assert [type(step) for step in told_to_go] == [Tell, RemoveFinalizer]
    assert isinstance(told_to_go[0], Tell)
    assert told_to_go[0].reason == "DatabaseAbandoned"


def test_one_of_which_nothing_is_left_goes() -> None:
    """As after its data was dropped, and the operator killed before it took the finalizer off."""
    assert plan_deletion(going(observed=world().database), Disposal(timedelta(0))).steps == (RemoveFinalizer(),)


def test_that_nothing_was_left_to_keep_is_said() -> None:
    event, last = plan_deletion(going(observed=world().database), Disposal()).steps
    assert isinstance(event, Tell)
    assert (event.kind, event.reason, lacks_words(event.message)) == ("Warning", "TenantRecordLost", "")
    assert str(WHO.uid) in event.message
    assert last == RemoveFinalizer()


def test_what_was_dropped_as_it_should_be_is_no_loss() -> None:
    """Its undelete window was over before somebody else's finalizer let it go."""
    remains = going(observed=world().database)
    assert remains.unrecorded is not None
    dropped = replace(remains, unrecorded=replace(remains.unrecorded, dropped=True))
    assert plan_deletion(dropped, Disposal()).steps == (RemoveFinalizer(),)


def test_one_that_took_data_over_has_it_before_it_is_in_service() -> None:
    base = provisioned()
    half_made = build(Report(base.target.identity, {}, NOW, world=base, plan=plan(base)))
    inherited = str(UUID(int=7))
    lost = remembered(WHO, {**DELETED, "status": {**half_made, "tenantID": inherited}})
    assert lost is not None
    assert (lost.served, lost.row.tenant_id, lost.row.schema_revision) == (False, UUID(inherited), None)


def test_one_that_never_was_in_service_goes_simply() -> None:
    base = provisioned()
    half_made = build(Report(base.target.identity, {}, NOW, world=base, plan=plan(base)))
    for status in ({}, half_made):
        assert remembered(WHO, {**DELETED, "status": status}) is None
        assert plan_deletion(going(status), Disposal()).steps == (RemoveFinalizer(),)

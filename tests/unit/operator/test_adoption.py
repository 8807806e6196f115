"""A new HOATenant that takes over retained data."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

import pytest

from hoa_operator.adoption import taken_over
from hoa_operator.conditions import read
from hoa_operator.errors import UserError
from hoa_operator.heritage import kept_behind
from hoa_operator.plan import plan
from hoa_operator.registry_model import Heir, Retained
from hoa_operator.steps import SPEC_ACCEPTED, AddFinalizer, AdoptData, Forget, Register, RestoreDatabase, Tell
from hoa_operator.tenant import parse_identity, parse_spec
from hoa_operator.world import Behind, Record
from tests.unit.operator.samples import (
    NOW,
    OID,
    SYSTEM,
    UID,
    placement,
    row_of,
    served,
    server_body,
    tenant_body,
    world,
)

if TYPE_CHECKING:
    from hoa_operator.registry import Registry
    from hoa_operator.registry_model import Placement, RegistryRow

OLD = UUID(int=5)
KEPT = row_of(world(), tenant_id=OLD, uid=OLD, state="Deleted")
PLACE = replace(placement(), tenant_id=OLD, deleted_at=NOW)


class Rows:
    """A registry that holds this."""

    def __init__(self, *known: Retained) -> None:
        self._known = known

    async def by_tenant_id(self, tenant_id: UUID) -> RegistryRow | None:
        return next((found.row for found in self._known if found.row.tenant_id == tenant_id), None)

    async def placement(self, tenant_id: UUID) -> Placement | None:
        return next((found.placement for found in self._known if found.row.tenant_id == tenant_id), None)

    async def named(self, namespace: str, name: str) -> list[Retained]:
        return [found for found in self._known if (found.row.namespace, found.row.name) == (namespace, name)]

    async def rows(self) -> list[RegistryRow]:
        return [found.row for found in self._known]


def on_record(number: int = 5, *, place: dict[str, Any] | None = None, **row: Any) -> Retained:
    """Return a tenant of the sample's name on record, retained unless `row` says otherwise."""
    tenant_id = UUID(int=number)
    kept = replace(KEPT, **{"tenant_id": tenant_id, "uid": tenant_id, **row})
    return Retained(kept, replace(PLACE, tenant_id=tenant_id, **(place or {})))


async def found(
    *known: Retained, wanted: str | None = None, policy: str = "Never", alive: tuple[UUID, ...] = (), **spec: Any
) -> Record:
    """Return what a new tenant begins with."""
    annotations = {"hoaconnect.com/adopt-tenant-id": wanted} if wanted else {}
    body = tenant_body(meta={"annotations": annotations}, adoptionPolicy=policy, **spec)
    registry = cast("Registry", Rows(*known))
    return await taken_over(registry, parse_identity(body), parse_spec(body), (UUID(UID), *alive))


def refusal(caught: pytest.ExceptionInfo[UserError]) -> str:
    return caught.value.reason


# By its tenant id


async def test_retained_data_is_found_by_its_tenant_id() -> None:
    known = on_record(name="another", display_name="Another")
    assert await found(known, wanted=str(OLD)) == Record(None, known.placement, None, known.row)


@pytest.mark.parametrize(
    ("wanted", "known"),
    [
        ("seabreeze", on_record()),
        (str(UUID(int=6)), on_record()),
        (str(OLD), replace(on_record(), placement=None)),
    ],
)
async def test_what_is_not_retained_is_not_given(wanted: str, known: Retained) -> None:
    with pytest.raises(UserError, match="kubectl describe hoads lists what is") as caught:
        await found(known, wanted=wanted)
    assert refusal(caught) == "NothingToAdopt"


async def test_one_that_went_without_a_teardown_is_taken_over_at_once_by_its_own_name_only() -> None:
    """As after a restore from a copy in which it was still in service."""
    lost = on_record(state="Active")
    assert await found(lost, wanted=str(OLD)) == Record(None, lost.placement, None, lost.row)
    for waits in (on_record(state="Active", name="another"), on_record(state="Active", place={"database_oid": None})):
        with pytest.raises(
            UserError, match="an hour after the operator missed it, and this one then takes it over"
        ) as caught:
            await found(waits, wanted=str(OLD))
        assert refusal(caught) == "TenantRecordLeft"
    with pytest.raises(UserError) as caught:
        await found(lost, wanted=str(OLD), alive=(OLD,))
    assert refusal(caught) == "NothingToAdopt", "it is somebody's"


async def test_what_is_being_dropped_is_not_given() -> None:
    with pytest.raises(UserError, match="its undelete window is over") as caught:
        await found(on_record(place={"drop_after": NOW, "dropping_since": NOW}), wanted=str(OLD))
    assert refusal(caught) == "RetainedDataDropped"


async def test_data_does_not_come_back_while_another_is_in_its_place() -> None:
    other = on_record(9, state="Active", name="other")
    with pytest.raises(UserError, match="while HOATenant hoa-connect/other is in its place; delete that one"):
        await found(on_record(), other, wanted=str(OLD))
    gone = replace(other, row=replace(other.row, state="Deleted"))
    assert (await found(on_record(), gone, wanted=str(OLD))).kept == on_record().row


# By its name


async def test_who_asks_for_nothing_begins_empty_and_hears_what_there_is() -> None:
    assert await found() == Record(None, None, None)
    first, second = on_record(5), on_record(6, place={"deleted_at": NOW + timedelta(hours=1)})
    assert await found(first, second) == Record(None, None, None, others=(second, first))


async def test_the_latest_of_its_name_is_taken_over() -> None:
    first, second = on_record(5), on_record(6, place={"deleted_at": NOW + timedelta(hours=1)})
    known = await found(first, second, policy="IfUnclaimed")
    assert known == Record(None, second.placement, None, second.row, others=(first,))


@pytest.mark.parametrize(
    "unfit",
    [
        on_record(place={"abandoned": True}),
        on_record(place={"abandoned": True, "dropping_since": NOW}),
        on_record(name="another"),
        on_record(namespace="another"),
        replace(on_record(), placement=None),
    ],
)
async def test_what_cannot_be_had_is_no_ones(unfit: Retained) -> None:
    assert await found(unfit, policy="IfUnclaimed") == Record(None, None, None)


async def test_data_of_another_slug_is_told_of_and_not_taken_over() -> None:
    other = on_record(slug="another", place={"deleted_at": NOW + timedelta(hours=1)})
    assert await found(other, policy="IfUnclaimed") == Record(None, None, None, others=(other,))
    fitting = on_record(6)
    known = await found(other, fitting, policy="IfUnclaimed")
    assert known == Record(None, fitting.placement, None, fitting.row, others=(other,))


async def test_the_data_of_a_company_of_another_name_is_not_handed_over() -> None:
    with pytest.raises(UserError, match=f"adopt-tenant-id={OLD}; if not, set spec.adoptionPolicy to Never") as caught:
        await found(on_record(), policy="IfUnclaimed", displayName="Seabreeze Holdings")
    assert refusal(caught) == "RetainedDataDiffers"
    assert (await found(on_record(), policy="IfUnclaimed", displayName="SEABREEZE management")).kept is not None


async def test_one_of_two_that_want_the_same_waits() -> None:
    rival = UUID(int=77)
    claimed = on_record(place={"claimants": (rival,)})
    with pytest.raises(UserError, match=f"taken over by another HOATenant \\(uid {rival}\\)") as caught:
        await found(claimed, policy="IfUnclaimed", alive=(rival,))
    assert refusal(caught) == "RetainedDataClaimed"


async def test_the_claim_of_a_tenant_that_is_gone_or_has_its_own_data_is_void() -> None:
    gone, settled = UUID(int=77), on_record(78, name="settled", slug="settled", state="Active")
    claimed = on_record(place={"claimants": (gone, settled.row.uid, UUID(UID))})
    known = await found(claimed, settled, policy="IfUnclaimed", alive=(settled.row.uid,))
    assert (known.kept, known.void) == (claimed.row, (gone, settled.row.uid))


# Of a HOATenant that went without a teardown


async def test_the_data_of_a_tenant_that_was_lost_is_taken_over_at_once() -> None:
    lost = on_record(state="Active")
    assert await found(lost, policy="IfUnclaimed") == Record(None, lost.placement, None, lost.row)


@pytest.mark.parametrize(
    ("policy", "lost", "todo"),
    [
        ("Never", on_record(state="Active"), "Set spec.adoptionPolicy to IfUnclaimed to go on with its data"),
        ("IfUnclaimed", on_record(state="Active", place={"database_oid": None}), "Its database was not finished"),
        (
            "IfUnclaimed",
            on_record(state="Deleting", slug="another"),
            "It has the slug 'another': to go on with its data",
        ),
    ],
)
async def test_a_record_that_is_left_is_explained(policy: str, lost: Retained, todo: str) -> None:
    with pytest.raises(UserError) as caught:
        await found(lost, policy=policy)
    assert refusal(caught) == "TenantRecordLeft"
    assert todo in caught.value.message
    assert "while most tenants of the registry have lost their HOATenants, nothing is retained" in caught.value.message


async def test_a_record_without_data_is_nobodys() -> None:
    left = replace(on_record(state="Provisioning"), placement=None)
    assert await found(left) == Record(None, None, None, void_row=left.row)


# What follows


def test_what_there_is_is_told_before_anything_is_made() -> None:
    body = tenant_body(finalizer=False)
    known = on_record(place={"drop_after": NOW + timedelta(days=1)})
    steps = plan(world(body, record=Record(None, None, None, others=(known,)))).steps
    assert [type(step) for step in steps] == [AddFinalizer, Tell, Register]
    told = steps[1]
    assert isinstance(told, Tell)
    assert (told.kind, told.reason) == ("Warning", "RetainedDataFound")
    assert f"tenant {OLD} on default, closed 2026-11-23T12:00:00Z, dropped after 2026-11-24T12:00:00Z" in told.message
    assert f"hoaconnect.com/adopt-tenant-id={OLD}" in told.message


@pytest.mark.parametrize("policy", ["Never", "IfUnclaimed"])
async def test_data_whose_drop_has_begun_is_named(policy: str) -> None:
    lost = on_record(place={"drop_after": NOW, "dropping_since": NOW})
    record = await found(lost, policy=policy)
    assert record == Record(None, None, None, dropping=(lost,))
    told, _ = plan(world(record=record)).steps
    assert isinstance(told, Tell)
    assert (told.kind, told.reason) == ("Warning", "RetainedDataFound")
    assert told.message == (
        f"this tenant begins with an empty database: the data of tenant {OLD} is being dropped since 2026-11-23T12:00:00Z and "
        "cannot come back"
    )


async def test_data_whose_drop_has_begun_is_named_beside_what_is_kept() -> None:
    lost, kept = on_record(6, place={"drop_after": NOW, "dropping_since": NOW}), on_record()
    record = await found(lost, kept)
    assert (record.others, record.dropping) == ((kept,), (lost,))
    told, _ = plan(world(record=record)).steps
    assert isinstance(told, Tell)
    assert f"adopt-tenant-id={OLD}" in told.message
    assert f"tenant {UUID(int=6)} is being dropped since" in told.message


def test_a_record_without_data_is_forgotten_first() -> None:
    steps = plan(world(record=Record(None, None, None, void_row=KEPT))).steps
    assert [type(step) for step in steps] == [Forget, Register]


def test_what_is_kept_behind_is_said_as_long_as_it_is() -> None:
    entry = {"tenant": "seabreeze", "tenantID": str(OLD), "retainedAt": "2026-11-23T12:00:00Z"}
    older = {**entry, "retainedAt": "2026-11-20T12:00:00Z", "dropAfter": "2026-11-27T12:00:00Z"}
    server = {**server_body(), "status": {"retainedDatabases": [older, entry, {**entry, "tenant": "other"}]}}
    identity = parse_identity(tenant_body())
    words = kept_behind(identity, identity.uid, [server, server_body("empty")])
    assert words == (
        Behind(f"tenant {OLD} on default, closed 2026-11-23T12:00:00Z"),
        Behind(f"tenant {OLD} on default, closed 2026-11-20T12:00:00Z, dropped after 2026-11-27T12:00:00Z"),
    )
    base = served(kept_behind=words)
    message = read(base, plan(base))[SPEC_ACCEPTED].message
    assert f"data of an earlier seabreeze is kept ({words[0].words} and 1 more)" in message
    assert read(served(), plan(served()))[SPEC_ACCEPTED].message == "tier small, server default"


def test_what_was_taken_over_is_not_kept_behind_whatever_a_list_still_says() -> None:
    """A tenant that runs on its data must not be told that this data is dropped on a day."""
    entry = {"tenant": "seabreeze", "tenantID": str(OLD), "retainedAt": "2026-11-23T12:00:00Z"}
    server = {**server_body(), "status": {"retainedDatabases": [entry]}}
    assert kept_behind(parse_identity(tenant_body()), OLD, [server]) == ()


def accepted(*entries: dict[str, str]) -> str:
    """Return what SpecAccepted says where the server lists these."""
    server = {**server_body(), "status": {"retainedDatabases": list(entries)}}
    identity = parse_identity(tenant_body())
    base = served(kept_behind=kept_behind(identity, identity.uid, [server]))
    return read(base, plan(base))[SPEC_ACCEPTED].message


DUE = {
    "tenant": "seabreeze",
    "tenantID": str(OLD),
    "retainedAt": "2026-11-20T12:00:00Z",
    "dropAfter": "2026-11-27T12:00:00Z",
    "problem": "DatabaseBusy: a session is inside",
}


def test_data_whose_drop_is_due_and_held_up_can_still_come_back_and_says_so() -> None:
    assert accepted(DUE) == (
        f"tier small, server default; data of an earlier seabreeze is kept (tenant {OLD} on default, closed "
        "2026-11-20T12:00:00Z, to be dropped since 2026-11-27T12:00:00Z; status.retainedDatabases of HOADatabaseServer default "
        "says what holds that up): docs/operations/retained-databases.md says how to take it over"
    )


def test_data_whose_drop_has_begun_and_is_held_up_is_not_called_kept() -> None:
    begun = {**DUE, "droppingSince": "2026-11-27T12:00:05Z"}
    assert accepted(begun) == (
        f"tier small, server default; data of an earlier seabreeze cannot come back (tenant {OLD} on default is being dropped "
        "since 2026-11-27T12:00:05Z; status.retainedDatabases of HOADatabaseServer default says what holds that up)"
    )
    both = accepted(begun, {**DUE, "tenantID": "another"})
    assert "is kept (tenant another on default" in both
    assert f"cannot come back (tenant {OLD} on default" in both


def test_the_owner_changes_with_proof_of_the_owner_before() -> None:
    base = served()
    kept = replace(row_of(world()), uid=OLD, state="Deleted")
    place = replace(placement(), claimants=(UUID(int=7),), drop_after=NOW)
    base = replace(base, record=Record(None, place, None, kept, (UUID(int=7),)))
    told, step = plan(base).steps
    assert isinstance(step, AdoptData)
    assert (step.proof.uid, step.proof.database_oid, step.proof.system_identifier) == (OLD, OID, SYSTEM)
    assert step.proof.claimants == (UUID(int=7), UUID(UID))
    assert (step.identity.tenant_id, step.identity.uid) == (UUID(UID), UUID(UID))
    assert (step.heir, step.void) == (Heir(UUID(UID), "hoa-connect", "seabreeze", OLD), (UUID(int=7),))
    assert isinstance(told, Tell)
    assert (told.reason, "whose drop is cancelled" in told.message) == ("DataTakenOver", True)


def test_other_data_than_was_retained_is_not_taken_over() -> None:
    base = served()
    kept = replace(row_of(world()), uid=OLD, state="Deleted")
    record = Record(None, placement(), None, kept)
    with pytest.raises(UserError) as caught:
        plan(replace(base, record=record, database=replace(base.database, oid=7)))
    assert caught.value.reason == "DatabaseLost"


def test_the_database_gets_its_name_back_before_anything_else_is_done_to_it() -> None:
    base = served()
    database = replace(base.database, tombstone=True, allow_connections=False)
    restore, told = plan(replace(base, database=database)).steps
    assert isinstance(restore, RestoreDatabase)
    assert restore.proof.uid == UUID(UID)
    assert isinstance(told, Tell)
    assert told.reason == "DatabaseRestored"

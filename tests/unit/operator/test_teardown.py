"""Going away: the order of it, and that doubt keeps everything."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from hoa_operator.errors import WorldError
from hoa_operator.kinds import SECRET, Object
from hoa_operator.postgres.model import DatabaseIdentity, ObservedDatabase
from hoa_operator.registry_model import Retirement
from hoa_operator.steps import (
    ClaimDatabase,
    DeleteObject,
    DropDatabase,
    Forget,
    RecordPlacement,
    RemoveFinalizer,
    Retire,
    StopServing,
    Tell,
    Tombstone,
)
from hoa_operator.teardown import Remains, plan_deletion, plan_rollback
from hoa_operator.tenant import Disposal, parse_identity
from hoa_operator.world import Record
from tests.faults.words import lacks_words
from tests.unit.operator.samples import NOW, OID, SYSTEM, UID, children, nothing_yet, placement, served, tenant_body

RETAIN, AT_ONCE = Disposal(), Disposal(timedelta(0))
BODY = tenant_body(meta={"deletionTimestamp": "2026-11-23T12:00:00Z"})


def remains(**changes: Any) -> Remains:
    base = served()
    whole = Remains(
        identity=parse_identity(BODY),
        record=Record(replace(base.record.row, state="Deleting"), placement(), None),  # type: ignore[type-var]
        database=base.database,
        children=base.children,
        installation=base.settings.installation,
        now=NOW,
    )
    return replace(whole, **changes)


def without_children(**changes: Any) -> Remains:
    kept = list(remains().children.by_kind[SECRET])
    return remains(children=children(*kept), **changes)


def names(steps: tuple[object, ...]) -> list[str]:
    return [type(step).__name__ for step in steps if not isinstance(step, Tell)]


def told(steps: tuple[object, ...]) -> list[tuple[str, str]]:
    return [(step.reason, step.message) for step in steps if isinstance(step, Tell)]


def test_serving_stops_before_anything_is_removed() -> None:
    row = replace(served().record.row, state="Active")  # type: ignore[type-var]
    steps = plan_deletion(remains(record=Record(row, placement(), None)), AT_ONCE).steps
    assert steps == (StopServing(UUID(UID)),)


def test_children_go_then_the_data_and_secrets_stay_for_last() -> None:
    steps = plan_deletion(remains(), AT_ONCE).steps
    assert names(steps) == ["DeleteObject", "DropDatabase", "Forget"]
    assert [step.kind.kind for step in steps if isinstance(step, DeleteObject)] == ["Ingress"]


def test_delete_drops_with_proof() -> None:
    steps = plan_deletion(without_children(), AT_ONCE).steps
    assert names(steps) == ["DropDatabase", "Forget"]
    assert isinstance(steps[0], DropDatabase)
    proof = steps[0].proof
    assert (proof.tenant_id, proof.uid, proof.database_oid, proof.system_identifier) == (
        UUID(UID),
        UUID(UID),
        OID,
        SYSTEM,
    )


def test_retain_closes_and_retires() -> None:
    assert names(plan_deletion(without_children(), RETAIN).steps) == ["Tombstone", "Retire"]


def test_delete_keeps_the_data_for_its_window_and_says_for_how_long() -> None:
    steps = plan_deletion(without_children(), Disposal(timedelta(hours=168))).steps
    assert [type(step) for step in steps] == [Tombstone, Tell, Retire]
    assert steps[-1] == Retire(Retirement(UUID(UID), NOW, timedelta(hours=168)))
    ((reason, message),) = told(steps)
    assert reason == "DatabaseRetained"
    assert "it is dropped in 168 hours unless the tenant is applied again with adoptionPolicy IfUnclaimed" in message
    assert plan_deletion(without_children(), RETAIN).steps[-1] == Retire(Retirement(UUID(UID), NOW, None))


def test_what_became_of_the_database_is_told_before_the_record_of_it_goes() -> None:
    kept, dropped = (plan_deletion(without_children(), policy).steps for policy in (RETAIN, AT_ONCE))
    assert [type(step).__name__ for step in kept] == ["Tombstone", "Tell", "Retire"]
    assert [type(step).__name__ for step in dropped] == ["DropDatabase", "Tell", "Forget"]
    ((reason, message),) = told(kept)
    assert (reason, "it stays until a person acts" in message) == ("DatabaseRetained", True)
    assert f"database hoa_connect_deleted_{UUID(UID).hex} on HOADatabaseServer default" in message
    assert "docs/operations/retained-databases.md" in message
    ((reason, message),) = told(dropped)
    assert (reason, f"hoa_connect_tenant_{UUID(UID).hex} on HOADatabaseServer default" in message) == (
        "DatabaseDropped",
        True,
    )


def abandoning(server: str, **changes: Any) -> Remains:
    meta = {"deletionTimestamp": "2026-11-23T12:00:00Z", "annotations": {"hoaconnect.com/abandon-database-on": server}}
    return without_children(identity=parse_identity(tenant_body(meta=meta)), database=None, **changes)


@pytest.mark.parametrize("policy", [AT_ONCE, RETAIN, Disposal(timedelta(hours=1))])
def test_a_server_that_is_gone_for_good_is_left_out_at_a_persons_word(policy: Disposal) -> None:
    steps = plan_deletion(abandoning("default"), policy).steps
    assert steps[-1] == Retire(Retirement(UUID(UID), NOW, abandoned=True))
    assert names(steps) == ["Retire"]
    assert told(steps)[0][0] == "DatabaseAbandoned"


def test_the_word_for_another_server_changes_nothing() -> None:
    with pytest.raises(WorldError, match="cannot be asked"):
        plan_deletion(abandoning("other"), AT_ONCE)


def test_a_rollback_knows_no_abandoning() -> None:
    row = replace(remains().record.row, schema_revision=None)  # type: ignore[type-var]
    living = parse_identity(tenant_body(meta={"annotations": {"hoaconnect.com/abandon-database-on": "default"}}))
    with pytest.raises(WorldError, match="cannot be asked"):
        plan_rollback(without_children(identity=living, database=None, record=Record(row, placement(), None)))


def test_a_tombstone_is_not_made_twice() -> None:
    database = replace(served().database, tombstone=True, allow_connections=False)
    assert names(plan_deletion(without_children(database=database), RETAIN).steps) == ["Retire"]


def test_secrets_go_when_the_data_is_settled_and_the_finalizer_last() -> None:
    gone = without_children(record=Record(None, None, None), database=None)
    assert names(plan_deletion(gone, AT_ONCE).steps) == ["DeleteObject", "DeleteObject"]
    empty = remains(record=Record(None, None, None), database=None, children=children())
    assert plan_deletion(empty, AT_ONCE).steps == (RemoveFinalizer(),)


def test_a_retired_row_needs_no_server() -> None:
    row = replace(served().record.row, state="Deleted")  # type: ignore[type-var]
    done = remains(record=Record(row, placement(), None), database=None, children=children())
    assert plan_deletion(done, RETAIN).steps == (RemoveFinalizer(),)


def test_a_server_that_cannot_be_asked_stops_everything() -> None:
    with pytest.raises(WorldError) as caught:
        plan_deletion(without_children(database=None), AT_ONCE)
    assert caught.value.reason == "ServerUnknown"


def test_a_row_without_a_placement_has_no_data() -> None:
    row = remains().record.row
    bare = without_children(record=Record(row, None, None), database=None)
    assert plan_deletion(bare, AT_ONCE).steps == (Forget(UUID(UID)),)


def test_an_oid_that_was_never_recorded_is_recorded_when_the_comment_proves_it() -> None:
    row = remains().record.row
    steps = plan_deletion(without_children(record=Record(row, placement(None), None)), AT_ONCE).steps
    assert names(steps) == ["RecordPlacement"]
    assert isinstance(steps[0], RecordPlacement)
    assert steps[0].placement.database_oid == OID


def never_opened(**changes: Any) -> ObservedDatabase:
    """Return a database as a kill between making and commenting it leaves it."""
    return replace(served().database, **{"identity": None, "allow_connections": False, **changes})


@pytest.mark.parametrize("policy", [AT_ONCE, RETAIN, None])
def test_a_database_made_just_before_a_kill_is_commented_first(policy: Disposal | None) -> None:
    row = replace(remains().record.row, schema_revision=None)  # type: ignore[type-var]
    left = without_children(record=Record(row, placement(None), None), database=never_opened())
    steps = (plan_rollback(left) if policy is None else plan_deletion(left, policy)).steps
    assert names(steps) == ["ClaimDatabase"]
    assert isinstance(steps[0], ClaimDatabase)
    assert steps[0].identity == served().database.identity
    assert steps[0].proof.database_oid is None


@pytest.mark.parametrize(
    "doubt",
    [
        {"allow_connections": True},
        {"tombstone": True},
        {"owner": "postgres"},
        {"roles": {}},
        {"system_identifier": "another"},
    ],
)
def test_a_database_without_comment_is_claimed_only_if_nobody_else_can_have_made_it(doubt: dict[str, Any]) -> None:
    row = remains().record.row
    left = without_children(record=Record(row, placement(None), None), database=never_opened(**doubt))
    assert names(plan_deletion(left, AT_ONCE).steps) == ["DropDatabase", "Forget"]


def test_a_database_that_lost_its_comment_is_not_claimed() -> None:
    left = without_children(database=never_opened())
    assert names(plan_deletion(left, AT_ONCE).steps) == ["DropDatabase", "Forget"]


@pytest.mark.parametrize(
    "doubt",
    [
        {"identity": None},
        {"identity": DatabaseIdentity(UUID(UID), UUID(UID), "another/installation")},
        {"identity": DatabaseIdentity(UUID(UID), UUID(int=1), "hoa-connect/hoa-connect")},
        {"system_identifier": "another"},
    ],
)
def test_without_proof_no_oid_is_recorded(doubt: dict[str, Any]) -> None:
    row = remains().record.row
    database = replace(served().database, **doubt)
    steps = plan_deletion(without_children(record=Record(row, placement(None), None), database=database), AT_ONCE).steps
    assert isinstance(steps[0], DropDatabase)
    assert steps[0].proof.database_oid is None


def test_what_is_gone_already_is_only_forgotten() -> None:
    assert names(plan_deletion(without_children(database=nothing_yet()), AT_ONCE).steps) == ["Forget"]
    assert names(plan_deletion(without_children(database=nothing_yet()), RETAIN).steps) == ["Forget"]


@pytest.mark.parametrize(
    ("policy", "oid", "there", "files_go"),
    [
        (AT_ONCE, OID, True, True),
        (AT_ONCE, OID, False, True),
        (AT_ONCE, None, False, False),
        (RETAIN, OID, False, False),
        (Disposal(timedelta(hours=1)), OID, False, False),
    ],
    ids=["dropped", "dropped by a run that was killed", "never made", "to be kept", "to be kept for a while"],
)
def test_files_go_only_after_a_database_that_was_to_be_dropped_and_is(
    policy: Disposal, oid: int | None, there: bool, files_go: bool
) -> None:
    database = remains().database if there else nothing_yet()
    record = Record(remains().record.row, placement(oid), None)
    steps = plan_deletion(without_children(record=record, database=database), policy).steps
    assert steps[-1] == Forget(UUID(UID), dropped=files_go)


def test_what_may_still_be_in_the_making_is_dropped_under_its_lock() -> None:
    record = Record(remains().record.row, placement(None), None)
    steps = plan_deletion(without_children(record=record, database=nothing_yet()), RETAIN).steps
    assert names(steps) == ["DropDatabase", "Forget"]


def test_roles_without_a_database_are_dropped() -> None:
    roles = ObservedDatabase(exists=False, system_identifier=SYSTEM, roles=served().database.roles)
    assert names(plan_deletion(without_children(database=roles), AT_ONCE).steps) == ["DropDatabase", "Forget"]


@pytest.mark.parametrize("policy", [RETAIN, Disposal(timedelta(hours=1))])
def test_a_database_that_is_to_be_kept_and_is_not_found_is_waited_for(policy: Disposal) -> None:
    renamed = ObservedDatabase(exists=False, system_identifier=SYSTEM, roles=served().database.roles)
    with pytest.raises(WorldError, match=f"oid {OID}") as caught:
        plan_deletion(without_children(database=renamed), policy)
    assert (caught.value.reason, lacks_words(caught.value.message)) == ("DatabaseLost", "")


def test_another_server_that_has_nothing_of_it_is_no_proof_that_it_is_gone() -> None:
    elsewhere = replace(nothing_yet(), system_identifier="another")
    assert names(plan_deletion(without_children(database=elsewhere), AT_ONCE).steps) == ["DropDatabase", "Forget"]
    with pytest.raises(WorldError, match="is to be kept"):
        plan_deletion(without_children(database=elsewhere), RETAIN)


def test_a_rollback_never_touches_a_database_that_was_in_use() -> None:
    with pytest.raises(WorldError) as caught:
        plan_rollback(remains())
    assert caught.value.reason == "RollbackRefused"


def test_a_rollback_never_touches_what_an_earlier_tenant_made() -> None:
    row = replace(remains().record.row, schema_revision=None, tenant_id=UUID(int=7))  # type: ignore[type-var]
    with pytest.raises(WorldError) as caught:
        plan_rollback(remains(record=Record(row, placement(), None)))
    assert caught.value.reason == "RollbackRefused"


def test_a_rollback_removes_everything_and_keeps_the_finalizer() -> None:
    row = replace(remains().record.row, schema_revision=None)  # type: ignore[type-var]
    steps = plan_rollback(without_children(record=Record(row, placement(), None))).steps
    assert names(steps) == ["DropDatabase", "Forget"]
    empty = remains(record=Record(None, None, None), database=None, children=children())
    assert plan_rollback(empty).steps == ()


def test_who_is_rolled_back_is_not_on_record_as_dropped() -> None:
    """It is tried again under the same tenant id, and its files of then must not go."""
    row = replace(remains().record.row, schema_revision=None)  # type: ignore[type-var]
    record = Record(row, placement(), None)
    undone = plan_rollback(without_children(record=record, identity=parse_identity(tenant_body())))
    assert undone.steps[-1] == Forget(UUID(UID))
    deleted = plan_deletion(without_children(record=record), AT_ONCE)
    assert deleted.steps[-1] == Forget(UUID(UID), dropped=True)


def test_what_others_own_stays() -> None:
    foreign: Object = {
        "kind": "Secret",
        "metadata": {"name": "x", "uid": "x", "resourceVersion": "1", "ownerReferences": [{"uid": "another"}]},
    }
    alone = remains(record=Record(None, None, None), database=None, children=children(foreign))
    assert plan_deletion(alone, AT_ONCE).steps == (RemoveFinalizer(),)

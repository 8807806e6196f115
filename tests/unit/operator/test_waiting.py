"""What a deletion waits for: decided on what is left, said in a condition, with a command a person can run."""

from __future__ import annotations

import shlex
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from hoa_operator import events, status, steps
from hoa_operator.errors import UserError, WorldError
from hoa_operator.kinds import INGRESS, name_of
from hoa_operator.status import Report
from hoa_operator.steps import DeleteObject, Plan, RemoveFinalizer, Tombstone
from hoa_operator.target import Failure
from hoa_operator.teardown import plan_deletion, plan_rollback
from hoa_operator.tenant import Disposal, parse_identity
from hoa_operator.timing import next_look
from hoa_operator.world import Record
from tests.unit.operator.samples import NOW, children, placement, served, tenant_body
from tests.unit.operator.test_teardown import BODY, names, remains, without_children

if TYPE_CHECKING:
    from hoa_operator.teardown import Remains

RETAIN = Disposal()


def busy(**changes: Any) -> Remains:
    return without_children(database=replace(served().database, sessions=2), **changes)


def lingering(holders: list[str]) -> Remains:
    """Return a tenant of which only an Ingress is left that somebody else holds."""
    base = remains()
    ingress = base.children.by_kind[INGRESS][0]
    meta = {**ingress["metadata"], "deletionTimestamp": "2026-11-23T12:00:00Z", "finalizers": holders}
    kept = children({**ingress, "metadata": meta})
    return replace(base, record=Record(None, None, None), database=None, children=kept)


def said(body: dict[str, Any] = BODY, **changes: Any) -> dict[str, Any]:
    """Return the condition Deleting of a report."""
    report = Report(parse_identity(body), changes.pop("before", {}), NOW, **changes)
    built = status.build(report)
    assert built["phase"] == "Deleting"
    found = status.condition(built, "Deleting")
    assert found is not None
    return dict(found)


# Sessions


@pytest.mark.parametrize("disposal", [RETAIN, Disposal(timedelta(0)), Disposal(timedelta(hours=1))])
def test_sessions_may_finish_before_the_data_is_touched(disposal: Disposal) -> None:
    decided = plan_deletion(busy(), disposal)
    assert (decided.steps, decided.wait) == ((), 0.5)
    assert decided.waits_for is not None
    assert decided.waits_for[0] == "Draining"
    assert "2 sessions in its database may finish" in decided.waits_for[1]


def test_they_do_not_keep_the_route_open() -> None:
    with_route = replace(remains(), database=replace(served().database, sessions=1))
    decided = plan_deletion(with_route, RETAIN)
    assert [type(step) for step in decided.steps] == [DeleteObject]
    assert decided.waits_for is not None


def test_their_time_comes_to_an_end() -> None:
    decided = plan_deletion(busy(drained=True), RETAIN)
    assert isinstance(decided.steps[0], Tombstone)
    assert decided.waits_for is None


def test_nobody_waits_for_sessions_in_what_is_closed_or_was_never_served() -> None:
    closed = without_children(database=replace(served().database, sessions=2, tombstone=True))
    assert names(plan_deletion(closed, RETAIN).steps) == ["Tombstone", "Retire"]
    row = replace(busy().record.row, schema_revision=None)  # type: ignore[type-var]
    assert names(plan_rollback(busy(record=Record(row, placement(), None))).steps) == ["DropDatabase", "Forget"]


# Children


def test_a_child_that_another_controller_holds_is_named() -> None:
    decided = plan_deletion(lingering(["ingress.example/cleanup"]), RETAIN)
    assert decided.steps == ()
    assert decided.waits_for is not None
    reason, message = decided.waits_for
    assert reason == "ChildrenRemaining"
    assert "Ingress tenant-seabreeze is deleted, but held by ingress.example/cleanup" in message
    command = shlex.split(message[message.index("kubectl") :])
    assert command[:6] == ["kubectl", "-n", "hoa-connect", "patch", "ingresses", "tenant-seabreeze"]
    assert command[-1] == '{"metadata":{"finalizers":null}}'


def test_a_child_that_only_takes_its_time_is_named_too() -> None:
    assert plan_deletion(lingering([]), RETAIN).waits_for == (
        "ChildrenRemaining",
        "Ingress tenant-seabreeze is being deleted",
    )


def test_what_goes_already_is_not_deleted_again_and_then_the_finalizer_goes() -> None:
    left = lingering(["ingress.example/cleanup"])
    assert name_of(left.children.by_kind[INGRESS][0]) == "tenant-seabreeze"
    assert plan_deletion(replace(left, children=children()), RETAIN).steps == (RemoveFinalizer(),)


# The condition


def test_a_deletion_that_is_at_work_says_so() -> None:
    found = said()
    assert (found["status"], found["reason"]) == ("True", "InProgress")


def test_what_is_waited_for_is_said() -> None:
    found = said(plan=Plan(waits_for=("Draining", "two sessions"), wait=0.5))
    assert (found["reason"], found["message"]) == ("Draining", "two sessions")
    report = Report(parse_identity(BODY), {}, NOW, plan=Plan(wait=0.5))
    assert next_look(report, 600, None) == 0.5
    assert next_look(replace(report, plan=None), 600, None) is None


BEFORE = {"database": {"server": "default", "name": "hoa_connect_tenant_x"}}


@pytest.mark.parametrize(
    "error",
    [
        WorldError("ServerUnreachable", "Postgres at postgres:5432: no route to host"),
        WorldError("DatabaseServerMissing", "HOADatabaseServer 'default' does not exist"),
        UserError("OwnershipNotProven", "database x: its comment does not carry this tenant's identity."),
    ],
)
def test_a_failure_is_said_with_a_way_out(error: Any) -> None:
    leads_out(error, steps.DATABASE_READY)


def test_a_record_that_cannot_be_made_anew_is_said_with_a_way_out() -> None:
    leads_out(UserError("SlugTaken", "slug 'seabreeze' belongs to another HOATenant"), steps.SPEC_ACCEPTED)


def leads_out(error: Any, where: str) -> None:
    """Check that a deletion that fails so says how to end it."""
    found = said(before=BEFORE, failure=Failure(error, where))
    assert found["reason"] == error.reason
    assert found["message"].startswith(error.message.rstrip("."))
    assert "docs/operations/deletion.md" in found["message"]
    command = found["message"][found["message"].index("kubectl") :]
    assert shlex.split(command) == [
        "kubectl", "-n", "hoa-connect", "annotate", "hoat", "seabreeze", "hoaconnect.com/abandon-database-on=default"
    ]  # fmt: skip


def test_no_database_is_given_up_for_what_has_nothing_to_do_with_it() -> None:
    failure = Failure(WorldError("Forbidden", "get Namespace"), steps.READY)
    assert "abandon" not in said(before=BEFORE, failure=failure)["message"]
    failure = Failure(WorldError("ServerUnreachable", "x"), steps.DATABASE_READY)
    assert "abandon" not in said(failure=failure)["message"], "it has no database"


@pytest.mark.parametrize(
    ("policy", "change"),
    [
        ("Paused", '{"spec":{"managementPolicy":"Managed"}}'),
        ("ObserveOnly", '{"spec":{"managementPolicy":"Managed"}}'),
        ("Protected", '{"spec":{"deletionProtection":"Disabled"}}'),
    ],
)
def test_a_tenant_its_own_spec_holds_back_says_how_to_let_it_go(policy: str, change: str) -> None:
    held = status.held_back(Report(parse_identity(BODY), {"phase": "Ready"}, NOW, policy=policy))
    assert held["phase"] == "Paused"
    for name in ("Ready", "Deleting"):
        found = status.condition(held, name)
        assert found is not None
        assert found["reason"] == "DeletionPaused"
        assert shlex.split(found["message"])[-1] == change


@pytest.mark.parametrize("policy", ["Paused", "Protected"])
def test_one_that_is_half_gone_already_does_not_say_that_it_is_whole(policy: str) -> None:
    held = status.held_back(Report(parse_identity(BODY), {"phase": "Deleting"}, NOW, policy=policy, begun=True))
    assert held["phase"] == "Deleting", "whoever is alerted of a deletion that does not go goes on being alerted"
    found = status.condition(held, "Deleting")
    assert found is not None
    assert "nothing of it is removed" not in found["message"]
    assert "it is not served any more: its route is blocked" in found["message"]
    assert shlex.split(found["message"])[-2] == "-p"


def test_an_object_that_others_hold_says_that_nothing_else_is_left() -> None:
    report = Report(parse_identity(BODY), {"conditions": []}, NOW)
    left = status.left_to_others(report, ["backup.example/keep"])
    found = status.condition(left, "Deleting")
    assert found is not None
    assert (found["reason"], "held by backup.example/keep" in found["message"]) == ("OtherFinalizers", True)
    told = events.transitions({}, left)
    assert [(event.kind, event.reason) for event in told] == [("Warning", "OtherFinalizers")]
    assert events.transitions(left, left) == ()


def test_a_tenant_that_lives_says_nothing_of_deletion() -> None:
    built = status.build(Report(parse_identity(tenant_body()), {}, NOW))
    assert status.condition(built, "Deleting") is None

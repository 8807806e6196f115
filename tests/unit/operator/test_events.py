"""Events: what a person is told, when it turns, and no oftener."""

from __future__ import annotations

from datetime import timedelta

import pytest

from hoa_operator import events, status, steps
from hoa_operator.errors import UserError
from hoa_operator.publish import difference
from hoa_operator.status import Report, build
from hoa_operator.target import Failure
from hoa_operator.tenant import parse_identity
from tests.unit.operator.samples import NOW, served, tenant_body
from tests.unit.operator.test_status import report, said


def test_events_tell_turns_and_only_turns() -> None:
    ready = build(report(served()))
    told = events.transitions({}, ready)
    assert [event.reason for event in told] == ["DatabaseProvisioned", "SchemaMigrated", "WelcomeMailSent", "Ready"]
    assert events.transitions(ready, ready) == ()


def test_a_stall_and_a_loss_are_warnings() -> None:
    ready = build(report(served()))
    failure = Failure(UserError("DatabaseLost", "gone"), steps.DATABASE_READY)
    broken = build(Report(served().target.identity, ready, NOW, failure=failure))
    assert [(event.kind, event.reason) for event in events.transitions(ready, broken)] == [
        ("Warning", "DatabaseLost"),
    ]


DELETED = {"deletionTimestamp": "2026-11-23T12:00:00Z"}


@pytest.mark.parametrize("policy", ["Paused", "ObserveOnly"])
def test_a_deletion_that_is_held_back_says_what_lets_it_go(policy: str) -> None:
    identity = parse_identity(tenant_body(meta=DELETED))
    before = build(report(served()))
    held = status.held_back(Report(identity, before, NOW, policy=policy))
    assert said(held, "Ready") == ("False", "DeletionPaused")
    assert held["phase"] == "Paused"
    known = status.condition(held, "Ready")
    assert known is not None
    assert f"spec.managementPolicy is {policy}" in known["message"]
    assert (
        "kubectl -n hoa-connect patch hoat seabreeze --type=merge -p "
        """'{"spec":{"managementPolicy":"Managed"}}'""" in known["message"]
    )
    (event,) = events.transitions(before, held)
    assert (event.kind, event.reason, event.message) == ("Warning", "DeletionPaused", known["message"])
    assert difference(held, status.held_back(Report(identity, held, NOW, policy=policy))) == {}
    goes = build(Report(identity, held, NOW))
    assert [(event.kind, event.reason) for event in events.transitions(held, goes)] == [("Normal", "Deleting")]


def test_a_deletion_is_told_once_and_is_no_warning() -> None:
    before = build(report(served()))
    goes = build(Report(parse_identity(tenant_body(meta=DELETED)), before, NOW))
    assert [(event.kind, event.reason) for event in events.transitions(before, goes)] == [("Normal", "Deleting")]
    assert events.transitions(goes, goes) == ()


def test_an_event_told_once_is_the_same_at_any_time() -> None:
    once = events.Event("Normal", "DatabaseRetained", "kept", once=True)
    first, later = (events.manifest(tenant_body(), once, "o", NOW + timedelta(hours=n)) for n in (0, 1))
    assert first["metadata"]["name"] == later["metadata"]["name"]


def test_what_turns_twice_in_a_second_is_told_twice_and_a_repeated_post_is_one() -> None:
    full = events.Event("Warning", "StorageFull", "1.0Gi of 1Gi")
    bodies = [tenant_body() for _ in range(3)]
    for body, version in zip(bodies, ("7", "7", "9"), strict=True):
        body["metadata"]["resourceVersion"] = version
    first, again, later = (events.manifest(body, full, "o", NOW)["metadata"]["name"] for body in bodies)
    assert first == again != later


def test_an_event_is_about_its_object() -> None:
    body = tenant_body()
    manifest = events.manifest(body, events.Event("Normal", "Ready", "x" * 2000), "operator-0", NOW)
    assert manifest["involvedObject"]["uid"] == body["metadata"]["uid"]
    assert len(manifest["message"]) == 1000
    assert manifest["metadata"]["name"].startswith("seabreeze.")

"""The certificate budget: so many an hour, first come, first served, nothing taken back, nothing forgotten by a restart."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hoa_operator import budget
from hoa_operator.budget import Budget, Ledger, Scene, Verdict, decide
from hoa_operator.tenant import parse_time
from tests.unit.operator.samples import NOW, tenant_body

Json = dict[str, Any]
ISSUED = {"issuerRef": {"name": "acme"}}


def wanting(name: str, *hosts: str, since: str = "", **status: Any) -> Json:
    """Return a HOATenant whose domains an issuer serves; `since` says that it waits already."""
    body = tenant_body(domains=[{"host": host, "tls": ISSUED} for host in hosts])
    waits = {"type": "DomainsReady", "status": "False", "reason": budget.WAITS, "lastTransitionTime": since}
    conditions = [waits] if since else []
    return {
        **body,
        "metadata": {**body["metadata"], "name": name},
        "status": {"conditions": [*conditions, *status.pop("conditions", [])], **status},
    }


def ingress(name: str, asked: dict[str, str] | None, *hosts: str) -> Json:
    """Return a live Ingress of an issuer."""
    annotations = {"cert-manager.io/cluster-issuer": "acme"}
    if asked is not None:
        annotations["hoaconnect.com/certificates"] = budget.spelled(
            {host: parse_time(at) for host, at in asked.items()}
        )
    return {
        "kind": "Ingress",
        "metadata": {
            "name": f"tenant-{name}",
            "labels": {"hoaconnect.com/tenant": name},
            "annotations": annotations,
            "creationTimestamp": "2026-11-23T11:50:00Z",
        },
        "spec": {"tls": [{"hosts": [host]} for host in hosts]},
    }


def ask(book: Budget, scene: Scene, name: str, *hosts: str) -> Verdict:
    return book.ask(scene, name, dict.fromkeys(hosts), NOW)


def test_those_that_waited_longest_come_first_and_know_their_turn() -> None:
    bodies = [
        wanting("late", "late.example", since="2026-11-23T11:59:00Z"),
        wanting("new", "new.example"),
        wanting("early", "early.example", "early2.example", since="2026-11-23T11:00:00Z"),
    ]
    scene = Scene([], bodies, limit=2)
    book = Budget()
    assert ask(book, scene, "new", "new.example").turns == {"new.example": 2}
    assert ask(book, scene, "late", "late.example").turns == {"late.example": 1}
    early = ask(book, scene, "early", "early.example", "early2.example")
    assert early.asked == {"early.example": NOW, "early2.example": NOW}
    assert early.wait is None


def test_what_was_granted_counts_before_its_ingress_is_seen() -> None:
    book, bodies = Budget(), [wanting("a", "a.example"), wanting("b", "b.example")]
    scene = Scene([], bodies, limit=1)
    assert ask(book, scene, "a", "a.example").asked == {"a.example": NOW}
    assert ask(book, scene, "b", "b.example").turns == {"b.example": 1}
    assert ask(book, scene, "a", "a.example").asked == {"a.example": NOW}


def test_a_restart_forgets_nothing() -> None:
    live = ingress("a", {"a.example": "2026-11-23T11:30:00Z"}, "a.example")
    scene = Scene([live], [wanting("a", "a.example"), wanting("b", "b.example")], limit=1)
    verdict = ask(Budget(), scene, "b", "b.example")
    assert verdict.turns == {"b.example": 1}
    assert verdict.wait == 1800.0
    old = ingress("a", {"a.example": "2026-11-23T10:59:59Z"}, "a.example")
    scene = Scene([old], scene.tenants, limit=1)
    assert ask(Budget(), scene, "b", "b.example").asked == {"b.example": NOW}


def test_what_exists_is_never_taken_back() -> None:
    live = ingress("a", {"a.example": "2026-11-23T11:30:00Z"}, "a.example")
    before_there_was_a_budget = ingress("b", None, "b.example")
    scene = Scene([live, before_there_was_a_budget], [wanting("a", "a.example"), wanting("b", "b.example")], limit=1)
    assert ask(Budget(), scene, "a", "a.example").asked == {"a.example": NOW - timedelta(minutes=30)}
    assert ask(Budget(), scene, "b", "b.example").asked == {"b.example": NOW - timedelta(minutes=10)}


def test_a_host_with_a_certificate_needs_no_turn_and_takes_none() -> None:
    scene = Scene([], [wanting("a", "a.example"), wanting("b", "b.example")], limit=1)
    book, since = Budget(), NOW - timedelta(days=3)
    assert book.ask(scene, "a", {"a.example": since}, NOW).asked == {"a.example": since}
    assert ask(book, scene, "b", "b.example").asked == {"b.example": NOW}


def test_who_is_only_looked_at_takes_no_turn() -> None:
    live = ingress("a", {"a.example": "2026-11-23T10:30:00Z"}, "a.example")
    bodies = [wanting("a", "a.example", "new.example"), wanting("b", "b.example")]
    book = Budget()
    assert book.look(Scene([live], bodies, limit=1), "a").asked == {"a.example": NOW - timedelta(minutes=90)}
    assert ask(book, Scene([live], bodies[1:], limit=1), "b", "b.example").asked == {"b.example": NOW}


@pytest.mark.parametrize(
    "unable",
    [
        {"spec": {"managementPolicy": "Paused"}},
        {"metadata": {"deletionTimestamp": "2026-11-23T11:00:00Z"}},
        {"status": {"retry": {"attempts": 3}}},
        {"status": {"conditions": [{"type": "SpecAccepted", "status": "False", "reason": "HostTaken"}]}},
    ],
    ids=["paused", "deleting", "in trouble", "refused"],
)
def test_who_could_not_use_a_turn_holds_up_nobody(unable: Json) -> None:
    first = wanting("a", "a.example", since="2026-11-23T11:00:00Z")
    first = {**first, **{part: {**first[part], **more} for part, more in unable.items()}}
    scene = Scene([], [first, wanting("b", "b.example")], limit=1)
    assert ask(Budget(), scene, "b", "b.example").asked == {"b.example": NOW}


def test_a_damaged_annotation_is_no_licence() -> None:
    damaged = ingress("a", None, "a.example")
    damaged["metadata"]["annotations"]["hoaconnect.com/certificates"] = "{not json"
    assert budget.asked_on([damaged]) == {("a", "a.example"): NOW - timedelta(minutes=10)}


minutes = st.integers(min_value=0, max_value=180)


@settings(deadline=None)
@given(
    limit=st.integers(1, 5),
    past=st.lists(minutes, max_size=12),
    waiting=st.integers(0, 12),
)
def test_never_more_in_an_hour_than_the_limit(limit: int, past: list[int], waiting: int) -> None:
    asked = {("old", f"{n}.example"): NOW - timedelta(minutes=ago) for n, ago in enumerate(past)}
    line = tuple((f"t{n}", f"{n}.test") for n in range(waiting))
    granted = 0
    for tenant, host in line:
        verdict = decide(Ledger(limit, asked, line, NOW), tenant, [host])
        granted += len(verdict.asked)
        assert (verdict.wait is None) == (not verdict.turns)
    recent = sum(1 for ago in past if ago < 60)
    assert granted == min(waiting, max(0, limit - recent))

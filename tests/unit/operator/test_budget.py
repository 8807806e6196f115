"""The certificate budget: so many an hour, first come, first served, nothing taken back, nothing forgotten by a restart."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hoa_operator import budget
from hoa_operator.budget import Budget, Claim, Ledger, Scene, Verdict, decide
from hoa_operator.tenant import Issuer, format_time, parse_time
from tests.unit.operator.samples import NOW, tenant_body

Json = dict[str, Any]
ACME, STAGING = Issuer("acme", "ClusterIssuer"), Issuer("staging", "ClusterIssuer")


def wanting(name: str, *hosts: str, since: str = "", issuer: Issuer = ACME, **status: Any) -> Json:
    """Return a HOATenant whose domains an issuer serves; `since` says that they wait already."""
    issued = {"issuerRef": {"name": issuer.name, "kind": issuer.kind}}
    body = tenant_body(domains=[{"host": host, "tls": issued} for host in hosts])
    waits = {"certificatesAwaited": dict.fromkeys(hosts, since)} if since else {}
    return {**body, "metadata": {**body["metadata"], "name": name}, "status": {**waits, **status}}


def ingress(name: str, asked: dict[str, str] | None, *hosts: str, issuer: Issuer = ACME) -> Json:
    """Return a live Ingress of an issuer."""
    annotations = {"cert-manager.io/cluster-issuer": issuer.name}
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
    return book.ask(scene, dict.fromkeys(claims(name, *hosts)), NOW)


def claims(name: str, *hosts: str) -> list[Claim]:
    return [Claim(name, host, ACME) for host in hosts]


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
    assert book.ask(scene, dict.fromkeys(claims("a", "a.example"), since), NOW).asked == {"a.example": since}
    assert ask(book, scene, "b", "b.example").asked == {"b.example": NOW}


def test_who_is_only_looked_at_takes_no_turn() -> None:
    live = ingress("a", {"a.example": "2026-11-23T10:30:00Z"}, "a.example")
    bodies = [wanting("a", "a.example", "new.example"), wanting("b", "b.example")]
    book = Budget()
    assert book.look(Scene([live], bodies, limit=1), claims("a", "a.example"), NOW).asked == {
        "a.example": NOW - timedelta(minutes=90)
    }
    assert ask(book, Scene([live], bodies[1:], limit=1), "b", "b.example").asked == {"b.example": NOW}


@pytest.mark.parametrize(
    "unable",
    [
        {"spec": {"managementPolicy": "Paused"}},
        {"metadata": {"deletionTimestamp": "2026-11-23T11:00:00Z"}},
        {"status": {"retry": {"attempts": 3}}},
        {"status": {"conditions": [{"type": "SpecAccepted", "status": "False", "reason": "HostTaken"}]}},
        {"status": {"conditions": [{"type": "Stalled", "status": "True", "reason": "MigrationFailed"}]}},
    ],
    ids=["paused", "deleting", "in trouble", "refused", "stalled"],
)
def test_who_could_not_use_a_turn_holds_up_nobody(unable: Json) -> None:
    first = wanting("a", "a.example", since="2026-11-23T11:00:00Z")
    first = {**first, **{part: {**first[part], **more} for part, more in unable.items()}}
    scene = Scene([], [first, wanting("b", "b.example")], limit=1)
    assert ask(Budget(), scene, "b", "b.example").asked == {"b.example": NOW}


def test_an_ingress_without_the_tenants_label_counts_by_its_owner_and_else_all_the_same() -> None:
    owned, bare = ingress("a", {}, "a.example"), ingress("b", {}, "b.example")
    for item in (owned, bare):
        del item["metadata"]["labels"]
    owned["metadata"]["ownerReferences"] = [{"kind": "HOATenant", "name": "a", "uid": "uid-a"}]
    assert set(budget.asked_on([owned, bare], NOW)) == {*claims("a", "a.example"), *claims("", "b.example")}


def test_a_damaged_annotation_is_no_licence() -> None:
    damaged = ingress("a", None, "a.example")
    damaged["metadata"]["annotations"]["hoaconnect.com/certificates"] = "{not json"
    assert budget.asked_on([damaged], NOW) == {Claim("a", "a.example", ACME): NOW - timedelta(minutes=10)}


@pytest.mark.parametrize(
    "at",
    ["2026-11-23T11:30:00", "soon", "", None, 5, {"at": "now"}, "0001-01-01T00:00:00+23:59", "2099-01-01T00:00:00Z"],
)
def test_a_time_that_is_none_or_to_come_troubles_nobody(at: object) -> None:
    damaged = ingress("a", None, "a.example", "good.example")
    said = {"a.example": at, "good.example": "2026-11-23T13:30:00+02:00"}
    damaged["metadata"]["annotations"]["hoaconnect.com/certificates"] = json.dumps(said)
    assert budget.asked_on([damaged], NOW) == {
        Claim("a", "a.example", ACME): NOW - timedelta(minutes=10),
        Claim("a", "good.example", ACME): NOW - timedelta(minutes=30),
    }
    assert ask(Budget(), Scene([damaged], [wanting("b", "b.example")], limit=3), "b", "b.example").asked


@pytest.mark.parametrize("text", ["[]", "5", "null", "[" * 100_000])
def test_an_annotation_of_another_shape_says_nothing(text: str) -> None:
    damaged = ingress("a", None, "a.example")
    damaged["metadata"]["annotations"]["hoaconnect.com/certificates"] = text
    assert budget.asked_on([damaged], NOW) == {Claim("a", "a.example", ACME): NOW - timedelta(minutes=10)}


def test_a_stamp_of_2099_blocks_nobody_for_more_than_the_window() -> None:
    ahead = ingress("a", {"a.example": "2099-01-01T00:00:00Z"}, "a.example")
    scene = Scene([ahead], [wanting("a", "a.example"), wanting("b", "b.example")], limit=1)
    assert ask(Budget(), scene, "b", "b.example").wait == 3000.0
    assert Budget().ask(scene, dict.fromkeys(claims("b", "b.example")), NOW + timedelta(minutes=50)).asked


def test_what_was_granted_by_a_clock_that_was_ahead_counts_for_the_window() -> None:
    book, scene = Budget(), Scene([], [wanting("a", "a.example"), wanting("b", "b.example")], limit=1)
    book.ask(scene, dict.fromkeys(claims("a", "a.example")), NOW + timedelta(days=30_000))
    assert ask(book, scene, "b", "b.example").turns == {"b.example": 1}
    scene = Scene([], scene.tenants[1:], limit=1)
    later = book.ask(scene, dict.fromkeys(claims("b", "b.example")), NOW + budget.WINDOW)
    assert later.asked == {"b.example": NOW + budget.WINDOW}


def test_another_issuer_is_asked_within_the_budget_and_the_one_before_serves_meanwhile() -> None:
    names = [f"t{n}" for n in range(9)]
    bodies = [wanting(name, f"{name}.example") for name in names]
    asked = "2025-06-01T00:00:00Z"
    live = [ingress(name, {f"{name}.example": asked}, f"{name}.example", issuer=STAGING) for name in names]
    book, scene = Budget(), Scene(live, bodies, limit=2)
    verdicts = [ask(book, scene, name, f"{name}.example") for name in names]
    assert [bool(verdict.turns) for verdict in verdicts] == [False] * 2 + [True] * 7
    assert verdicts[0] == Verdict({"t0.example": NOW})
    assert verdicts[2].kept == {"t2.example": STAGING}
    assert verdicts[2].asked == {"t2.example": parse_time(asked)}, "it stays on its Ingress as it is"
    assert ask(book, scene, "t2", "t2.example").turns == {"t2.example": 1}, "what serves meanwhile was not granted"


@pytest.mark.parametrize(("key", "kind"), [("issuer", "Issuer"), ("cluster-issuer", "ClusterIssuer")])
def test_an_ingress_that_says_only_its_hosts_was_asked_of_the_issuer_it_names(key: str, kind: str) -> None:
    live = ingress("a", {"a.example": "2026-11-23T11:30:00Z"}, "a.example")
    live["metadata"]["annotations"].pop("cert-manager.io/cluster-issuer")
    live["metadata"]["annotations"][f"cert-manager.io/{key}"] = "ours"
    (claim,) = budget.asked_on([live], NOW)
    assert claim == Claim("a", "a.example", Issuer("ours", kind))


def test_each_host_waits_since_its_own_day_whatever_else_its_tenant_is_told() -> None:
    verdict = Verdict(turns={"old.example": 1, "new.example": 2})
    before = {"old.example": "2026-11-20T12:00:00Z", "served.example": "2026-11-01T12:00:00Z"}
    noted = {"old.example": "2026-11-20T12:00:00Z", "new.example": "2026-11-23T12:00:00Z"}
    assert budget.awaited(before, verdict, NOW) == noted
    expired = {"type": "DomainsReady", "status": "False", "reason": "CertificateExpired"}
    year = {"type": "DomainsReady", "status": "False", "reason": budget.WAITS}
    bodies = [
        wanting("late", "late.example", since="2026-11-23T11:59:00Z"),
        wanting("early", "early.example", since="2026-11-23T11:00:00Z", conditions=[{**expired}]),
        wanting("jumper", "j.example", conditions=[{**year, "lastTransitionTime": "2025-01-01T00:00:00Z"}]),
    ]
    bodies[0]["spec"]["domains"].append({"host": "added.example", "tls": {"issuerRef": {"name": "acme"}}})
    line = [claim.host for claim in budget.line(bodies, {})]
    assert line == ["early.example", "late.example", "j.example", "added.example"]


def test_adding_and_removing_a_domain_frees_no_turn() -> None:
    book, granted = Budget(), 0
    for minute in range(60):
        now, host = NOW + timedelta(minutes=minute), f"{minute}.example"
        bodies = [wanting("a", host)]
        verdict = book.ask(Scene([], bodies, limit=3), dict.fromkeys(claims("a", host)), now)
        granted += len(verdict.asked)
        live = [ingress("a", {host: format_time(at) for host, at in verdict.asked.items()}, *verdict.asked)]
        book.ask(
            Scene(live, bodies, limit=3), dict.fromkeys(claims("a", host)), now
        )  # it is seen; then it is taken out
    assert granted == 3
    again = book.ask(
        Scene([], [wanting("a", "x.example")], limit=3), dict.fromkeys(claims("a", "x.example")), NOW + budget.WINDOW
    )
    assert again.asked


minutes = st.integers(min_value=0, max_value=180)


@settings(deadline=None)
@given(
    limit=st.integers(1, 5),
    past=st.lists(minutes, max_size=12),
    waiting=st.integers(0, 12),
)
def test_never_more_in_an_hour_than_the_limit(limit: int, past: list[int], waiting: int) -> None:
    asked = {Claim("old", f"{n}.example", ACME): NOW - timedelta(minutes=ago) for n, ago in enumerate(past)}
    line = tuple(Claim(f"t{n}", f"{n}.test", ACME) for n in range(waiting))
    granted = 0
    for claim in line:
        verdict = decide(Ledger(limit, asked, line, NOW), [claim])
        granted += len(verdict.asked)
        assert (verdict.wait is None) == (not verdict.turns)
    recent = sum(1 for ago in past if ago < 60)
    assert granted == min(waiting, max(0, limit - recent))

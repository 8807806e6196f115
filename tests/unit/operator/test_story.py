"""What is told of a tenant's life: each change once, with its reason; repairs apart from changes."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from hoa_operator import events, names
from hoa_operator.drift import is_repair, was_applied
from hoa_operator.errors import WorldError
from hoa_operator.kinds import INGRESS, SECRET, kind_of, name_of
from hoa_operator.plan import plan
from hoa_operator.postgres.names import APP, APP_B
from hoa_operator.status import Report, Retry, build
from hoa_operator.steps import DATABASE_READY, EnsureDatabase, Tell
from hoa_operator.target import Failure
from hoa_operator.world import Children, Reading, World
from tests.unit.operator.samples import NOW, TIERS, served, settings, tenant_body

Json = dict[str, Any]
DAY = timedelta(days=1)


def status_of(base: World, before: Json | None = None, **changes: Any) -> Json:
    return build(replace(Report(base.target.identity, before or {}, NOW, world=base, plan=plan(base)), **changes))


def told(before: Json, after: Json, **spec: Any) -> list[tuple[str, str]]:
    return [(event.reason, event.message) for event in events.transitions(before, after, spec)]


def settled(base: World | None = None) -> World:
    """Return a served tenant whose status says that this spec was carried out."""
    base = base or served()
    return replace(base, body={**base.body, "status": status_of(base)})


def without(base: World, kind: Any, name: str) -> World:
    """Return the world after somebody deleted an object."""
    kept = {k: tuple(i for i in items if (k, name_of(i)) != (kind, name)) for k, items in base.children.by_kind.items()}
    return replace(base, children=Children(kept))


def test_a_tier_tells_why() -> None:
    before = status_of(served())
    assert told(before, {**before, "tier": "large", "homeowners": 700}) == [
        ("TierChanged", "from small to large: 700 homeowners")
    ]
    assert told(before, {**before, "tier": "large"}, tier="large") == [
        ("TierChanged", "from small to large: spec.tier names it")
    ]


@pytest.mark.parametrize(
    ("key", "value", "reason", "message"),
    [
        ("state", "ReadOnly", "StateChanged", "from Active to ReadOnly"),
        ("placement", "Dedicated", "PlacementChanged", "capacity from Shared to Dedicated"),
        ("url", "https://x.test", "AddressChanged", "from http://seabreeze.hoaconnect.test to https://x.test"),
        ("appVersion", "1.1.0", "AppUpgraded", "app from 1.0.0 to 1.1.0"),
        ("schemaRevision", "0003", "SchemaUpgraded", "schema from 0002 to 0003"),
    ],
)
def test_what_became_something_else_is_told(key: str, value: str, reason: str, message: str) -> None:
    before = status_of(served())
    assert told(before, {**before, key: value}) == [(reason, message)]
    assert told({k: v for k, v in before.items() if k != key}, before) == [], "what is first known did not change"


def test_a_suspension_is_told_once() -> None:
    before = status_of(served())
    after = status_of(served(tenant_body(state="Suspended")), before)
    assert told(before, after) == [("StateChanged", "from Active to Suspended")]
    assert told(after, status_of(served(), after)) == [("StateChanged", "from Suspended to Active")]


def test_a_tenant_that_is_only_observed_tells_that_it_differs_and_that_it_does_no_longer() -> None:
    def observed(status: str, reason: str, message: str) -> Json:
        return {"conditions": [{"type": "InSync", "status": status, "reason": reason, "message": message}]}

    fine, off = observed("True", "NoDifference", "as its spec says"), observed("False", "Differs", "apply Ingress x")
    more = observed("False", "Differs", "apply Ingress x; apply Secret y")
    assert told({}, fine) == []
    assert told(fine, off) == told({}, off) == [("Differs", "apply Ingress x")]
    assert told(off, more) == [], "it differs already"
    assert told(off, fine) == [("NoDifference", "as its spec says")]
    assert told(off, {}) == []


def test_domains_come_and_go() -> None:
    before = status_of(served(tenant_body(domains=[{"host": "a.example"}])))
    after = status_of(served(tenant_body(domains=[{"host": "b.example"}])), before)
    assert told(before, after) == [
        ("DomainAdded", "b.example leads here"),
        ("DomainRemoved", "a.example leads here no more"),
    ]


def test_trouble_that_passes_is_told_at_both_ends() -> None:
    base = served()
    before = status_of(base)
    failure = Failure(WorldError("ServerUnreachable", "db:5432 does not answer"), DATABASE_READY)
    troubled = status_of(base, before, failure=failure, retry=Retry(2, NOW), world=None, plan=None)
    assert [reason for reason, _ in told(before, troubled)] == ["ServerUnreachable"]
    healed = status_of(base, troubled)
    assert [reason for reason, _ in told(troubled, healed)] == ["Ready"]


def test_a_stall_that_served_people_all_along_recovers() -> None:
    before = status_of(served())
    stalled = {"type": "Stalled", "status": "True", "reason": "TierUnknown", "message": "spec.tier 'x' is no HOATier"}
    conditions = [stalled if c["type"] == "Stalled" else c for c in before["conditions"]]
    troubled = {**before, "conditions": conditions}
    assert [reason for reason, _ in told(before, troubled)] == ["TierUnknown"]
    assert told(troubled, before) == [("Recovered", "what was wrong is over: spec.tier 'x' is no HOATier")]


def test_the_pending_move_is_shown_with_a_figure_that_stays() -> None:
    from hoa_operator import tiers

    large = TIERS[2]
    pending = tiers.pending("Auto", 480, large, TIERS)
    base = served()
    held = replace(base, target=replace(base.target, tier=large, homeowners=480, pending_tier=pending))
    shown = build(Report(base.target.identity, {}, NOW, world=held, plan=plan(held)))
    words = "moves to tier medium once there are fewer than 475 homeowners"
    assert shown["pendingTier"] == {"name": "medium", "below": 475, "message": words}
    [accepted] = [c for c in shown["conditions"] if c["type"] == "SpecAccepted"]
    assert accepted["message"] == f"tier large, server default; {words}"
    assert "pendingTier" not in build(Report(base.target.identity, shown, NOW, world=base, plan=plan(base)))


# Repairs


def repaired(base: World) -> list[str]:
    return [step.message for step in plan(base).steps if isinstance(step, Tell)]


def test_nothing_is_repaired_where_nothing_differs() -> None:
    assert plan(settled()).steps == ()
    assert not is_repair(plan(settled()))
    assert is_repair(plan(without(settled(), INGRESS, "tenant-seabreeze")))


def test_only_what_was_applied_as_it_shall_be_was_changed_by_others() -> None:
    [live] = settled().children.by_kind[INGRESS]
    assert was_applied(live, live)
    older = {**live, "metadata": {**live["metadata"], "annotations": {names.ANNOTATION_APPLIED: "another"}}}
    assert not was_applied(older, live)
    assert not was_applied(live, {**live, "metadata": {**live["metadata"], "annotations": {}}})


def test_a_deleted_object_is_told_and_made_again() -> None:
    base = without(settled(), INGRESS, "tenant-seabreeze")
    assert repaired(base) == ["Ingress tenant-seabreeze was deleted; it is made again"]


def test_who_changed_an_object_is_told_where_it_is_known() -> None:
    base = settled()
    [live] = base.children.by_kind[INGRESS]
    meta = {**live["metadata"], "lastWriter": "kubectl-edit"}
    changed = {**live, "metadata": meta, "spec": {**live["spec"], "ingressClassName": "other"}}
    kinds = {**base.children.by_kind, INGRESS: (changed,)}
    assert repaired(replace(base, children=Children(kinds))) == [
        "Ingress tenant-seabreeze was changed by kubectl-edit; it is put back"
    ]


def test_a_change_that_is_wanted_is_no_repair() -> None:
    assert not is_repair(plan(served(tenant_body(displayName="Seabreeze Living"))))
    base = settled()
    newer = {**base.body["metadata"], "generation": base.body["metadata"].get("generation", 1) + 1}
    wanted = served(tenant_body(domains=[{"host": "a.example"}]))
    identity = replace(wanted.target.identity, generation=newer["generation"])
    moved = replace(wanted, body=base.body, target=replace(wanted.target, identity=identity), children=base.children)
    assert plan(moved).steps
    assert repaired(moved) == []
    upgraded = replace(base, settings=settings(HOA_APP_VERSION="1.1.0"))
    assert plan(upgraded).steps
    assert repaired(upgraded) == []


def test_a_role_changed_in_postgres_is_told() -> None:
    base = settled()
    role = replace(base.database.roles[APP], connection_limit=1)
    drifted = replace(base, database=replace(base.database, roles={**base.database.roles, APP: role}))
    [message] = repaired(drifted)
    assert message.startswith("the database was not as it should be: attributes of role ")
    assert message.endswith("; it is corrected")


def test_the_end_of_a_rotation_is_no_repair() -> None:
    base = settled()
    role = replace(base.database.roles[APP], can_login=True, connection_limit=1)
    ended = replace(base, database=replace(base.database, roles={**base.database.roles, APP_B: role}), now=NOW + DAY)
    assert any(isinstance(step, EnsureDatabase) for step in plan(ended).steps)
    assert repaired(ended) == []


def test_a_tier_that_grew_is_no_repair() -> None:
    base = settled()
    grown = replace(base, target=replace(base.target, tier=TIERS[2]))
    assert plan(grown).steps
    assert repaired(grown) == []


def test_a_secret_that_is_gone_is_told_without_a_word_of_what_it_held() -> None:
    base = without(settled(), SECRET, names.credentials_secret("seabreeze"))
    assert repaired(base) == [
        "the credentials Secret was gone or unreadable; it is rebuilt with the same passwords and keys"
    ]


def test_a_password_that_was_changed_is_told() -> None:
    base = settled()
    refused = replace(base, reading=Reading(base.usage, refused=True))
    assert repaired(refused) == ["a password was changed in Postgres; the Secret's is set again"]
    assert all(kind_of(s.manifest) == SECRET for s in plan(refused).steps if hasattr(s, "manifest"))

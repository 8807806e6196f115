"""Which work a change calls for."""

from __future__ import annotations

from typing import Any

from hoa_operator import dispatch, names
from hoa_operator.cache import Cache, Change
from hoa_operator.dispatch import CAPACITY, RETAINED, Key
from hoa_operator.kinds import DEPLOYMENT, HPA, INGRESS, JOB, POD, SERVER, TENANT, TIER, Object
from tests.unit.operator.samples import TIER_BODIES, server_body, settings, shared_app, tenant_body

Json = dict[str, Any]


def tenant(name: str, **status: Any) -> Json:
    meta = {"uid": f"uid-{name}", "resourceVersion": "1"}
    return {**tenant_body(name, meta=meta), "status": status}


def cluster(*tenants: Json) -> Cache:
    cache = Cache()
    for body in tenants:
        cache.observe(TENANT, body)
    for body in (server_body(), server_body("other")):
        cache.observe(SERVER, body)
    return cache


def called(change: Change, cache: Cache) -> set[tuple[str, str]]:
    return {tuple(call.key) for call in dispatch.calls(change, cache, settings())}  # type: ignore[misc]


REFUSED = {"conditions": [{"type": "SpecAccepted", "status": "False"}]}
PLACED = {"database": {"server": "default"}, "tier": "small"}


def test_a_new_tenant_calls_for_itself_the_refused_and_the_capacity() -> None:
    body = tenant("a")
    cache = cluster(body, tenant("b", **REFUSED), tenant("c", **PLACED))
    assert called(Change(TENANT, "a", None, body), cache) == {
        ("tenant", "a"),
        ("tenant", "b"),
        tuple(CAPACITY),
        tuple(RETAINED),
    }


def test_a_status_that_changed_calls_for_nobody_else() -> None:
    before, after = tenant("a", **PLACED), tenant("a", **PLACED, phase="Ready")
    assert called(Change(TENANT, "a", before, after), cluster(before, tenant("b", **REFUSED))) == {("tenant", "a")}


def test_a_tenant_that_went_frees_what_others_wait_for() -> None:
    body = tenant("a", **PLACED)
    cache = cluster(tenant("b", **REFUSED), tenant("c", **PLACED))
    assert called(Change(TENANT, "a", body, None), cache) == {
        ("tenant", "a"),
        ("tenant", "b"),
        ("server", "default"),
        tuple(CAPACITY),
        tuple(RETAINED),
    }


def asking(name: str, *hosts: str, **status: Any) -> Json:
    return {**tenant_body(name, domains=[{"host": host} for host in hosts]), "status": status}


def test_domains_that_changed_call_for_whoever_asks_for_the_old_or_holds_the_new_ones() -> None:
    before, after = asking("a", "old.example"), asking("a", "new.example")
    others = asking("b", "old.example"), asking("c", hosts=["new.example"]), asking("d", "other.example")
    assert called(Change(TENANT, "a", before, after), cluster(after, *others)) == {
        ("tenant", "a"),
        ("tenant", "b"),
        ("tenant", "c"),
    }
    renamed = {**after, "spec": {**after["spec"], "displayName": "Other"}}
    assert called(Change(TENANT, "a", after, renamed), cluster(after, *others)) == {("tenant", "a")}


def test_a_tenant_that_lost_its_place_makes_room_for_the_refused() -> None:
    before, after = tenant("a", **PLACED), tenant("a", tier="small")
    assert ("tenant", "b") in called(Change(TENANT, "a", before, after), cluster(after, tenant("b", **REFUSED)))


def test_a_tenant_that_got_its_place_calls_for_no_other() -> None:
    before, after = tenant("a"), tenant("a", database={"server": "default"})
    assert ("tenant", "b") not in called(Change(TENANT, "a", before, after), cluster(after, tenant("b", **REFUSED)))


def test_another_tier_resizes_the_shared_app() -> None:
    before, after = tenant("a", **PLACED), tenant("a", **{**PLACED, "tier": "large"})
    assert tuple(CAPACITY) in called(Change(TENANT, "a", before, after), cluster(after))


def test_a_tier_calls_for_all() -> None:
    cache = cluster(tenant("a"), tenant("b"))
    change = Change(TIER, "small", None, TIER_BODIES[0])
    assert called(change, cache) == {("tenant", "a"), ("tenant", "b"), tuple(CAPACITY)}


def ready(body: Json, status: str) -> Json:
    return {**body, "status": {"conditions": [{"type": "Ready", "status": status}]}}


def test_a_server_that_comes_back_calls_for_its_tenants_and_the_unplaced() -> None:
    cache = cluster(tenant("a", **PLACED), tenant("b"), tenant("c", database={"server": "other"}))
    change = Change(SERVER, "default", ready(server_body(), "False"), ready(server_body(), "True"))
    assert called(change, cache) == {("tenant", "a"), ("tenant", "b")}


def test_a_servers_count_of_tenants_calls_for_nobody() -> None:
    before = ready(server_body(), "True")
    after = {**before, "status": {**before["status"], "tenants": 5}}
    assert called(Change(SERVER, "default", before, after), cluster(tenant("a", **PLACED))) == set()


def child(kind: str, **labels: str) -> Json:
    return {"kind": kind, "metadata": {"name": "x", "uid": "x", "resourceVersion": "1", "labels": labels}}


def test_a_child_calls_for_its_tenant() -> None:
    item = child("Ingress", **{names.LABEL_TENANT: "a"})
    assert called(Change(INGRESS, "x", item, None), cluster(tenant("a"))) == {("tenant", "a")}


def test_a_child_that_lost_its_label_calls_for_its_owner() -> None:
    item = child("Job")
    item["metadata"]["ownerReferences"] = [{"kind": "HOATenant", "name": "a", "uid": "uid-a"}]
    assert called(Change(JOB, "x", item, item), cluster(tenant("a"))) == {("tenant", "a")}


def test_a_template_job_calls_for_its_server() -> None:
    item = child("Job", **{names.LABEL_SERVER: "default"})
    assert called(Change(JOB, "x", None, item), cluster()) == {("server", "default")}


def test_a_pod_that_tells_nothing_new_calls_for_nobody() -> None:
    item: Object = {**child("Pod", **{names.LABEL_TENANT: "a"}), "status": {"phase": "Running"}}
    assert called(Change(POD, "x", item, dict(item)), cluster(tenant("a"))) == set()
    ended = {**item, "status": {"phase": "Succeeded"}}
    assert called(Change(POD, "x", item, ended), cluster(tenant("a"))) == {("tenant", "a")}


def test_the_shared_app_calls_for_those_it_concerns() -> None:
    own = tenant("own")
    own["spec"]["placement"] = "Dedicated"
    cache = cluster(tenant("a"), own)
    gone = Change(DEPLOYMENT, "hoa-connect-app", shared_app(1), shared_app(0))
    assert called(gone, cache) == {("tenant", "a"), tuple(CAPACITY)}
    newer = shared_app(1)
    newer["spec"]["template"]["spec"]["containers"][0]["image"] = "app:2"
    rolled = Change(DEPLOYMENT, "hoa-connect-app", shared_app(1), newer)
    assert called(rolled, cache) == {("tenant", "own"), tuple(CAPACITY)}


def test_the_shared_hpa_calls_for_the_capacity() -> None:
    item = {**child("HorizontalPodAutoscaler"), "metadata": {"name": "hoa-connect-app"}}
    assert called(Change(HPA, "hoa-connect-app", item, None), cluster()) == {tuple(CAPACITY)}


def test_lanes_are_servers() -> None:
    cache = cluster(tenant("a", **PLACED), tenant("b"))
    assert dispatch.lane(Key("tenant", "a"), cache) == "default"
    assert dispatch.lane(Key("tenant", "b"), cache) == "unplaced"
    assert dispatch.lane(Key("tenant", "gone"), cache) == "unplaced"
    assert dispatch.lane(Key("server", "default"), cache) == "probe default"
    assert dispatch.lane(CAPACITY, cache) == "capacity"

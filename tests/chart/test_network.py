"""NetworkPolicies as documents: every pod has one, and only the named doors are open."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.chart.conftest import COMBINATIONS, DOMAIN
from tests.chart.pods import PodTemplate, of_kind, pods, selects

if TYPE_CHECKING:
    from tests.chart.conftest import Rendered
    from tests.cluster.helm import Helm

Json = dict[str, Any]
INSTANCE = {"app.kubernetes.io/name": "hoa-connect", "app.kubernetes.io/instance": "hoa-connect"}
GUARDED = [name for name, values in COMBINATIONS.items() if values.get("networkPolicies", {}).get("enabled", True)]
# Pods that the operator makes: they come with these components.
OPERATORS_PODS = [
    PodTemplate("operator", "Pod", {**INSTANCE, "app.kubernetes.io/component": component}, {"containers": []})
    for component in ("tenant", "migration")
]


@pytest.fixture(params=GUARDED)
def guarded(request: pytest.FixtureRequest, combinations: dict[str, Rendered]) -> Rendered:
    return combinations[request.param]


def policies_for(objects: Rendered, component: str) -> list[Json]:
    labels = {**INSTANCE, "app.kubernetes.io/component": component}
    return [item["spec"] for item in of_kind(objects, "NetworkPolicy") if selects(item["spec"]["podSelector"], labels)]


def doors(objects: Rendered, component: str, direction: str) -> set[tuple[str, str, int]]:
    """Return (peer, protocol, port) of every opening, a peer being a component, a namespace or an address."""
    side = {"ingress": "from", "egress": "to"}[direction]
    found = set()
    for policy in policies_for(objects, component):
        for rule in policy.get(direction, []):
            assert rule[side], "a rule without peers is open to everyone"
            assert rule["ports"], "a rule without ports is open on all of them"
            for peer in rule[side]:
                for port in rule["ports"]:
                    found.add((peer_name(peer), port["protocol"], port["port"]))
    return found


def peer_name(peer: Json) -> str:
    assert len(peer) == 1, peer
    if "podSelector" in peer:
        component: str = peer["podSelector"]["matchLabels"]["app.kubernetes.io/component"]
        return component
    if "ipBlock" in peer:
        return str(peer["ipBlock"]["cidr"])
    labels = peer["namespaceSelector"].get("matchLabels", {})
    return f"namespace {labels.get('kubernetes.io/metadata.name', 'any')}"


DNS = {("namespace kube-system", "UDP", 53), ("namespace kube-system", "TCP", 53)}
ANY_443 = {(any_address, "TCP", 443) for any_address in ("0.0.0.0/0", "::/0")}
ANY_6443 = {(any_address, "TCP", 6443) for any_address in ("0.0.0.0/0", "::/0")}
POSTGRES = {("postgres", "TCP", 5432)}
METRICS = {("namespace monitoring", "TCP", 9090)}
VISITORS = {("namespace ingress", "TCP", 8000)}


def test_every_pod_is_closed_before_a_door_is_opened(guarded: Rendered) -> None:
    for pod in [*pods(guarded), *OPERATORS_PODS]:
        chosen = [
            item for item in of_kind(guarded, "NetworkPolicy") if selects(item["spec"]["podSelector"], pod.labels)
        ]
        shut = [item for item in chosen if not item["spec"].get("ingress") and not item["spec"].get("egress")]
        assert [item["metadata"]["name"] for item in shut if "default-deny" in item["metadata"]["name"]], pod.owner
        assert len(chosen) >= 2, f"{pod.owner} has no policy of its own"
        assert all(item["spec"]["policyTypes"] == ["Ingress", "Egress"] for item in chosen)


def test_the_doors_of_the_defaults(default_objects: Rendered) -> None:
    opened = {
        component: (doors(default_objects, component, "ingress"), doors(default_objects, component, "egress"))
        for component in ("operator", "app", "tenant", "worker", "migration", "postgres", "setup", "test")
    }
    callers = {(component, "TCP", 5432) for component in ("operator", "app", "tenant", "worker", "migration")}
    assert opened == {
        "operator": (METRICS | {("test", "TCP", 8080)}, DNS | ANY_443 | ANY_6443 | POSTGRES),
        "app": (VISITORS | METRICS | {("test", "TCP", 8000)}, DNS | POSTGRES),
        "tenant": (VISITORS | METRICS, DNS | POSTGRES),
        "worker": (METRICS, DNS | POSTGRES),
        "migration": (set(), DNS | POSTGRES),
        "postgres": (callers, set()),
        "setup": (set(), DNS | ANY_443 | ANY_6443),
        "test": (set(), DNS | {("app", "TCP", 8000), ("operator", "TCP", 8080)}),
    }


def test_the_doors_of_an_installation_on_services_elsewhere(combinations: dict[str, Rendered]) -> None:
    objects = combinations["external everything"]
    services = {
        ("198.51.100.0/24", "TCP", 5432),
        ("198.51.100.0/24", "TCP", 6432),
        ("203.0.113.25/32", "TCP", 465),
        ("203.0.113.0/24", "TCP", 443),
    }
    assert doors(objects, "worker", "egress") == DNS | services
    assert doors(objects, "app", "egress") == DNS | services
    assert doors(objects, "app", "ingress") >= {("192.0.2.0/24", "TCP", 8000)}
    assert doors(objects, "migration", "egress") == DNS | {door for door in services if door[0] == "198.51.100.0/24"}
    assert doors(objects, "operator", "egress") >= {("10.96.0.1/32", "TCP", 443)}
    assert policies_for(objects, "postgres") == policies_for(objects, "nothing")


def test_an_object_store_on_another_port(renderer: Helm) -> None:
    store = {"files": {"url": "s3://bucket"}, "networkPolicies": {"storagePorts": [443, 9000]}}
    opened = doors(renderer.render({**DOMAIN, **store}), "app", "egress")
    assert opened >= ANY_443 | {("0.0.0.0/0", "TCP", 9000), ("::/0", "TCP", 9000)}


def test_a_second_postgres_is_reached_once_it_is_named(renderer: Helm, default_objects: Rendered) -> None:
    second = ("198.51.100.7/32", "TCP", 5432)
    objects = renderer.render({**DOMAIN, "networkPolicies": {"postgresCIDRs": ["198.51.100.7/32"]}})
    for component in ("operator", "app", "tenant", "worker", "migration"):
        assert doors(objects, component, "egress") == doors(default_objects, component, "egress") | {second}


def test_mail_opens_its_own_port_only(combinations: dict[str, Rendered]) -> None:
    opened = doors(combinations["everything on"], "worker", "egress")
    assert {port for _, _, port in opened} == {53, 5432, 587}


def test_a_switch_turns_them_off(combinations: dict[str, Rendered]) -> None:
    assert of_kind(combinations["everything off"], "NetworkPolicy") == []

"""Every pod of the chart, for all values: restricted, bounded, probed, and without rights it does not need."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.chart.pods import of_kind, pods
from tests.cluster.helm import one

if TYPE_CHECKING:
    from tests.chart.conftest import Rendered

WITH_TOKEN = {"operator", "setup"}


def test_pods_run_as_a_user_without_privileges(rendered: Rendered) -> None:
    for pod in pods(rendered):
        security = pod.spec["securityContext"]
        assert security["runAsNonRoot"] is True, pod.owner
        assert security["runAsUser"] > 0, pod.owner
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}, pod.owner
        for container in pod.containers:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, pod.owner


def test_pods_share_nothing_of_the_node(rendered: Rendered) -> None:
    for pod in pods(rendered):
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod.spec), pod.owner
        kinds = (
            {key for volume in pod.spec["volumes"] for key in volume if key != "name"}
            if "volumes" in pod.spec
            else set()
        )
        assert kinds <= {"secret", "configMap", "emptyDir", "persistentVolumeClaim"}, pod.owner
        assert not [port for container in pod.containers for port in container.get("ports", []) if "hostPort" in port]


def test_only_the_operator_and_setup_hold_a_token(rendered: Rendered) -> None:
    for pod in pods(rendered):
        if pod.component in WITH_TOKEN:
            assert pod.spec["serviceAccountName"] != "default"
        else:
            assert pod.spec["automountServiceAccountToken"] is False, pod.owner
            assert "serviceAccountName" not in pod.spec, pod.owner


def test_resources_are_asked_for_and_memory_is_bounded(rendered: Rendered) -> None:
    for pod in pods(rendered):
        for container in pod.containers:
            assert set(container["resources"]["requests"]) == {"cpu", "memory"}, pod.owner
            assert "memory" in container["resources"]["limits"], pod.owner


def test_what_serves_is_probed_three_ways(rendered: Rendered) -> None:
    for pod in pods(rendered):
        if pod.long_running:
            for container in pod.containers:
                assert {"startupProbe", "livenessProbe", "readinessProbe"} <= set(container), pod.owner


def test_scratch_space_is_bounded(rendered: Rendered) -> None:
    for pod in pods(rendered):
        for volume in pod.spec.get("volumes", []):
            if "emptyDir" in volume:
                assert volume["emptyDir"]["sizeLimit"], pod.owner


def test_no_secret_is_rendered_or_put_in_the_environment(rendered: Rendered) -> None:
    assert of_kind(rendered, "Secret") == []
    for pod in pods(rendered):
        for container in pod.containers:
            for entry in container.get("env", []):
                reference = entry.get("valueFrom", {}).get("secretKeyRef")
                assert reference is None or reference["key"] == "username", pod.owner


def test_everything_carries_the_labels(rendered: Rendered) -> None:
    for item in rendered:
        labels = item["metadata"]["labels"]
        assert labels["app.kubernetes.io/name"] == "hoa-connect", item["metadata"]["name"]
        assert {"app.kubernetes.io/instance", "app.kubernetes.io/component", "app.kubernetes.io/managed-by"} <= set(
            labels
        )
    for pod in pods(rendered):
        assert pod.labels["app.kubernetes.io/instance"] == "hoa-connect"


def test_services_and_budgets_select_pods_that_exist(rendered: Rendered) -> None:
    templates = pods(rendered)
    for service in of_kind(rendered, "Service"):
        selector = dict(service["spec"]["selector"])
        if selector["app.kubernetes.io/component"] == "tenant":  # the operator makes them as copies of the app's
            selector["app.kubernetes.io/component"] = "app"
        chosen = [pod for pod in templates if selector.items() <= pod.labels.items()]
        assert len(chosen) == 1, service["metadata"]["name"]
        named = {port["name"] for container in chosen[0].containers for port in container["ports"]}
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= named
    for budget in of_kind(rendered, "PodDisruptionBudget"):
        selector = budget["spec"]["selector"]["matchLabels"]
        assert any(selector.items() <= pod.labels.items() for pod in templates)


def test_the_operators_rights_end_at_its_namespace(rendered: Rendered) -> None:
    role = one(rendered, "Role", "hoa-connect-operator")
    granted = {
        (group, resource) for rule in role["rules"] for group in rule["apiGroups"] for resource in rule["resources"]
    }
    assert not {"pods/exec", "pods/attach", "pods/log", "serviceaccounts", "roles", "rolebindings", "*"} & {
        resource for _, resource in granted
    }
    assert all("*" not in rule["verbs"] for rule in role["rules"])
    bound = [binding["roleRef"]["name"] for binding in of_kind(rendered, "ClusterRoleBinding")]
    operators, setups = "hoa-connect-hoa-connect-operator", "hoa-connect-hoa-connect-setup"
    assert set(bound) <= {operators, setups}
    if operators in bound:
        assert one(rendered, "ClusterRole", operators)["rules"] == [
            {"apiGroups": [""], "resources": ["namespaces"], "resourceNames": ["kube-system"], "verbs": ["get"]}
        ]


def test_the_setups_cluster_rights_are_three_crds(default_objects: Rendered) -> None:
    role = one(default_objects, "ClusterRole", "hoa-connect-hoa-connect-setup")
    assert role["rules"] == [
        {"apiGroups": ["apiextensions.k8s.io"], "resources": ["customresourcedefinitions"], "verbs": ["create"]},
        {
            "apiGroups": ["apiextensions.k8s.io"],
            "resources": ["customresourcedefinitions"],
            "resourceNames": [
                "hoadatabaseservers.hoaconnect.com",
                "hoatenants.hoaconnect.com",
                "hoatiers.hoaconnect.com",
            ],
            "verbs": ["get", "update"],
        },
    ]
    assert "pre-install,pre-upgrade" in role["metadata"]["annotations"]["helm.sh/hook"]


@pytest.mark.parametrize("component", ["operator", "app", "worker"])
def test_replicas_spread_over_nodes_and_zones(default_objects: Rendered, component: str) -> None:
    spec = one(default_objects, "Deployment", f"hoa-connect-{component}")["spec"]["template"]["spec"]
    keys = {constraint["topologyKey"] for constraint in spec["topologySpreadConstraints"]}
    assert keys == {"kubernetes.io/hostname", "topology.kubernetes.io/zone"}


def test_rendering_twice_gives_the_same(renderer_twice: tuple[Rendered, Rendered]) -> None:
    first, second = renderer_twice
    assert json.dumps(first, sort_keys=True) == json.dumps(second, sort_keys=True)

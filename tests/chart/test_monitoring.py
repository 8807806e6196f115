"""Prometheus finds every pod that exports metrics, those of tenants with capacity of their own included."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hoa_operator.manifests.meta import tenant_family
from tests.chart.pods import of_kind, pods, selects

if TYPE_CHECKING:
    from tests.chart.conftest import Rendered


@pytest.fixture
def monitored(combinations: dict[str, Rendered]) -> Rendered:
    """The render with everything on."""
    return combinations["everything on"]


def scraped(objects: Rendered, labels: dict[str, str]) -> int:
    """Return how many ports named metrics are read of a pod with these labels."""
    services = [item for item in of_kind(objects, "Service") if item["spec"]["selector"].items() <= labels.items()]
    return sum(
        selects(monitor["spec"]["selector"], service["metadata"]["labels"])
        for monitor in of_kind(objects, "ServiceMonitor")
        for service in services
        for port in service["spec"]["ports"]
        if port["name"] == "metrics"
    )


def test_each_pod_that_exports_metrics_is_read_once(monitored: Rendered) -> None:
    exporting = [
        pod
        for pod in pods(monitored)
        if any(port["name"] == "metrics" for container in pod.containers for port in container.get("ports", []))
    ]
    assert {pod.component for pod in exporting} == {"operator", "app", "worker"}
    for pod in exporting:
        assert scraped(monitored, pod.labels) == 1, pod.owner


def test_the_pods_of_a_tenant_of_its_own_capacity_are_read_once(monitored: Rendered) -> None:
    family = tenant_family("hoa-connect", "hoa-connect", "0.1.0", ("seabreeze", "uid", "id"))
    assert scraped(monitored, family.all_labels("tenant")) == 1


def test_service_monitors_carry_the_labels_that_prometheus_selects_by(monitored: Rendered) -> None:
    monitors = of_kind(monitored, "ServiceMonitor")
    components = ["app", "operator", "tenant", "worker"]
    assert sorted(item["metadata"]["name"] for item in monitors) == [f"hoa-connect-{name}" for name in components]
    assert all(item["metadata"]["labels"]["release"] == "prometheus" for item in monitors)
    assert all(item["spec"]["endpoints"] == [{"port": "metrics", "interval": "30s"}] for item in monitors)


def test_nothing_is_read_unasked(default_objects: Rendered) -> None:
    assert of_kind(default_objects, "ServiceMonitor") == []

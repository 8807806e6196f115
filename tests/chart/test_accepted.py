"""A real API server takes every object the chart renders, and its pods pass the restricted standard."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.chart.conftest import COMBINATIONS
from tests.chart.pods import pods
from tests.programs import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.chart.conftest import Rendered
    from tests.cluster.kubectl import Kubectl


@pytest.fixture
def prometheus_kinds(kubectl: Kubectl) -> Iterator[None]:
    """A cluster that knows the Prometheus operator's kinds; not for longer, since Helm looks for them."""
    folder = str(REPOSITORY / "tests" / "chart" / "crds")
    kubectl("apply", "--server-side", "-f", folder)
    kubectl("wait", "--for=condition=Established", "--timeout=30s", "-f", folder)
    yield
    kubectl("delete", "-f", folder)


@pytest.mark.parametrize("name", COMBINATIONS)
@pytest.mark.usefixtures("prometheus_kinds")
def test_the_api_server_accepts_all_of_it(combinations: dict[str, Rendered], kubectl: Kubectl, name: str) -> None:
    """A dry run on the server checks schemas, names, selectors, quantities and CEL of every kind, strictly."""
    objects = json.loads(
        json.dumps(combinations[name]).replace('"namespace": "hoa-connect"', f'"namespace": "{kubectl.namespace}"')
    )
    listed = {"apiVersion": "v1", "kind": "List", "items": objects}
    how = ("--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict")
    text = kubectl("apply", *how, "-f", "-", stdin=json.dumps(listed))
    assert len(text.splitlines()) == len(objects)
    assert "Warning" not in text


def test_pods_pass_the_restricted_standard(combinations: dict[str, Rendered], kubectl: Kubectl) -> None:
    kubectl("label", "namespace", kubectl.namespace, "pod-security.kubernetes.io/enforce=restricted")
    listed = {"apiVersion": "v1", "kind": "List", "items": bare_pods(combinations["everything on"])}
    text = kubectl("create", "--dry-run=server", "-f", "-", stdin=json.dumps(listed))
    assert len(text.splitlines()) == 7


def bare_pods(objects: Rendered) -> Rendered:
    """Return the pods that the objects make, as the API server would be asked for them."""
    found = []
    for number, pod in enumerate(pods(objects)):
        spec = {key: value for key, value in pod.spec.items() if key != "serviceAccountName"}
        if pod.kind == "StatefulSet":  # its volume comes from a claim template
            spec["volumes"] = [*spec["volumes"], {"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]
        found.append({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"pod-{number}"}, "spec": spec})
    return found

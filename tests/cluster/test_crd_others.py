"""HOATier's and HOADatabaseServer's rules, the sample tenants, and CRDs applied over CRDs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.cluster.platform import tenant
from tests.cluster.refusals import accepted, refused, refused_change
from tests.programs import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cluster.kubectl import Kubectl

CRDS = sorted((REPOSITORY / "crds").glob("*.yaml"))
SAMPLES = ("coastal", "pinnacle", "seabreeze")


def tier(name: str = "small", **spec: Any) -> dict[str, Any]:
    given = {
        "homeowners": {"min": 0, "max": 99},
        "cpu": "250m",
        "memory": "512Mi",
        "storage": "10Gi",
        "databaseConnections": 5,
        "requestsPerSecond": 20,
        "concurrentRequests": 10,
    }
    return {
        "apiVersion": "hoaconnect.com/v1alpha1",
        "kind": "HOATier",
        "metadata": {"name": name},
        "spec": given | spec,
    }


def server(name: str = "default", **spec: Any) -> dict[str, Any]:
    given = {"endpoint": {"host": "db.example"}, "adminSecretName": "admin"}
    return {
        "apiVersion": "hoaconnect.com/v1alpha1",
        "kind": "HOADatabaseServer",
        "metadata": {"name": name},
        "spec": given | spec,
    }


REFUSED_TIERS: dict[str, tuple[dict[str, Any], str]] = {
    "range that ends before it begins": (
        {"homeowners": {"min": 100, "max": 99}},
        'spec.homeowners.max: Invalid value: "object": must not be less than min',
    ),
    "range without a beginning": ({"homeowners": {"max": 99}}, "spec.homeowners.min: Required value"),
    "cpu that is a word": (
        {"cpu": "fast"},
        'spec.cpu: Invalid value: "": must be a quantity between 10m and 64, for example 500m',
    ),
    "too much memory": (
        {"memory": "1Ti"},
        'spec.memory: Invalid value: "": must be a quantity between 64Mi and 512Gi, for example 1Gi',
    ),
    "no connections": (
        {"databaseConnections": 0},
        "spec.databaseConnections: Invalid value: 0: spec.databaseConnections in body should be greater than or equal "
        "to 1",
    ),
    "fewer pods at most than at least": (
        {"autoscaling": {"minReplicas": 5, "maxReplicas": 2}},
        'spec.autoscaling.maxReplicas: Invalid value: "object": must not be less than minReplicas',
    ),
    "target of nothing": (
        {"autoscaling": {"targetCPUUtilizationPercentage": 0}},
        "spec.autoscaling.targetCPUUtilizationPercentage: Invalid value: 0: "
        "spec.autoscaling.targetCPUUtilizationPercentage in body should be greater than or equal to 10",
    ),
}

REFUSED_SERVERS: dict[str, tuple[dict[str, Any], str]] = {
    "host with a port": (
        {"endpoint": {"host": "db.example:5432"}},
        'spec.endpoint.host: Invalid value: "string": must be a lower-case host name or an IP address, '
        "without scheme or port",
    ),
    "port out of range": (
        {"endpoint": {"host": "db.example", "port": 70000}},
        "spec.endpoint.port: Invalid value: 70000: spec.endpoint.port in body should be less than or equal to 65535",
    ),
    "unknown sslmode": (
        {"endpoint": {"host": "db.example", "sslMode": "on"}},
        'spec.endpoint.sslMode: Unsupported value: "on": supported values: "disable", "allow", "prefer", "require", '
        '"verify-ca", "verify-full"',
    ),
    "Secret that cannot be a name": (
        {"adminSecretName": "My Secret"},
        'spec.adminSecretName: Invalid value: "string": must be the name of a Secret',
    ),
    "region that is no label": (
        {"region": "us_east"},
        'spec.region: Invalid value: "string": must be a DNS label such as us-east-1',
    ),
    "less than no tenants": (
        {"capacity": {"maxTenants": -1}},
        "spec.capacity.maxTenants: Invalid value: -1: spec.capacity.maxTenants in body should be greater than or equal "
        "to 0",
    ),
    "unknown scheduling": (
        {"scheduling": "Maybe"},
        'spec.scheduling: Unsupported value: "Maybe": supported values: "Schedulable", "Unschedulable"',
    ),
}


@pytest.mark.parametrize(("change", "reason"), REFUSED_TIERS.values(), ids=REFUSED_TIERS.keys())
def test_a_wrong_tier_is_refused_in_words(kubectl: Kubectl, change: dict[str, Any], reason: str) -> None:
    assert refused(kubectl, tier(**change)) == [reason]


@pytest.mark.parametrize(("change", "reason"), REFUSED_SERVERS.values(), ids=REFUSED_SERVERS.keys())
def test_a_wrong_server_is_refused_in_words(kubectl: Kubectl, change: dict[str, Any], reason: str) -> None:
    assert refused(kubectl, server(**change)) == [reason]


def test_no_tier_is_called_auto(kubectl: Kubectl) -> None:
    assert refused(kubectl, tier("auto")) == [
        'metadata.name: Invalid value: "object": must be at most 63 characters and not auto, which would read like the '
        "tier Auto of a tenant"
    ]


def test_a_tier_without_an_end_is_open(kubectl: Kubectl) -> None:
    assert accepted(kubectl, tier(homeowners={"min": 2000}))["spec"]["homeowners"] == {"min": 2000}


def test_a_tiers_defaults(kubectl: Kubectl) -> None:
    stored = accepted(kubectl, tier())["spec"]
    assert stored["statementTimeout"] == "30s"
    assert stored["autoscaling"] == {"minReplicas": 2, "maxReplicas": 20, "targetCPUUtilizationPercentage": 70}


def test_a_servers_defaults(kubectl: Kubectl) -> None:
    stored = accepted(kubectl, server())["spec"]
    assert stored["endpoint"] == {"host": "db.example", "port": 5432, "sslMode": "require"}
    assert stored["scheduling"] == "Schedulable"
    assert stored["capacity"] == {"maxTenants": 500}


def test_a_server_does_not_move_to_another_region(kubectl: Kubectl) -> None:
    kubectl.apply(server(region="us-east-1"))
    assert refused_change(kubectl, "hoads", "default", {"spec": {"region": "eu-west-1"}}) == [
        "spec.region: Forbidden: the region of a server is immutable, because tenants were placed by it; "
        "add a server for the other region"
    ]
    kubectl.patch("hoads", "default", {"spec": {"endpoint": {"host": "db2.example"}}})


def test_the_table_of_servers(kubectl: Kubectl) -> None:
    kubectl.apply(server(region="us-east-1"))
    head, row = (line.split() for line in kubectl("get", "hoads").splitlines())
    assert head == ["NAME", "HOST", "REGION", "SCHEDULING", "TENANTS", "READY", "VERSION", "AGE"]
    assert row[:4] == ["default", "db.example", "us-east-1", "Schedulable"]
    assert kubectl("get", "hoads", "-o", "name", "--field-selector=spec.region=us-east-1").strip()
    assert not kubectl("get", "hoads", "-o", "name", "--field-selector=spec.scheduling=Unschedulable").strip()


def test_the_sample_tenants_are_accepted_and_of_three_sizes(kubectl: Kubectl) -> None:
    sizes = []
    for name in SAMPLES:
        stored = accepted(kubectl, yaml.safe_load((REPOSITORY / "manifests" / f"{name}.yaml").read_text()))
        sizes.append(stored["spec"]["homeowners"])
        assert stored["metadata"]["name"] == stored["spec"]["slug"] == name
        assert stored["spec"]["admin"]["email"].endswith(".example")
    assert sorted(sizes) == [80, 420, 1500]


def test_applying_the_crds_again_changes_nothing(kubectl: Kubectl) -> None:
    before = [crd["metadata"]["generation"] for crd in ours(kubectl)]
    kubectl("apply", "--server-side", "--force-conflicts", "-f", str(REPOSITORY / "crds"))
    assert [crd["metadata"]["generation"] for crd in ours(kubectl)] == before


def test_tenants_survive_an_upgrade_of_their_crd(kubectl: Kubectl, tmp_path: Path) -> None:
    kubectl.apply(tenant("acme"))
    newer = yaml.safe_load((REPOSITORY / "crds" / "hoatenants.yaml").read_text())
    spec = newer["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    spec["properties"]["motto"] = {"type": "string", "maxLength": 80, "default": "none yet"}
    try:
        (tmp_path / "newer.yaml").write_text(yaml.safe_dump(newer))
        kubectl("apply", "--server-side", "--force-conflicts", "-f", str(tmp_path / "newer.yaml"))
        found = kubectl.wait_for("hoat", "acme", lambda item: "motto" in item["spec"])
        assert found["spec"]["motto"] == "none yet"
    finally:
        kubectl("apply", "--server-side", "--force-conflicts", "-f", str(REPOSITORY / "crds"))
    kubectl.wait_for("hoat", "acme", lambda item: "motto" not in item["spec"])


@pytest.mark.parametrize("path", CRDS, ids=lambda path: path.stem)
def test_every_field_says_what_it_is_for(path: Path) -> None:
    schema = yaml.safe_load(path.read_text())["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    assert list(undescribed(schema["properties"]["spec"], "spec")) == []
    assert list(undescribed(schema["properties"]["status"], "status")) == []


def undescribed(schema: dict[str, Any], path: str) -> list[str]:
    missing = [] if schema.get("description") or path.endswith("[]") else [path]
    for name, child in schema.get("properties", {}).items():
        missing += undescribed(child, f"{path}.{name}")
    if "items" in schema:
        missing += undescribed(schema["items"], f"{path}[]")
    return missing


def ours(kubectl: Kubectl) -> list[dict[str, Any]]:
    return [crd for crd in kubectl.list("crd") if crd["spec"]["group"] == "hoaconnect.com"]

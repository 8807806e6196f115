"""Fixtures of the chart level: the chart rendered for the values that matter, and Helm against a real API server."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cluster.helm import Helm
from tests.programs import program

DOMAIN = {"ingress": {"baseDomain": "hoaconnect.example"}}
#: A kind of the Prometheus operator, as Helm is told that the cluster has it.
PROMETHEUS_RULE = "monitoring.coreos.com/v1/PrometheusRule"
COMBINATIONS: dict[str, dict[str, Any]] = {
    "defaults": DOMAIN,
    "everything on": {
        **DOMAIN,
        "image": {"registry": "registry.example/hoa", "pullSecrets": ["pull"], "tag": "1.2.3"},
        "mail": {"smtpUrl": "smtp://hoa@mail.example:587", "existingSecret": "mail", "from": "HOA <no@hoa.example>"},
        "files": {"existingSecret": "object-store"},
        "operator": {"podAnnotations": {"a": "b"}, "nodeSelector": {"c": "d"}, "tolerations": [{"key": "e"}]},
        "app": {"podAnnotations": {"a": "b"}, "nodeSelector": {"c": "d"}, "tolerations": [{"key": "e"}]},
        "worker": {"podAnnotations": {"a": "b"}, "nodeSelector": {"c": "d"}, "tolerations": [{"key": "e"}]},
        "postgres": {
            "podAnnotations": {"a": "b"},
            "nodeSelector": {"c": "d"},
            "tolerations": [{"key": "e"}],
            "storageClass": "fast",
            "region": "us-east-1",
        },
        "monitoring": {
            "serviceMonitors": {"enabled": True, "labels": {"release": "prometheus"}},
            "alerts": {"enabled": True, "configMap": True, "labels": {"release": "prometheus"}},
            "dashboards": {"enabled": True, "annotations": {"grafana_folder": "HOA Connect"}},
        },
    },
    "everything off": {
        **DOMAIN,
        "networkPolicies": {"enabled": False},
        "deletionProtection": {"enabled": False},
        "setup": {"upgradeCRDs": False},
        "uninstall": {"releaseTenants": False},
        "postgres": {"tls": False},
        "tiers": {"enterprise": None},
    },
    "external everything": {
        "ingress": {
            "baseDomain": "hoaconnect.example",
            "tlsSecret": "wildcard",
            "className": "nginx",
            "controllerCIDRs": ["192.0.2.0/24"],
            "externalDNS": {"enabled": True, "target": "lb.hoa.example"},
        },
        "postgres": {
            "enabled": False,
            "existingSecret": "server-admin",
            "external": {"host": "db.example", "port": 6432, "sslMode": "verify-full"},
        },
        "registry": {"existingSecret": "registry", "readerExistingSecret": "reader"},
        "sealing": {"existingSecret": "sealing"},
        "mail": {"smtpUrl": "smtps://mail.example"},
        "files": {"url": "s3://bucket/prefix", "existingSecret": "object-store"},
        "networkPolicies": {
            "postgresCIDRs": ["198.51.100.0/24"],
            "storageCIDRs": ["203.0.113.0/24"],
            "mailCIDRs": ["203.0.113.25/32"],
            "kubernetesApi": {"cidrs": ["10.96.0.1/32"]},
        },
    },
    "a local cluster": {
        "ingress": {"baseDomain": "localhost", "scheme": "http", "port": 8080, "className": "traefik"},
        "image": {"tag": "dev", "pullPolicy": "Never"},
        "files": {"persistence": {"existingClaim": "shared", "accessMode": "ReadWriteOnce"}},
        "postgres": {"image": {"repository": "hoa-connect/postgres", "tag": "dev"}, "storage": "1Gi"},
    },
}
Rendered = list[dict[str, Any]]


@pytest.fixture(scope="session")
def renderer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Helm:
    """Helm without a cluster."""
    found = program("helm", "helm", request.config.getoption("--kubernetes-bin"))
    return Helm(found, tmp_path_factory.mktemp("renderer"))


@pytest.fixture(scope="session")
def combinations(renderer: Helm) -> dict[str, Rendered]:
    """What the chart renders for each combination of values."""
    return {name: renderer.render(values, kinds=[PROMETHEUS_RULE]) for name, values in COMBINATIONS.items()}


@pytest.fixture(params=COMBINATIONS)
def rendered(request: pytest.FixtureRequest, combinations: dict[str, Rendered]) -> Rendered:
    """What the chart renders, for each combination in turn."""
    return combinations[request.param]


@pytest.fixture
def default_objects(combinations: dict[str, Rendered]) -> Rendered:
    """What the chart renders without any choice but the base domain."""
    return combinations["defaults"]


@pytest.fixture
def renderer_twice(renderer: Helm) -> tuple[Rendered, Rendered]:
    """The same values rendered twice."""
    return renderer.render(DOMAIN), renderer.render(DOMAIN)

"""CRDs of this build over those of the previous one: what was stored is read back whole, and accepted when it changes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from hack.compat.__main__ import read
from tests.cluster.helm import one
from tests.cluster.platform import load_setup, tenant
from tests.cluster.test_crd_others import server, tier
from tests.programs import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.cluster.fix_earlier import Site
    from tests.cluster.kubectl import Kubectl

Json = dict[str, Any]
MOMENT = "2026-01-01T00:00:00Z"
CONDITION = {
    "type": "Ready",
    "status": "True",
    "observedGeneration": 1,
    "lastTransitionTime": MOMENT,
    "reason": "Served",
    "message": "The tenant is served.",
}
UUID = "0b8a7f0e-9d6f-4e3b-9d52-0d4f2f0e6c11"
TENANT: Json = {
    "slug": "acme-hoa",
    "homeowners": 120,
    "tier": "medium",
    "state": "ReadOnly",
    "managementPolicy": "ObserveOnly",
    "region": "us-east-1",
    "placement": "Dedicated",
    "timeZone": "America/Chicago",
    "database": {
        "isolation": "Database",
        "serverName": "default",
        "deletionPolicy": "Delete",
        "extensions": ["pg_trgm", "citext"],
    },
    "deletionProtection": "Enabled",
    "domains": [
        {"host": "portal.acme.example", "tls": {"secretName": "portal"}},
        {"host": "www.acme.example", "tls": {"issuerRef": {"name": "letsencrypt", "kind": "Issuer"}}},
    ],
    "branding": {
        "primaryColor": "#123456",
        "logoURL": "https://acme.example/logo.png",
        "supportEmail": "help@acme.example",
    },
    "backup": {"schedule": "0 4 * * 1", "retentionDays": 30, "verify": False},
    "limits": {
        "requestsPerSecond": 10,
        "concurrentRequests": 5,
        "databaseConnections": 6,
        "statementTimeout": "20s",
        "storage": "20Gi",
        "cpu": "300m",
        "memory": "256Mi",
    },
}
TENANT_STATUS: Json = {
    "observedGeneration": 1,
    "phase": "Ready",
    "url": "https://acme-hoa.hoaconnect.example",
    "tenantID": UUID,
    "tier": "medium",
    "homeowners": 120,
    "storage": "12Mi",
    "schemaRevision": "0002",
    "appVersion": "0.1.0",
    "database": {"server": "default", "name": f"hoa_connect_tenant_{UUID.replace('-', '')}"},
    "conditions": [CONDITION],
    "onboarding": [{"step": "CreateTenantRecord", "startedAt": MOMENT, "finishedAt": MOMENT, "message": "done"}],
    "retry": {"attempts": 2, "nextRetryTime": MOMENT},
    "failedMigration": {"inputs": "1234567890", "reason": "WrongHead", "message": "at 0001"},
}
TIER: Json = {
    "homeowners": {"min": 0, "max": 99},
    "requestsPerSecond": 21,
    "concurrentRequests": 11,
    "databaseConnections": 6,
    "statementTimeout": "25s",
    "storage": "11Gi",
    "cpu": "251m",
    "memory": "513Mi",
    "autoscaling": {"minReplicas": 3, "maxReplicas": 19, "targetCPUUtilizationPercentage": 71},
}
TIER_STATUS: Json = {"observedGeneration": 1, "tenants": 3, "conditions": [CONDITION]}
SERVER: Json = {
    "endpoint": {"host": "db.example", "port": 5433, "sslMode": "verify-full"},
    "adminSecretName": "admin",
    "region": "us-east-1",
    "capacity": {"maxTenants": 50, "maxConnections": 100},
    "scheduling": "Unschedulable",
}
SERVER_STATUS: Json = {
    "observedGeneration": 1,
    "systemIdentifier": "7300000000000000001",
    "version": "15.5",
    "tenants": 3,
    "templateRevision": "0002",
    "retained": 1,
    "retainedDatabases": [
        {
            "name": f"hoa_connect_deleted_{UUID.replace('-', '')}",
            "tenant": "gone",
            "tenantID": UUID,
            "retainedAt": MOMENT,
        }
    ],
    "conditions": [CONDITION],
}
OBJECTS = (
    ("hoatenants", tenant("acme", **TENANT), TENANT_STATUS),
    ("hoatiers", tier("small", **TIER), TIER_STATUS),
    ("hoadatabaseservers", server("default", **SERVER), SERVER_STATUS),
)


def schema(crd: Json) -> Json:
    """Return the schema of a CRD's only version."""
    (version,) = crd["spec"]["versions"]
    found: Json = version["schema"]["openAPIV3Schema"]
    return found


def fields(node: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """Walk over the paths of all fields of a schema, `[]` for the items of a list."""
    for name, inner in node.get("properties", {}).items():
        yield f"{path}{name}"
        yield from fields(inner, f"{path}{name}.")
    if "items" in node:
        yield from fields(node["items"], f"{path}[].")


def used(value: Any, path: str = "") -> Iterator[str]:
    """Walk over the same paths of an object."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield f"{path}{name}"
            yield from used(inner, f"{path}{name}.")
    elif isinstance(value, list):
        for inner in value:
            yield from used(inner, f"{path}[].")


def within(before: Any, after: Any, path: str = "") -> list[str]:
    """Return what of `before` is not in `after` as it was; what `after` has beyond is a new field's default."""
    if isinstance(before, dict) and isinstance(after, dict):
        return [line for key in before for line in within(before[key], after.get(key), f"{path}.{key}")]
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        return [
            line
            for number, (a, b) in enumerate(zip(before, after, strict=True))
            for line in within(a, b, f"{path}[{number}]")
        ]
    return [] if before == after else [f"{path}: {before!r} became {after!r}"]


def put_crds(site: Site, source: Path, folder: Path) -> None:
    """Bring the CRDs to those of a build as the chart's Job does before an upgrade, and wait until they are served."""
    rendered = site.helm.render({"ingress": {"baseDomain": "x.example"}}, chart=source / "charts" / "hoa-connect")
    folder.mkdir()
    data = one(rendered, "ConfigMap", "hoa-connect-setup")["data"]
    (folder / "crds.json").write_text(data["crds.json"])
    (folder / "secrets.json").write_text(json.dumps({"namespace": "default", "labels": {}, "secrets": []}))
    (folder / "token").write_text(site.plane.admin_token)
    setup = load_setup()
    setup.prepare(setup.Api(site.plane.url, folder / "token", site.plane.authority.certificate), folder)


@pytest.fixture
def stored(site: Site, previous_build: Path, tmp_path: Path) -> Kubectl:
    """A namespace with an object of every kind, stored under the previous build's CRDs with all their fields."""
    put_crds(site, previous_build, tmp_path / "before")
    site.kubectl("create", "namespace", "crds")
    kubectl = site.kubectl.within("crds")
    for plural, body, status in OBJECTS:
        kubectl.apply(body)
        kubectl.patch_status(plural, body["metadata"]["name"], status)
    return kubectl


def test_what_was_stored_is_read_back_whole_and_may_change(
    site: Site, stored: Kubectl, previous_build: Path, tmp_path: Path
) -> None:
    crds = read(previous_build / "crds")
    before = {plural: stored.get(plural, body["metadata"]["name"]) for plural, body, _ in OBJECTS}
    for plural, found in before.items():
        known = schema(crds[f"{plural}.hoaconnect.com"])["properties"]
        for part in ("spec", "status"):
            missing = set(fields(known[part])) - set(used(found[part]))
            assert not missing, f"{plural}.{part}: give {sorted(missing)} a value here, so that their upgrade is tried"

    put_crds(site, REPOSITORY, tmp_path / "after")

    for plural, body, _ in OBJECTS:
        name = body["metadata"]["name"]
        after = stored.get(plural, name)
        assert within(before[plural], after) == [], plural
        assert stored(
            "get", "crd", f"{plural}.hoaconnect.com", "-o", "jsonpath={.status.storedVersions}"
        ) == json.dumps(["v1alpha1"])
        # A change of something else is judged by the new rules, too.
        stored("annotate", plural, name, "example.com/touched=yes")
        stored.patch_status(plural, name, {"observedGeneration": 2})
    stored.patch("hoatenants", "acme", {"spec": {"displayName": "Acme Communities"}})
    stored.patch("hoatiers", "small", {"spec": {"requestsPerSecond": 22}})
    stored.patch("hoadatabaseservers", "default", {"spec": {"scheduling": "Schedulable"}})
    # And the previous build's manifests are still accepted as they are.
    for _, body, _ in OBJECTS:
        stored.apply(body)

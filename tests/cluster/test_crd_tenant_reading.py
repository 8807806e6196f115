"""How HOATenants are read and found, and the status that the operator writes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.cluster.platform import tenant

if TYPE_CHECKING:
    from tests.cluster.kubectl import Kubectl


def test_the_table_shows_what_people_look_for(kubectl: Kubectl) -> None:
    kubectl.apply(tenant("acme"))
    ready = {
        "type": "Ready",
        "status": "True",
        "reason": "Serving",
        "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    kubectl.patch_status(
        "hoat",
        "acme",
        {
            "tier": "small",
            "homeowners": 80,
            "phase": "Ready",
            "url": "https://acme.hoaconnect.example",
            "schemaRevision": "0002",
            "database": {"server": "default"},
            "storage": {"used": "12Mi"},
            "conditions": [ready],
        },
    )
    head, row = (line.split() for line in kubectl("get", "hoat", "-o", "wide").splitlines())
    usual = ["NAME", "TIER", "HOMEOWNERS", "READY", "PHASE", "URL", "SCHEMA", "AGE"]
    assert head == [*usual, "SERVER", "PLACEMENT", "STORAGE", "REASON"]
    assert row[:7] == ["acme", "small", "80", "True", "Ready", "https://acme.hoaconnect.example", "0002"]
    assert row[8:] == ["default", "Shared", "12Mi", "Serving"]
    assert kubectl("get", "hoat").splitlines()[0].split() == usual
    assert kubectl("get", "hoa", "-o", "name").split() == ["hoatenant.hoaconnect.com/acme"]


@pytest.mark.parametrize(
    "selector",
    ["spec.slug=first", "spec.tier=large", "spec.state=ReadOnly", "spec.placement=Dedicated", "spec.region=eu-west-1"],
)
def test_tenants_are_found_by_their_fields(kubectl: Kubectl, selector: str) -> None:
    kubectl.apply(
        tenant("acme", slug="first", tier="large", state="ReadOnly", placement="Dedicated", region="eu-west-1"),
        tenant("beta"),
    )
    names = kubectl("get", "hoat", "-o", "name", f"--field-selector={selector}").split()
    assert names == ["hoatenant.hoaconnect.com/acme"]


def test_tenants_are_found_by_their_phase_and_tier(kubectl: Kubectl) -> None:
    kubectl.apply(tenant("acme"), tenant("beta"))
    kubectl.patch_status("hoat", "acme", {"phase": "Failed", "tier": "small"})
    for selector in ("status.phase=Failed", "status.tier=small"):
        names = kubectl("get", "hoat", "-o", "name", f"--field-selector={selector}").split()
        assert names == ["hoatenant.hoaconnect.com/acme"]


def test_explain_says_what_a_field_is_for(kubectl: Kubectl) -> None:
    words = " ".join(kubectl("explain", "hoat.spec.database.deletionPolicy").split())
    assert "Delete does the same and drops it when undeleteWindow is over." in words
    assert "ENUM: Retain Delete" in words


def test_the_whole_status_of_the_operator_fits(kubectl: Kubectl) -> None:
    kubectl.apply(tenant("acme"))
    status = {
        "observedGeneration": 1,
        "phase": "Provisioning",
        "url": "https://acme.hoaconnect.example",
        "tenantID": "0b8a7f0e-9d6f-4e3b-9d52-0d4f2f0e6c11",
        "tier": "small",
        "pendingTier": {"name": "small", "below": 95, "message": "moves to tier small"},
        "state": "Active",
        "placement": "Shared",
        "hosts": ["acme.hoaconnect.example"],
        "homeowners": 80,
        "storage": {"used": "12Mi", "database": "11Mi", "files": "1Mi", "limit": "10Gi", "percent": 0},
        "schemaRevision": "0002",
        "appVersion": "0.1.0",
        "database": {"server": "default", "name": "hoa_connect_tenant_0b8a7f0e9d6f4e3b9d520d4f2f0e6c11"},
        "conditions": [
            {
                "type": "Ready",
                "status": "False",
                "observedGeneration": 1,
                "lastTransitionTime": "2026-01-01T00:00:00Z",
                "reason": "Migrating",
                "message": "The migration Job runs.",
            }
        ],
        "onboarding": [
            {
                "step": "CreateTenantRecord",
                "startedAt": "2026-01-01T00:00:00Z",
                "finishedAt": "2026-01-01T00:00:01Z",
                "message": "done",
            }
        ],
        "retry": {"attempts": 2, "nextRetryTime": "2026-01-01T00:01:00Z"},
    }
    kubectl.patch_status("hoat", "acme", status)
    assert json.loads(kubectl("get", "hoat", "acme", "-o", "json"))["status"] == status

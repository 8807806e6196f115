"""A tenant's life with the operator as a process, a real API server, real Jobs and a real Postgres."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.cluster.operating import app_available, bring_up, condition, settled

if TYPE_CHECKING:
    from tests.cluster.platform import Platform

STEPS = [
    "CreateTenantRecord",
    "ProvisionDatabase",
    "RunMigrations",
    "CreateAdminUser",
    "ConfigureRoute",
    "InitializeDefaults",
    "SendWelcomeEmail",
]


def test_a_tenant_goes_live(own_platform: Platform) -> None:
    app_available(own_platform.kubectl)
    own_platform.operator().start()
    body = bring_up(own_platform)
    status = body["status"]
    assert status["phase"] == "Ready"
    assert status["url"] == "http://seabreeze.hoaconnect.test"
    assert status["tier"] == "small"
    assert status["homeowners"] == 80
    assert [entry["step"] for entry in status["onboarding"]] == STEPS
    assert all("finishedAt" in entry for entry in status["onboarding"][:6])
    for name in ("SpecAccepted", "CredentialsReady", "DatabaseReady", "SchemaCurrent", "RouteReady", "CapacityReady"):
        assert condition(body, name)["status"] == "True", name
    rules = own_platform.kubectl.get("ingress", "tenant-seabreeze")["spec"]["rules"]
    assert [rule["host"] for rule in rules] == ["seabreeze.hoaconnect.test"]
    settled(own_platform)

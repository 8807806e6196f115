"""Bad input: each ends in a clear message, is not retried, and heals when what it waits for changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.cluster.operating import app_available, bring_up, condition, eventually, is_ready, settled
from tests.cluster.platform import tenant
from tests.cluster.test_operator_changes import app_role, registered
from tests.cluster.test_operator_frozen import hosts

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cluster.platform import Platform

Json = dict[str, Any]


@pytest.fixture
def running(own_platform: Platform) -> Platform:
    """An installation with an operator."""
    app_available(own_platform.kubectl)
    own_platform.operator().start()
    return own_platform


def refused(name: str, reason: str) -> Callable[[Json], bool]:
    """Whether a condition is False for that reason."""
    return lambda body: condition(body, name)["status"] == "False" and condition(body, name)["reason"] == reason


def serves(host: str) -> Callable[[Json], bool]:
    """Whether a tenant is ready with that host."""
    return lambda body: is_ready(body) and host in body["status"]["hosts"]


def test_an_unknown_tier_waits_for_the_tier(running: Platform) -> None:
    kubectl = running.kubectl
    kubectl.apply(tenant("seabreeze", tier="jumbo"))
    body = kubectl.wait_for("hoatenant", "seabreeze", refused("SpecAccepted", "TierUnknown"))
    assert "use Auto or one of: small, medium, large, enterprise" in condition(body, "SpecAccepted")["message"]
    assert condition(body, "Stalled")["status"] == "True"
    assert body["status"]["phase"] == "Failed"
    writes = settled(running)
    large = kubectl.get("hoatier", "large")
    kubectl.apply({**large, "metadata": {"name": "jumbo"}})
    kubectl.wait_for("hoatenant", "seabreeze", is_ready, 60)
    assert settled(running) > writes


def test_a_taken_slug_is_given_when_its_holder_goes(running: Platform) -> None:
    kubectl = running.kubectl
    bring_up(running)
    kubectl.apply(tenant("second", slug="seabreeze"))
    body = kubectl.wait_for("hoatenant", "second", refused("SpecAccepted", "SlugTaken"))
    assert f"belongs to HOATenant {running.namespace}/seabreeze" in condition(body, "SpecAccepted")["message"]
    kubectl.delete("hoatenant", "seabreeze", "--timeout=30s")
    kubectl.wait_for("hoatenant", "second", is_ready, 60)


def test_a_host_of_another_tenant_is_refused_and_the_tenant_stays_served(running: Platform) -> None:
    kubectl = running.kubectl
    domains = [{"host": "portal.example.com"}]
    bring_up(running, "seabreeze", domains=domains)
    bring_up(running, "pinnacle")
    kubectl.apply(tenant("pinnacle", domains=domains))
    body = kubectl.wait_for("hoatenant", "pinnacle", refused("SpecAccepted", "HostTaken"))
    assert condition(body, "Ready")["status"] == "True"
    assert body["status"]["phase"] == "Degraded"
    kubectl.apply(tenant("seabreeze"))
    kubectl.wait_for("hoatenant", "pinnacle", lambda found: found["status"]["phase"] == "Ready", 30)


def test_two_tenants_swap_their_domains(running: Platform) -> None:
    kubectl = running.kubectl
    names = {"seabreeze": "portal.one.example", "pinnacle": "portal.two.example"}
    for name, host in names.items():
        bring_up(running, name, domains=[{"host": host}])
    swapped = dict(zip(names, reversed(names.values()), strict=True))
    kubectl.apply(*(tenant(name, domains=[{"host": host}]) for name, host in swapped.items()))
    for name, host in swapped.items():
        kubectl.wait_for("hoatenant", name, serves(host))
    routed = {item["metadata"]["name"]: hosts(item) for item in kubectl.list("ingress")}
    assert routed == {f"tenant-{name}": [f"{name}.hoaconnect.test", host] for name, host in swapped.items()}


def test_a_host_under_the_platforms_domain_is_refused(running: Platform) -> None:
    running.kubectl.apply(tenant("seabreeze", domains=[{"host": "pinnacle.hoaconnect.test"}]))
    running.kubectl.wait_for("hoatenant", "seabreeze", refused("SpecAccepted", "HostReserved"))


def test_a_missing_server_is_named(running: Platform) -> None:
    running.kubectl.apply(tenant("seabreeze", database={"serverName": "nowhere"}))
    body = running.kubectl.wait_for("hoatenant", "seabreeze", refused("SpecAccepted", "DatabaseServerMissing"))
    assert "there are: default" in condition(body, "SpecAccepted")["message"]


def test_a_wrong_admin_password_shows_on_server_and_tenant_and_heals(running: Platform) -> None:
    kubectl = running.kubectl
    right = kubectl.get("secret", "postgres-admin")["data"]
    kubectl.patch("secret", "postgres-admin", {"data": {"password": "d3Jvbmc="}})
    kubectl.wait_for("hoads", "default", refused("Ready", "AdminLoginRefused"), 10)
    kubectl.apply(tenant("seabreeze"))
    body = kubectl.wait_for("hoatenant", "seabreeze", refused("DatabaseReady", "AdminLoginRefused"))
    assert body["status"]["retry"]["attempts"] >= 1
    assert "admin Secret" in condition(body, "DatabaseReady")["message"]
    kubectl.patch("secret", "postgres-admin", {"data": right})
    kubectl.wait_for("hoads", "default", is_ready, 10)
    body = kubectl.wait_for("hoatenant", "seabreeze", is_ready, 60)
    assert "retry" not in body["status"]


def test_an_unknown_time_zone_is_refused(running: Platform) -> None:
    running.kubectl.apply(tenant("seabreeze", timeZone="Mars/Olympus"))
    running.kubectl.wait_for("hoatenant", "seabreeze", refused("SpecAccepted", "TimeZoneUnknown"))


def test_events_tell_what_happened(running: Platform) -> None:
    bring_up(running)
    settled(running)
    reasons = [
        event["reason"] for event in running.kubectl.list("events") if event["involvedObject"]["kind"] == "HOATenant"
    ]
    assert {"DatabaseProvisioned", "SchemaMigrated", "Ready"} <= set(reasons)
    assert len(reasons) == len(set(reasons))


def test_a_suspension_waits_for_nothing_that_is_refused(running: Platform) -> None:
    kubectl = running.kubectl
    bring_up(running)
    kubectl.apply(tenant("seabreeze", tier="jumbo", state="Suspended"))
    body = kubectl.wait_for("hoatenant", "seabreeze", lambda found: found["status"]["phase"] == "Suspended")
    assert (body["status"]["state"], condition(body, "Ready")["reason"]) == ("Suspended", "Suspended")
    assert condition(body, "SpecAccepted")["reason"] == "TierUnknown"
    assert registered(running, "state") == "Suspended"
    assert app_role(running)[0] is False
    extensions = {"extensions": ["no_such_thing"]}
    kubectl.apply(tenant("seabreeze"))
    kubectl.wait_for("hoatenant", "seabreeze", is_ready)
    kubectl.apply(tenant("seabreeze", state="Suspended", database=extensions))
    body = kubectl.wait_for("hoatenant", "seabreeze", refused("DatabaseReady", "ExtensionUnavailable"))
    assert (body["status"]["state"], body["status"]["phase"]) == ("Suspended", "Suspended")
    assert registered(running, "state") == "Suspended"
    assert app_role(running)[0] is False


def test_a_tier_deleted_under_its_tenant_holds_up_nothing_else(running: Platform) -> None:
    kubectl = running.kubectl
    bring_up(running, tier="large")
    kept = kubectl.get("hoatier", "large")
    kubectl.delete("hoatier", "large")
    kubectl.apply(tenant("seabreeze", tier="large", displayName="Seabreeze and Sons"))
    body = kubectl.wait_for("hoatenant", "seabreeze", refused("SpecAccepted", "TierUnknown"))
    assert (body["status"]["phase"], is_ready(body)) == ("Degraded", True)
    eventually(lambda: registered(running, "display_name") == "Seabreeze and Sons")
    kubectl.apply({**kept, "metadata": {"name": "large"}})
    kubectl.wait_for("hoatenant", "seabreeze", lambda found: found["status"]["phase"] == "Ready")

"""Changes of a live tenant and of what stands around it: each reaches app and Postgres, and taking it back restores."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.rows import dict_row

from tests.cluster.certificates import Authority
from tests.cluster.operating import app_available, bring_up, condition, eventually, is_ready, settled
from tests.cluster.platform import tenant
from tests.cluster.test_operator_changes import app_role
from tests.cluster.test_operator_deletion import REGISTRY
from tests.cluster.test_operator_refusals import refused

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cluster.platform import Operator, Platform

Json = dict[str, Any]
ISSUED = {"issuerRef": {"name": "acme"}}


@pytest.fixture
def live(own_platform: Platform) -> Platform:
    """An installation with the tenant seabreeze Ready."""
    app_available(own_platform.kubectl)
    own_platform.operator().start()
    bring_up(own_platform)
    return own_platform


def row(platform: Platform) -> Json:
    """Return all that the app may read of seabreeze."""
    with psycopg.connect(platform.postgres.dsn(REGISTRY), row_factory=dict_row) as connection:
        found = connection.execute("SELECT * FROM tenants WHERE name = 'seabreeze'").fetchone()
    assert found is not None
    del found["updated_at"]
    return found


def carried_out(platform: Platform, **spec: Any) -> Json:
    """Apply a spec and wait until it is carried out."""
    platform.kubectl.apply(tenant("seabreeze", **spec))
    return platform.kubectl.wait_for("hoatenant", "seabreeze", is_ready, 60)


def domains(reason: str) -> Callable[[Json], bool]:
    """Whether the tenant's domains are said to be so."""
    return lambda body: condition(body, "DomainsReady")["reason"] == reason


CHANGES: Json = {
    "displayName": "Seabreeze and Sons",
    "branding": {"primaryColor": "#0b6e99", "supportEmail": "help@seabreeze.example"},
    "tier": "medium",
    "limits": {"databaseConnections": 7, "statementTimeout": "45s", "requestsPerSecond": 3, "storage": "2Gi"},
    "domains": [{"host": "portal.seabreeze.example"}],
}


def test_what_a_spec_changes_reaches_app_and_postgres_and_comes_back(live: Platform) -> None:
    settled(live)
    before, role = row(live), app_role(live)
    with psycopg.connect(live.postgres.dsn(REGISTRY), autocommit=True) as listening:
        listening.execute("LISTEN hoa_tenants")
        carried_out(live, **CHANGES)
        heard = [notice.payload for notice in listening.notifies(timeout=10, stop_after=1)]
    assert set(heard) == {str(before["tenant_id"])}, "the app hears of it"
    after, changed = row(live), app_role(live)
    assert after["display_name"] == "Seabreeze and Sons"
    assert after["branding"] == CHANGES["branding"]
    assert (after["tier"], after["hosts"]) == ("medium", ["seabreeze.hoaconnect.test", "portal.seabreeze.example"])
    limits = after["limits"]
    assert (limits["databaseConnections"], limits["statementTimeoutMs"]) == (7, 45_000)
    assert (limits["requestsPerSecond"], limits["storageBytes"]) == (3, 2 * 2**30)
    assert changed[1] == 7
    assert "statement_timeout=45000" in changed[2]
    carried_out(live)
    settled(live)
    assert row(live) == before
    assert app_role(live) == role


def test_hysteresis_shows_the_move_that_it_holds_back(live: Platform) -> None:
    carried_out(live, homeowners=700)
    body = carried_out(live, homeowners=480)
    words = "moves to tier medium once there are fewer than 475 homeowners"
    assert body["status"]["tier"] == "large"
    assert body["status"]["pendingTier"] == {"name": "medium", "below": 475, "message": words}
    assert words in condition(body, "SpecAccepted")["message"]
    body = carried_out(live, homeowners=474)
    assert body["status"]["tier"] == "medium"
    assert "pendingTier" not in body["status"]


def test_a_tier_that_is_named_and_taken_back_leaves_no_trace(live: Platform) -> None:
    carried_out(live, homeowners=474)
    assert carried_out(live, homeowners=480)["status"]["tier"] == "medium"
    assert carried_out(live, homeowners=480, tier="large")["status"]["tier"] == "large"
    assert carried_out(live, homeowners=480)["status"]["tier"] == "medium"


def test_a_certificate_that_people_bring(own_platform: Platform, tmp_path: Path) -> None:
    kubectl, host = own_platform.kubectl, "portal.seabreeze.example"
    app_available(kubectl)
    own_platform.operator(HOA_URL_SCHEME="https").start()
    body = bring_up(own_platform, domains=[{"host": host, "tls": {"secretName": "portal"}}])
    body = kubectl.wait_for("hoatenant", "seabreeze", domains("CertificateSecretMissing"))
    assert "create secret tls portal" in condition(body, "DomainsReady")["message"]
    assert condition(body, "Ready")["status"] == "True", "the tenant's own host is served"
    made = Authority.create(tmp_path / "authority").issue("portal", ["www.pinnacle.example"])
    kubectl("create", "secret", "tls", "portal", f"--cert={made.certificate}", f"--key={made.key}")
    body = kubectl.wait_for("hoatenant", "seabreeze", domains("CertificateHostMismatch"))
    assert "Secret portal is for www.pinnacle.example" in condition(body, "DomainsReady")["message"]
    right = Authority.create(tmp_path / "authority").issue("right", [host])
    data = {
        key: base64.b64encode(path.read_bytes()).decode()
        for key, path in (("tls.crt", right.certificate), ("tls.key", right.key))
    }
    kubectl.patch("secret", "portal", {"data": data})
    kubectl.wait_for("hoatenant", "seabreeze", domains("Served"))
    kubectl.delete("secret", "portal")
    kubectl.wait_for("hoatenant", "seabreeze", domains("CertificateSecretMissing"))
    carried_out(own_platform)
    settled(own_platform)
    assert condition(kubectl.get("hoatenant", "seabreeze"), "DomainsReady")["status"] == ""


def budgeted(platform: Platform, name: str) -> Operator:
    """Start an operator that asks for one certificate an hour."""
    return platform.operator(name, HOA_URL_SCHEME="https", HOA_CERTIFICATES_PER_HOUR="1").start()


def test_certificates_are_asked_for_one_after_the_other_and_a_restart_forgets_nothing(own_platform: Platform) -> None:
    kubectl = own_platform.kubectl
    app_available(kubectl)
    operator = budgeted(own_platform, "operator-0")
    bring_up(own_platform, domains=[{"host": "a.example", "tls": ISSUED}])
    kubectl.wait_for("hoatenant", "seabreeze", domains("CertificatePending"))
    bring_up(own_platform, "pinnacle", domains=[{"host": "b.example", "tls": ISSUED}])
    body = kubectl.wait_for("hoatenant", "pinnacle", domains("WaitsForCertificateBudget"))
    assert "b.example waits for the certificate budget, turn 1" in condition(body, "DomainsReady")["message"]
    asked = kubectl.get("ingress", "tenant-seabreeze-clusterissuer-acme")["metadata"]["annotations"]
    assert '"a.example":"20' in asked["hoaconnect.com/certificates"]
    operator.stop()
    budgeted(own_platform, "operator-1")
    settled(own_platform, quiet=12.0)
    assert kubectl.find("ingress", "tenant-pinnacle-clusterissuer-acme") is None
    after = kubectl.get("ingress", "tenant-seabreeze-clusterissuer-acme")["metadata"]["annotations"]
    assert after["hoaconnect.com/certificates"] == asked["hoaconnect.com/certificates"]
    old = {"hoaconnect.com/certificates": '{"a.example":"2026-01-01T00:00:00Z"}'}
    kubectl.patch("ingress", "tenant-seabreeze-clusterissuer-acme", {"metadata": {"annotations": old}})
    kubectl("annotate", "hoatenant", "pinnacle", "example.com/look=1")
    kubectl.wait_for("ingress", "tenant-pinnacle-clusterissuer-acme", lambda _: True)
    kubectl.wait_for("hoatenant", "pinnacle", domains("CertificatePending"))


def test_another_issuer_waits_for_its_turn_and_the_one_before_serves_until_then(own_platform: Platform) -> None:
    kubectl, before = own_platform.kubectl, "tenant-seabreeze-clusterissuer-acme"
    app_available(kubectl)
    operator = budgeted(own_platform, "operator-0")
    bring_up(own_platform, domains=[{"host": "a.example", "tls": ISSUED}])
    kubectl.wait_for("hoatenant", "seabreeze", domains("CertificatePending"))
    operator.stop()
    budgeted(own_platform, "operator-1")
    bring_up(own_platform, domains=[{"host": "a.example", "tls": {"issuerRef": {"name": "other"}}}])
    body = kubectl.wait_for("hoatenant", "seabreeze", domains("WaitsForCertificateBudget"))
    assert "a.example waits for the certificate budget, turn 1" in condition(body, "DomainsReady")["message"]
    settled(own_platform, quiet=5.0)
    body, kept = kubectl.get("hoatenant", "seabreeze"), kubectl.get("ingress", before)
    assert condition(body, "DomainsReady")["message"].endswith("until then it is served by ClusterIssuer acme")
    assert "a.example" in body["status"]["hosts"]
    assert list(body["status"]["certificatesAwaited"]) == ["a.example"]
    assert [rule["host"] for rule in kept["spec"]["rules"]] == ["a.example"]
    old = {"hoaconnect.com/certificates": '{"a.example":"2026-01-01T00:00:00Z"}'}
    kubectl.patch("ingress", before, {"metadata": {"annotations": old}})
    kubectl("annotate", "hoatenant", "seabreeze", "example.com/look=1")
    kubectl.wait_for("ingress", "tenant-seabreeze-clusterissuer-other", lambda _: True)
    body = kubectl.wait_for("hoatenant", "seabreeze", domains("CertificatePending"))
    settled(own_platform, quiet=5.0)
    assert kubectl.find("ingress", before) is None
    assert "certificatesAwaited" not in kubectl.get("hoatenant", "seabreeze")["status"]


def test_a_tier_deleted_under_its_tenant_is_said_and_breaks_nothing(live: Platform) -> None:
    kubectl = live.kubectl
    carried_out(live, tier="medium")
    settled(live)
    before, medium = row(live), kubectl.get("hoatier", "medium")
    kubectl.delete("hoatier", "medium")
    body = kubectl.wait_for("hoatenant", "seabreeze", refused("SpecAccepted", "TierUnknown"))
    assert "or apply that HOATier again" in condition(body, "SpecAccepted")["message"]
    assert condition(body, "Ready")["status"] == "True"
    settled(live)
    assert row(live) == before
    kubectl.apply({**medium, "metadata": {"name": "medium"}})
    kubectl.wait_for("hoatenant", "seabreeze", lambda found: condition(found, "SpecAccepted")["status"] == "True")
    settled(live)
    assert row(live) == before


def test_a_server_that_moved_or_filled_up_is_followed_and_its_tenants_stay(live: Platform) -> None:
    kubectl = live.kubectl
    kubectl.patch("hoads", "default", {"spec": {"endpoint": {"host": "localhost"}}})
    eventually(lambda: row(live)["database"]["host"] == "localhost")
    kubectl.patch("hoads", "default", {"spec": {"capacity": {"maxTenants": 1}}})
    kubectl.apply(tenant("pinnacle"))
    kubectl.wait_for("hoatenant", "pinnacle", refused("SpecAccepted", "DatabaseServerFull"))
    kubectl.patch("hoads", "default", {"spec": {"capacity": {"maxTenants": 5}, "scheduling": "Unschedulable"}})
    kubectl.wait_for("hoatenant", "pinnacle", refused("SpecAccepted", "NoDatabaseServer"))
    assert is_ready(carried_out(live, displayName="Still served"))
    kubectl.patch("hoads", "default", {"spec": {"scheduling": "Schedulable"}})
    kubectl.wait_for("hoatenant", "pinnacle", is_ready, 60)


def test_another_base_domain_moves_every_tenant_and_refuses_what_it_cannot(live: Platform) -> None:
    kubectl, old = live.kubectl, live.operators[0]
    bring_up(live, "pinnacle", domains=[{"host": "portal.moved.test"}])
    old.stop()
    live.operator("operator-1", HOA_BASE_DOMAIN="moved.test").start()
    body = kubectl.wait_for(
        "hoatenant", "seabreeze", lambda found: found["status"]["url"] == "http://seabreeze.moved.test", 60
    )
    assert is_ready(body)
    assert row(live)["hosts"] == ["seabreeze.moved.test"]
    rules = kubectl.get("ingress", "tenant-seabreeze")["spec"]["rules"]
    assert [rule["host"] for rule in rules] == ["seabreeze.moved.test"]
    body = kubectl.wait_for("hoatenant", "pinnacle", refused("SpecAccepted", "HostReserved"), 60)
    assert condition(body, "Ready")["status"] == "True", "what was served is served on"

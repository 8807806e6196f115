"""What a person changes on a live tenant: size, state, placement, and whether the operator may act at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.cluster.operating import app_available, bring_up, condition, eventually, is_ready, settled
from tests.cluster.platform import tenant
from tests.cluster.test_operator_deletion import REGISTRY
from tests.overlay import HEAD

if TYPE_CHECKING:
    from tests.cluster.platform import Platform

Json = dict[str, Any]


@pytest.fixture
def live(own_platform: Platform) -> Platform:
    """An installation with the tenant seabreeze Ready."""
    app_available(own_platform.kubectl)
    own_platform.operator().start()
    bring_up(own_platform)
    return own_platform


def registered(platform: Platform, column: str) -> Any:
    """Return a column of seabreeze's row."""
    with psycopg.connect(platform.postgres.dsn(REGISTRY)) as connection:
        row = connection.execute(f"SELECT {column} FROM tenants WHERE name = 'seabreeze'").fetchone()
    assert row is not None
    return row[0]


def app_role(platform: Platform) -> tuple[bool, int, list[str]]:
    """Return whether the app's role may log in, its connection limit, and its settings."""
    tenant_id = platform.kubectl.get("hoatenant", "seabreeze")["status"]["tenantID"].replace("-", "")
    with psycopg.connect(platform.postgres.dsn()) as connection:
        row = connection.execute(
            "SELECT rolcanlogin, rolconnlimit, coalesce(setconfig, '{}') FROM pg_roles r"
            " LEFT JOIN pg_db_role_setting s ON s.setrole = r.oid WHERE rolname = %s",
            [f"hoa_connect_tenant_{tenant_id}_app"],
        ).fetchone()
    assert row is not None
    return row[0], row[1], row[2]


def test_growth_moves_the_tier_and_what_hangs_on_it(live: Platform) -> None:
    small = live.kubectl.get("hoatier", "small")["spec"]
    large = live.kubectl.get("hoatier", "large")["spec"]
    assert app_role(live)[1] == small["databaseConnections"]
    live.kubectl.apply(tenant("seabreeze", homeowners=700))
    live.kubectl.wait_for("hoatenant", "seabreeze", lambda body: body["status"]["tier"] == "large" and is_ready(body))
    assert registered(live, "tier") == "large"
    assert app_role(live)[1] == large["databaseConnections"]
    live.kubectl.apply(tenant("seabreeze", homeowners=499))
    live.kubectl.wait_for("hoatenant", "seabreeze", is_ready)
    assert live.kubectl.get("hoatenant", "seabreeze")["status"]["tier"] == "large"


def test_a_changed_tier_reaches_its_tenants(live: Platform) -> None:
    live.kubectl.patch("hoatier", "small", {"spec": {"databaseConnections": 17}})
    eventually(lambda: app_role(live)[1] == 17)
    assert registered(live, "limits")["databaseConnections"] == 17


def test_the_shared_hpa_follows_the_tenants(live: Platform) -> None:
    live.kubectl.apply(tenant("seabreeze", tier="enterprise", limits={"cpu": "20"}))
    live.kubectl.wait_for("hpa", "hoa-connect-app", lambda body: body["spec"]["maxReplicas"] > 3)
    owners = live.kubectl.get("hpa", "hoa-connect-app")["metadata"]["ownerReferences"]
    assert [(owner["kind"], owner["name"]) for owner in owners] == [("Deployment", "hoa-connect-app")]


def test_suspension_and_back(live: Platform) -> None:
    live.kubectl.apply(tenant("seabreeze", state="Suspended"))
    body = live.kubectl.wait_for("hoatenant", "seabreeze", lambda found: found["status"]["phase"] == "Suspended")
    assert condition(body, "Ready")["reason"] == "Suspended"
    assert registered(live, "state") == "Suspended"
    assert app_role(live)[0] is False
    live.kubectl.apply(tenant("seabreeze", state="ReadOnly"))
    live.kubectl.wait_for("hoatenant", "seabreeze", is_ready)
    assert registered(live, "state") == "ReadOnly"
    login, _, settings = app_role(live)
    assert login
    assert "default_transaction_read_only=on" in settings
    live.kubectl.apply(tenant("seabreeze"))
    live.kubectl.wait_for("hoatenant", "seabreeze", is_ready)
    assert "default_transaction_read_only=on" not in app_role(live)[2]


def test_a_paused_tenant_is_left_exactly_as_it_is(live: Platform) -> None:
    live.kubectl.patch("hoatenant", "seabreeze", {"spec": {"managementPolicy": "Paused"}})
    live.kubectl.wait_for("hoatenant", "seabreeze", lambda body: body["status"]["phase"] == "Paused")
    settled(live)
    live.kubectl.delete("ingress", "tenant-seabreeze")
    writes = settled(live)
    assert live.kubectl.find("ingress", "tenant-seabreeze") is None
    live.kubectl.patch("hoatenant", "seabreeze", {"spec": {"managementPolicy": "Managed"}})
    live.kubectl.wait_for("ingress", "tenant-seabreeze", lambda _: True)
    assert settled(live) > writes
    assert live.kubectl.get("hoatenant", "seabreeze")["status"]["phase"] == "Ready"


def test_an_observed_tenant_has_its_differences_told(live: Platform) -> None:
    live.kubectl.patch("hoatenant", "seabreeze", {"spec": {"managementPolicy": "ObserveOnly"}})
    live.kubectl.wait_for("hoatenant", "seabreeze", lambda body: condition(body, "InSync")["status"] == "True")
    live.kubectl.delete("ingress", "tenant-seabreeze")
    body = live.kubectl.wait_for(
        "hoatenant", "seabreeze", lambda found: condition(found, "InSync")["status"] == "False"
    )
    assert condition(body, "InSync")["message"].endswith(
        "set it to Managed to have this done: apply Ingress tenant-seabreeze"
    )
    assert live.kubectl.find("ingress", "tenant-seabreeze") is None
    live.kubectl.patch("hoatenant", "seabreeze", {"spec": {"managementPolicy": "Managed"}})
    body = live.kubectl.wait_for("hoatenant", "seabreeze", lambda found: found["status"]["phase"] == "Ready")
    assert condition(body, "InSync")["status"] == ""


def test_own_capacity_and_back(live: Platform) -> None:
    kubectl, own = live.kubectl, "tenant-seabreeze-app"
    kubectl.apply(tenant("seabreeze", placement="Dedicated"))
    kubectl.wait_for("deployment", own, lambda _: True)
    for kind in ("service", "pdb", "hpa"):
        kubectl.wait_for(kind, own, lambda _: True)
    container = kubectl.get("deployment", own)["spec"]["template"]["spec"]["containers"][0]
    assert container["resources"]["limits"] == {"cpu": "250m", "memory": "512Mi"}
    assert {"name": "HOA_ONLY_TENANT", "value": "seabreeze"} in container["env"]
    assert _backend(live) == "hoa-connect-app"
    app_available(kubectl, name=own)
    eventually(lambda: _backend(live) == own)
    kubectl.wait_for("hoatenant", "seabreeze", is_ready)
    writes = settled(live)
    kubectl("annotate", "hoatenant", "seabreeze", "example.com/poke=1")
    assert settled(live) == writes
    kubectl.patch("deployment", "hoa-connect-app", {"spec": {"template": {"metadata": {"annotations": {"new": "1"}}}}})
    kubectl.wait_for(
        "deployment", own, lambda body: body["spec"]["template"]["metadata"]["annotations"].get("new") == "1"
    )
    kubectl.apply(tenant("seabreeze"))
    kubectl.wait_gone("deployment", own)
    for kind in ("service", "pdb", "hpa"):
        kubectl.wait_gone(kind, own)
    assert _backend(live) == "hoa-connect-app"


def _backend(platform: Platform) -> str:
    spec = platform.kubectl.get("ingress", "tenant-seabreeze")["spec"]
    return str(spec["rules"][0]["http"]["paths"][0]["backend"]["service"]["name"])


def inside(platform: Platform, statement: str, *values: object) -> list[tuple[Any, ...]]:
    """Do something in seabreeze's database, past its policies."""
    tenant_id = platform.kubectl.get("hoatenant", "seabreeze")["status"]["tenantID"].replace("-", "")
    with psycopg.connect(platform.postgres.dsn(f"hoa_connect_tenant_{tenant_id}")) as connection:
        cursor = connection.execute(statement, values or None)
        return cursor.fetchall() if cursor.description else []


def test_a_new_admin_is_invited_beside_the_first_owner(live: Platform) -> None:
    inside(
        live,
        "WITH taken AS (UPDATE invitations SET accepted_at = now() RETURNING tenant_id, email, name)"
        " INSERT INTO users (tenant_id, email, name, role) SELECT tenant_id, email, name, 'owner' FROM taken",
    )
    inside(live, "UPDATE outbox SET state = 'done' WHERE dedupe_key LIKE 'welcome-mail:%'")
    settled(live)
    live.kubectl.apply(tenant("seabreeze", admin={"name": "New", "email": "new@seabreeze.example"}))
    live.kubectl.wait_for(
        "job", f"tenant-seabreeze-migrate-{HEAD}-2", lambda body: bool(body["status"].get("succeeded"))
    )
    body = live.kubectl.wait_for("hoatenant", "seabreeze", lambda found: _mail(found)["reason"] == "Queued")
    assert _mail(body)["message"] == "the invitation to new@seabreeze.example waits in the outbox"
    opened = "SELECT email, role FROM invitations WHERE accepted_at IS NULL AND revoked_at IS NULL"
    assert inside(live, opened) == [("new@seabreeze.example", "owner")]
    settled(live)
    assert is_ready(live.kubectl.get("hoatenant", "seabreeze"))
    inside(
        live,
        "INSERT INTO users (tenant_id, email, name, role) SELECT tenant_id, 'h@x.example', 'H', 'homeowner'"
        " FROM tenant_identity",
    )
    live.kubectl.apply(tenant("seabreeze", admin={"name": "H", "email": "h@x.example"}))
    body = live.kubectl.wait_for("hoatenant", "seabreeze", lambda found: _mail(found)["reason"] == "HasAccount")
    assert _mail(body)["status"] == "False"
    assert inside(live, opened) == [], "who is not named any more is not let in"


def _mail(body: Json) -> Json:
    return condition(body, "WelcomeMailSent")


def test_the_template_is_made_and_the_server_counts_its_tenants(live: Platform) -> None:
    body = live.kubectl.wait_for(
        "hoads", "default", lambda found: condition(found, "TemplateReady")["status"] == "True", 60
    )
    assert body["status"]["templateRevision"] == HEAD
    live.kubectl.wait_for("hoads", "default", lambda found: found["status"]["tenants"] == 1)
    bring_up(live, "pinnacle")
    live.kubectl.wait_for("hoads", "default", lambda found: found["status"]["tenants"] == 2)
    assert live.kubectl.list("job", "-l", "hoaconnect.com/database-server=default") == []

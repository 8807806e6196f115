"""What is as it should be is left alone; what is not is put right: no-op reconciles, restarts, repairs."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.cluster.operating import app_available, bring_up, eventually, is_ready, settled
from tests.cluster.platform import tenant

if TYPE_CHECKING:
    from tests.cluster.platform import Platform

Json = dict[str, Any]
CREDENTIALS = "tenant-seabreeze-credentials"


@pytest.fixture
def live(own_platform: Platform) -> Platform:
    """An installation with the tenant seabreeze Ready and everything settled."""
    app_available(own_platform.kubectl)
    own_platform.operator().start()
    bring_up(own_platform)
    settled(own_platform)
    return own_platform


def test_a_second_look_writes_nothing(live: Platform) -> None:
    live.operators[0].stop()
    before = live.operator_writes()
    operator = live.operator("operator-1", HOA_RESYNC_SECONDS="2").start()
    eventually(lambda: _reconciles(operator) >= 4)
    assert live.operator_writes()[len(before) :] == []


def _reconciles(operator: Any) -> float:
    known: dict[str, float] = operator.metrics()
    return known.get('hoa_operator_reconciles_total{kind="tenant",result="ok"}', 0.0)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("ingress", "tenant-seabreeze"),
        ("secret", "tenant-seabreeze-migrator"),
        ("secret", CREDENTIALS),
        ("hpa", "hoa-connect-app"),
    ],
)
def test_a_deleted_child_comes_back(live: Platform, kind: str, name: str) -> None:
    before = live.kubectl.get(kind, name)
    live.kubectl.delete(kind, name)
    live.kubectl.wait_for(kind, name, lambda body: body["metadata"]["uid"] != before["metadata"]["uid"], 10)
    settled(live)
    assert is_ready(live.kubectl.get("hoatenant", "seabreeze"))


def test_credentials_that_were_deleted_come_back_the_same(live: Platform) -> None:
    before = live.secret(CREDENTIALS)
    live.kubectl.delete("secret", CREDENTIALS)
    eventually(lambda: live.kubectl.find("secret", CREDENTIALS) is not None)
    settled(live)
    after = live.secret(CREDENTIALS)
    assert {key: after[key] for key in ("app-password", "signing-keys")} == {
        key: before[key] for key in ("app-password", "signing-keys")
    }
    _logs_in(live, "app", after["app-password"])
    _logs_in(live, "migrator", after["migrator-password"])


def test_a_password_written_into_the_secret_is_a_rotation(live: Platform) -> None:
    new = base64.b64encode(b"a-new-password-of-the-tenant").decode()
    live.kubectl.patch("secret", CREDENTIALS, {"data": {"app-password": new}})
    eventually(lambda: _can_log_in(live, "app", "a-new-password-of-the-tenant"))
    settled(live)
    assert live.secret(CREDENTIALS)["app-password"] == "a-new-password-of-the-tenant"
    assert is_ready(live.kubectl.get("hoatenant", "seabreeze"))


@pytest.mark.parametrize("kind", ["app", "migrator"])
def test_a_password_changed_in_postgres_is_set_again(live: Platform, kind: str) -> None:
    live.operators[0].stop()
    password = live.secret(CREDENTIALS)[f"{kind}-password"]
    with psycopg.connect(live.postgres.dsn(), autocommit=True) as connection:
        connection.execute(f"ALTER ROLE \"{_role(live, kind)}\" PASSWORD 'changed-by-somebody'")
    assert not _can_log_in(live, kind, password)
    live.operator("operator-1").start()  # its first look is not one inside
    eventually(lambda: _can_log_in(live, kind, password))
    settled(live)
    assert is_ready(live.kubectl.get("hoatenant", "seabreeze"))


def test_an_edited_ingress_is_put_right(live: Platform) -> None:
    good = live.kubectl.get("ingress", "tenant-seabreeze")["spec"]
    rules = json.loads(json.dumps(good["rules"]))
    rules[0]["host"] = "elsewhere.example"
    live.kubectl.patch("ingress", "tenant-seabreeze", {"spec": {"rules": rules}})
    live.kubectl.wait_for("ingress", "tenant-seabreeze", lambda body: body["spec"] == good, 10)


@pytest.mark.parametrize(("kind", "name"), [("ingress", "tenant-seabreeze"), ("secret", CREDENTIALS)])
def test_labels_that_somebody_takes_off_come_back(live: Platform, kind: str, name: str) -> None:
    kubectl, held = live.kubectl, live.secret(CREDENTIALS)
    before = kubectl.get(kind, name)["metadata"]
    ours = [label for label in before["labels"] if label.endswith(("/instance", "/managed-by", "/tenant"))]
    assert len(ours) == 3
    for label in ours:
        kubectl("label", kind, name, f"{label}-")
        kubectl.wait_for(kind, name, lambda body: body["metadata"]["labels"] == before["labels"], 10)
    settled(live)
    assert kubectl.get(kind, name)["metadata"]["uid"] == before["uid"]
    assert live.secret(CREDENTIALS) == held
    told = {event["message"] for event in kubectl.list("events") if event["reason"] == "Repaired"}
    assert len([message for message in told if "had lost the label" in message]) == 2
    body = kubectl.get("hoatenant", "seabreeze")
    assert is_ready(body)
    assert [c["type"] for c in body["status"]["conditions"] if c["status"] == "False"] == ["WelcomeMailSent", "Stalled"]


def test_labels_that_a_person_puts_back_are_seen(live: Platform) -> None:
    """While the tenant is paused nobody else does."""
    kubectl, label = live.kubectl, "app.kubernetes.io/managed-by"
    kubectl.apply(tenant("seabreeze", managementPolicy="Paused"))
    kubectl.wait_for("hoatenant", "seabreeze", lambda body: body["status"]["phase"] == "Paused")
    held, things = live.secret(CREDENTIALS), (("ingress", "tenant-seabreeze"), ("secret", CREDENTIALS))
    for kind, name in things:
        kubectl("label", kind, name, f"{label}-")
    settled(live)
    for kind, name in things:
        kubectl("label", kind, name, f"{label}=hoa-operator")
        kubectl("label", kind, name, "app.kubernetes.io/component-")
    kubectl.apply(tenant("seabreeze"))
    for kind, name in things:
        kubectl.wait_for(kind, name, lambda body: "app.kubernetes.io/component" in body["metadata"]["labels"], 10)
    kubectl.wait_for("hoatenant", "seabreeze", is_ready, 10)
    assert live.secret(CREDENTIALS) == held


def test_what_others_add_is_left_alone(live: Platform) -> None:
    live.kubectl.patch("ingress", "tenant-seabreeze", {"metadata": {"annotations": {"example.com/note": "kept"}}})
    writes = settled(live)
    live.kubectl("annotate", "hoatenant", "seabreeze", "example.com/poke=1")
    assert settled(live) == writes
    assert live.kubectl.get("ingress", "tenant-seabreeze")["metadata"]["annotations"]["example.com/note"] == "kept"


def test_a_removed_domain_leaves_the_ingress(live: Platform) -> None:
    live.kubectl.apply(tenant("seabreeze", domains=[{"host": "portal.seabreeze.example"}]))
    live.kubectl.wait_for("ingress", "tenant-seabreeze", lambda body: len(body["spec"]["rules"]) == 2)
    live.kubectl.apply(tenant("seabreeze"))
    live.kubectl.wait_for("ingress", "tenant-seabreeze", lambda body: len(body["spec"]["rules"]) == 1)


def test_edited_roles_are_put_right_at_the_next_look(live: Platform) -> None:
    name = _role(live, "app")
    with psycopg.connect(live.postgres.dsn(), autocommit=True) as connection:
        connection.execute(f'ALTER ROLE "{name}" CONNECTION LIMIT 999')
        live.kubectl("annotate", "hoatenant", "seabreeze", "example.com/poke=2")

        def limited() -> bool:
            row = connection.execute("SELECT rolconnlimit FROM pg_roles WHERE rolname = %s", [name]).fetchone()
            return row is not None and row[0] != 999

        eventually(limited)


def _role(platform: Platform, kind: str) -> str:
    tenant_id = platform.kubectl.get("hoatenant", "seabreeze")["status"]["tenantID"].replace("-", "")
    return f"hoa_connect_tenant_{tenant_id}_{kind}"


def _can_log_in(platform: Platform, kind: str, password: str) -> bool:
    role = _role(platform, kind)
    access = platform.postgres
    try:
        psycopg.connect(
            host=access.host, port=access.port, user=role, password=password, dbname=role.rsplit("_", 1)[0]
        ).close()
    except psycopg.OperationalError:
        return False
    return True


def _logs_in(platform: Platform, kind: str, password: str) -> None:
    assert _can_log_in(platform, kind, password)

"""Whatever a deletion waits for is said in a condition, with the command that a person can run."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.cluster.operating import app_available, bring_up, condition, is_ready, settled
from tests.cluster.platform import tenant
from tests.cluster.test_operator_deletion import databases, rows

if TYPE_CHECKING:
    from tests.cluster.kubectl import Kubectl
    from tests.cluster.platform import Platform

AT_ONCE = {"deletionPolicy": "Delete", "undeleteWindow": "0s"}


@pytest.fixture
def served(own_platform: Platform) -> Platform:
    """A platform whose operator runs and whose app is available."""
    app_available(own_platform.kubectl)
    own_platform.operator().start()
    return own_platform


def waits_for(kubectl: Kubectl, name: str, reason: str) -> str:
    """Wait until the deletion of a tenant waits for this; return what it says."""
    body = kubectl.wait_for("hoatenant", name, lambda found: condition(found, "Deleting")["reason"] == reason)
    found = condition(body, "Deleting")
    assert found["status"] == "True"
    return str(found["message"])


def obey(kubectl: Kubectl, message: str) -> None:
    """Run the command that a message ends with."""
    kubectl(*shlex.split(message[message.index("kubectl ") :])[1:])


def log_in(platform: Platform, name: str, database: str) -> psycopg.Connection[Any]:
    """Open a session of the tenant's app."""
    password = platform.secret(f"tenant-{name}-credentials")["app-password"]
    dsn = platform.postgres.dsn(database)
    return psycopg.connect(dsn, user=f"{database}_app", password=password, autocommit=True)


def test_what_a_spec_or_another_controller_holds_back_is_said(served: Platform) -> None:
    kubectl = served.kubectl
    kubectl.apply(
        tenant("paused", database=AT_ONCE),
        tenant("protected", database=AT_ONCE, deletionProtection="Enabled"),
        tenant("routed", database=AT_ONCE),
        tenant("backed-up", database=AT_ONCE),
    )
    names = ("paused", "protected", "routed", "backed-up")
    for name in names:
        kubectl.wait_for("hoatenant", name, is_ready, 60)
    held = {"metadata": {"finalizers": ["loadbalancer.example/cleanup"]}}
    kubectl.patch("ingress", "tenant-routed", held)
    finalizers = ["hoaconnect.com/teardown", "backup.example/keep"]
    kubectl.patch("hoatenant", "backed-up", {"metadata": {"finalizers": finalizers}})
    kubectl.patch("hoatenant", "paused", {"spec": {"managementPolicy": "Paused"}})
    kubectl.wait_for("hoatenant", "paused", lambda found: found["status"]["phase"] == "Paused")
    kubectl("delete", "hoatenant", *names, "--wait=false")
    expected = {
        "paused": ("DeletionPaused", "spec.managementPolicy is Paused"),
        "protected": ("DeletionPaused", "spec.deletionProtection is Enabled"),
        "routed": ("ChildrenRemaining", "Ingress tenant-routed is deleted, but held by loadbalancer.example/cleanup"),
        "backed-up": ("OtherFinalizers", "held by backup.example/keep"),
    }
    for name, (reason, words) in expected.items():
        message = waits_for(kubectl, name, reason)
        assert words in message
        obey(kubectl, message)
        kubectl.wait_gone("hoatenant", name)
    assert databases(served) == set()


def test_a_deletion_that_is_paused_half_way_says_what_is_gone_already(served: Platform) -> None:
    kubectl = served.kubectl
    bring_up(served, database=AT_ONCE)
    kubectl.patch("ingress", "tenant-seabreeze", {"metadata": {"finalizers": ["loadbalancer.example/cleanup"]}})
    kubectl.delete("hoatenant", "seabreeze", "--wait=false")
    waits_for(kubectl, "seabreeze", "ChildrenRemaining")
    kubectl.patch("hoatenant", "seabreeze", {"spec": {"managementPolicy": "Paused"}})
    message = waits_for(kubectl, "seabreeze", "DeletionPaused")
    assert "it is not served any more" in message
    assert kubectl.get("hoatenant", "seabreeze")["status"]["phase"] == "Deleting"
    kubectl.patch("ingress", "tenant-seabreeze", {"metadata": {"finalizers": None}})
    obey(kubectl, message)
    kubectl.wait_gone("hoatenant", "seabreeze")


def test_sessions_may_finish_but_hold_nothing_up_for_long(served: Platform) -> None:
    kubectl = served.kubectl
    database = bring_up(served, database=AT_ONCE)["status"]["database"]["name"]
    with log_in(served, "seabreeze", database) as session:
        session.execute("SELECT 1")
        kubectl.delete("hoatenant", "seabreeze", "--wait=false")
        assert "1 session in its database may finish" in waits_for(kubectl, "seabreeze", "Draining")
        assert session.execute("SELECT 7").fetchone() == (7,), "what began goes on"
        session.close()
        kubectl.wait_gone("hoatenant", "seabreeze", 8)
    again = bring_up(served, database=AT_ONCE)["status"]["database"]["name"]
    with log_in(served, "seabreeze", again) as session:
        kubectl.delete("hoatenant", "seabreeze", "--timeout=30s")
        with pytest.raises(psycopg.OperationalError):
            session.execute("SELECT 1")
    assert databases(served) == set()


def test_a_server_that_does_not_answer_is_said_and_can_be_left_out(served: Platform) -> None:
    kubectl = served.kubectl
    body = bring_up(served, database=AT_ONCE)
    kubectl.patch("hoads", "default", {"spec": {"endpoint": {"port": 1}}})
    kubectl.wait_for("hoads", "default", lambda found: condition(found, "Ready")["status"] == "False")
    kubectl.delete("hoatenant", "seabreeze", "--wait=false")
    message = waits_for(kubectl, "seabreeze", "ServerUnreachable")
    assert "docs/operations/deletion.md" in message
    obey(kubectl, message)
    kubectl.wait_gone("hoatenant", "seabreeze")
    assert body["status"]["database"]["name"] in databases(served), "left as it is"
    assert rows(served, body["metadata"]["uid"]) == [("Deleted", "seabreeze")]


def test_data_that_is_not_provably_the_tenants_is_said_and_can_be_left_out(served: Platform) -> None:
    kubectl = served.kubectl
    database = bring_up(served, database=AT_ONCE)["status"]["database"]["name"]
    settled(served)  # a look that is still at work would put the comment back
    with psycopg.connect(served.postgres.dsn(), autocommit=True) as connection:
        connection.execute(f"COMMENT ON DATABASE {database} IS 'mine now'")
    kubectl.delete("hoatenant", "seabreeze", "--wait=false")
    message = waits_for(kubectl, "seabreeze", "OwnershipNotProven")
    assert "its comment does not carry this tenant's identity" in message
    obey(kubectl, message)
    kubectl.wait_gone("hoatenant", "seabreeze")
    assert databases(served) == {database}

"""Credentials of a live tenant are replaced: on request, by the clock, under SIGKILL, and with the Secret gone in the middle."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.cluster.operating import app_available, bring_up, condition, eventually, is_ready, settled
from tests.cluster.test_operator_changes import registered
from tests.cluster.test_operator_kills import kill_after, kill_after_every_step

if TYPE_CHECKING:
    from tests.cluster.platform import Operator, Platform

Json = dict[str, Any]
SECRET = "tenant-seabreeze-credentials"
OVERLAP = {"HOA_CREDENTIALS_OVERLAP_SECONDS": "2"}


@pytest.fixture
def operator(own_platform: Platform) -> Operator:
    """The operator, with the tenant seabreeze Ready."""
    app_available(own_platform.kubectl)
    operator = own_platform.operator(**OVERLAP).start()
    bring_up(own_platform)
    return operator


def ask(platform: Platform) -> datetime:
    """Ask for a rotation now; return when."""
    now = datetime.now(UTC)
    wish = {"spec": {"credentials": {"rotateRequestedAt": now.isoformat()}}}
    platform.kubectl.patch("hoatenant", "seabreeze", wish)
    return now


def is_rotated(platform: Platform, login: str, kids: int) -> bool:
    """Whether Secret, row and Postgres agree on that login, with so many keys, and the other one is closed."""
    body = platform.kubectl.get("hoatenant", "seabreeze")
    said = condition(body, "CredentialsReady")
    if platform.kubectl.find("secret", SECRET) is None:
        return False
    held = platform.secret(SECRET)
    return (
        is_ready(body)
        and said["reason"] == "InForce"
        and held.get("app-login", "app") == login
        and len(json.loads(held["signing-keys"])) == kids
        and registered(platform, "database")["username"].endswith(f"_{login}")
        and body["status"]["credentials"]["login"].endswith(f"_{login}")
        and open_logins(platform) == {login}
    )


def open_logins(platform: Platform) -> set[str]:
    """Which of the app's logins may log in."""
    with psycopg.connect(platform.postgres.dsn()) as connection:
        rows = connection.execute(
            "SELECT rolname FROM pg_roles WHERE rolcanlogin AND rolname ~ '_app(_b)?$'"
        ).fetchall()
    return {name[52:] for (name,) in rows}


def lets_in(platform: Platform, login: str, password: str) -> bool:
    """Whether that password logs in."""
    name = platform.kubectl.get("hoatenant", "seabreeze")["status"]["database"]["name"]
    access = platform.postgres
    try:
        psycopg.connect(
            host=access.host, port=access.port, user=f"{name}_{login}", password=password, dbname=name
        ).close()
    except psycopg.OperationalError:
        return False
    return True


def test_on_request_the_new_password_logs_in_and_the_old_one_no_longer(
    own_platform: Platform, operator: Operator
) -> None:
    platform = own_platform
    before, ready = platform.secret(SECRET), condition(platform.kubectl.get("hoatenant", "seabreeze"), "Ready")
    ask(platform)
    eventually(lambda: registered(platform, "database")["username"].endswith("_app_b"))
    assert lets_in(platform, "app", before["app-password"]), "while they overlap, both do"
    assert lets_in(platform, "app_b", platform.secret(SECRET)["app-password"])
    eventually(lambda: is_rotated(platform, "app_b", 2))
    after = platform.secret(SECRET)
    assert not lets_in(platform, "app", before["app-password"])
    assert lets_in(platform, "app_b", after["app-password"])
    assert lets_in(platform, "migrator", after["migrator-password"])
    assert not lets_in(platform, "migrator", before["migrator-password"])
    assert json.loads(after["signing-keys"])[1:] == json.loads(before["signing-keys"])
    body = platform.kubectl.get("hoatenant", "seabreeze")
    assert condition(body, "Ready")["lastTransitionTime"] == ready["lastTransitionTime"]
    events = platform.kubectl.list("event", "--field-selector", "involvedObject.name=seabreeze")
    assert [event["reason"] for event in events].count("CredentialsRotated") == 1
    settled(platform)
    assert platform.secret(SECRET) == after, "one request, one rotation"
    ask(platform)
    eventually(lambda: is_rotated(platform, "app", 3))


def test_by_the_clock(own_platform: Platform, operator: Operator) -> None:
    platform = own_platform
    keys = json.loads(platform.secret(SECRET)["signing-keys"])
    keys[0]["createdAt"] = (datetime.now(UTC) - timedelta(hours=24)).isoformat()
    old = {"data": {"signing-keys": base64.b64encode(json.dumps(keys).encode()).decode()}}
    platform.kubectl.patch("secret", SECRET, old)
    platform.kubectl.patch("hoatenant", "seabreeze", {"spec": {"credentials": {"rotationInterval": "25h"}}})
    body = platform.kubectl.wait_for("hoatenant", "seabreeze", lambda found: "nextRotation" in credentials(found))
    assert credentials(body)["login"].endswith("_app")
    platform.kubectl.patch("hoatenant", "seabreeze", {"spec": {"credentials": {"rotationInterval": "24h"}}})
    eventually(lambda: is_rotated(platform, "app_b", 2))
    body = platform.kubectl.get("hoatenant", "seabreeze")
    due = datetime.fromisoformat(credentials(body)["nextRotation"])
    assert due - datetime.fromisoformat(credentials(body)["rotatedAt"]) == timedelta(hours=24)


def credentials(body: Json) -> Json:
    found: Json = body["status"].get("credentials", {})
    return found


def test_a_rotation_survives_a_kill_at_every_step(own_platform: Platform, operator: Operator) -> None:
    platform = own_platform
    before = platform.secret(SECRET)
    operator.kill()
    ask(platform)
    kills = kill_after_every_step(operator, lambda: is_rotated(platform, "app_b", 2))
    assert kills >= 4
    after = platform.secret(SECRET)
    operator.start()
    settled(platform)
    assert platform.secret(SECRET) == after
    assert lets_in(platform, "app_b", after["app-password"])
    assert not lets_in(platform, "app", before["app-password"])


def test_a_secret_lost_in_the_middle_locks_nobody_out(own_platform: Platform, operator: Operator) -> None:
    platform = own_platform
    before = platform.secret(SECRET)
    operator.kill()
    ask(platform)
    kill_after(operator, 2)
    assert platform.secret(SECRET)["app-login"] == "app_b"
    platform.kubectl.delete("secret", SECRET)
    assert registered(platform, "database")["username"].endswith("_app")
    assert lets_in(platform, "app", before["app-password"])
    operator.start()
    eventually(lambda: is_rotated(platform, "app_b", 2))
    after = platform.secret(SECRET)
    assert lets_in(platform, "app_b", after["app-password"])
    platform.kubectl.delete("secret", SECRET)
    eventually(lambda: platform.kubectl.find("secret", SECRET) is not None)
    eventually(lambda: is_rotated(platform, "app_b", 2))
    rebuilt = platform.secret(SECRET)
    assert rebuilt["migrator-password"] != after["migrator-password"]
    assert {key: rebuilt[key] for key in ("app-login", "app-password", "signing-keys")} == {
        key: after[key] for key in ("app-login", "app-password", "signing-keys")
    }

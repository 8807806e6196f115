"""SIGKILL at every step of onboarding, of deletion and of rollback, whole or half-made: it always converges, and nothing is made twice."""

from __future__ import annotations

import json
import random
import time
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.cluster.jobs import Fault
from tests.cluster.operating import app_available, bring_up, condition, is_ready, settled
from tests.cluster.platform import tenant
from tests.cluster.test_operator_deletion import REGISTRY, databases, roles, rows
from tests.never import never
from tests.overlay import HEAD
from tests.waiting import soon, until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cluster.jobs import JobRunner
    from tests.cluster.platform import Operator, Platform

#: How long a step may last at most when it is killed for the first time; each time after that three times as long.
FIRST_PATIENCE_SECONDS, LAST_PATIENCE_SECONDS = 0.005, 10.0
#: What is begun so often never ends.
MOST_AT_ONE_STEP = 12
#: What begins ever other steps never ends either.
MOST_KILLS = 150


def steps_taken(operator: Operator) -> list[str]:
    """Return what the operator has begun for the tenant so far, from its log."""
    lines = operator.log.read_text().splitlines() if operator.log.exists() else []
    entries = [json.loads(line) for line in lines if line.startswith("{") and '"event": "step"' in line]
    return [entry["step"] for entry in entries if entry.get("tenant") == "seabreeze"]


def kill_after_every_step(operator: Operator, done: Callable[[], bool]) -> int:
    """Start the operator, kill it as soon as it has begun another step, and so on until `done`; return the kills.

    A step that was killed before it had any effect is begun again: it then gets a little longer each time.
    """
    chance = random.Random(7)
    kills = at_this_step = 0
    while not done():
        seen = steps_taken(operator)
        assert at_this_step < MOST_AT_ONE_STEP, seen[-1]
        assert kills < MOST_KILLS, "\n".join(seen)
        operator.process.start()
        # No further step may be needed: then it is killed where it rests.
        _begins_another(operator, len(seen), done)
        time.sleep(chance.random() * min(LAST_PATIENCE_SECONDS, FIRST_PATIENCE_SECONDS * 3**at_this_step))
        operator.kill()
        kills += 1
        stuck = bool(seen) and steps_taken(operator)[-1] == seen[-1]
        at_this_step = at_this_step + 1 if stuck else 0
    return kills


def _begins_another(operator: Operator, known: int, done: Callable[[], bool]) -> None:
    for _ in range(15):
        if soon(lambda: len(steps_taken(operator)) != known, 2, 0.001) or done():
            return


def kill_after(operator: Operator, steps: int) -> None:
    """Start the operator and kill it when it has begun that many more steps."""
    before = len(steps_taken(operator))
    operator.process.start()
    until(
        lambda: len(steps_taken(operator)) - before >= steps,
        lambda: f"{steps} more steps: {steps_taken(operator)}",
        30,
        0.001,
    )
    operator.kill()


def assert_nothing_left(platform: Platform, uid: str) -> None:
    """Check that nothing of the tenant is anywhere."""
    assert databases(platform) == set()
    assert roles(platform, uid) == {}
    assert rows(platform, uid) == []
    for kind in ("ingress", "secret", "job"):
        assert platform.kubectl.list(kind, "-l", "hoaconnect.com/tenant=seabreeze") == [], kind


def is_served(platform: Platform) -> bool:
    """Whether the tenant is Ready."""
    body = platform.kubectl.find("hoatenant", "seabreeze")
    return body is not None and is_ready(body)


def mark(platform: Platform, dbname: str) -> None:
    """Leave something in a tenant's database that only it has."""
    with psycopg.connect(platform.postgres.dsn(dbname), autocommit=True) as connection:
        connection.execute("CREATE TABLE public.kept AS SELECT 7 AS seven")


def still_marked(platform: Platform, dbname: str) -> None:
    """See that it is the very data that `mark` was put into."""
    try:
        seven = one(platform, dbname, "SELECT seven FROM public.kept")
    except psycopg.errors.UndefinedTable:
        seven = None
    never([] if seven == 7 else [dbname], "other data came back than went")


def one(platform: Platform, dbname: str, query: str) -> Any:
    """Return one value from a database."""
    with psycopg.connect(platform.postgres.dsn(dbname)) as connection:
        connection.execute("SET row_security = off")
        row = connection.execute(query).fetchone()
    return row[0] if row else None


def test_onboarding_survives_a_kill_at_every_step(own_platform: Platform, job_runner: JobRunner) -> None:
    platform = own_platform
    app_available(platform.kubectl)
    platform.kubectl.apply(tenant("seabreeze"))
    operator = platform.operator()
    kills = kill_after_every_step(operator, lambda: is_served(platform))
    assert kills >= 8
    operator.start()
    settled(platform)
    body = platform.kubectl.get("hoatenant", "seabreeze")
    assert is_ready(body)
    name = body["status"]["database"]["name"]
    assert databases(platform) == {name}
    assert set(roles(platform, body["status"]["tenantID"])) == {
        f"{name}_{kind}" for kind in ("owner", "migrator", "writer", "app")
    }
    assert rows(platform, body["metadata"]["uid"]) == [("Active", "seabreeze")]
    assert one(platform, REGISTRY, "SELECT count(*) FROM placements") == 1
    assert one(platform, name, "SELECT count(*) FROM invitations") == 1
    runs = [run for run in job_runner.runs_in(platform.namespace) if "tenant-seabreeze" in run]
    assert runs == [f"{platform.namespace}/tenant-seabreeze-migrate-{HEAD}"]
    secrets = platform.kubectl.list("secret", "-l", "hoaconnect.com/tenant=seabreeze")
    assert [secret["metadata"]["name"] for secret in secrets] == [
        "tenant-seabreeze-credentials",
        "tenant-seabreeze-migrator",
    ]


@pytest.mark.parametrize("policy", ["Delete", "Retain"])
def test_deletion_survives_a_kill_at_every_step(own_platform: Platform, policy: str) -> None:
    platform = own_platform
    app_available(platform.kubectl)
    operator = platform.operator().start()
    body = bring_up(platform, database={"deletionPolicy": policy, "undeleteWindow": "0s"})
    operator.kill()
    platform.kubectl.delete("hoatenant", "seabreeze", "--wait=false")
    kills = kill_after_every_step(operator, lambda: platform.kubectl.find("hoatenant", "seabreeze") is None)
    assert kills >= 4
    tenant_id = body["status"]["tenantID"]
    if policy == "Delete":
        assert databases(platform) == set()
        assert roles(platform, tenant_id) == {}
        assert rows(platform, body["metadata"]["uid"]) == []
    else:
        assert databases(platform) == {f"hoa_connect_deleted_{tenant_id.replace('-', '')}"}
        assert set(roles(platform, tenant_id).values()) == {False}
        assert rows(platform, body["metadata"]["uid"]) == [("Deleted", "seabreeze")]
    for kind in ("ingress", "secret"):
        assert platform.kubectl.list(kind, "-l", "hoaconnect.com/tenant=seabreeze") == []


def test_undelete_survives_a_kill_at_every_step(own_platform: Platform) -> None:
    platform = own_platform
    app_available(platform.kubectl)
    operator = platform.operator().start()
    before = bring_up(platform, database={"deletionPolicy": "Delete"})
    name, tenant_id = before["status"]["database"]["name"], before["status"]["tenantID"]
    mark(platform, name)
    platform.kubectl.delete("hoatenant", "seabreeze", "--timeout=30s")
    operator.kill()
    platform.kubectl.apply(tenant("seabreeze", adoptionPolicy="IfUnclaimed"))
    kills = kill_after_every_step(operator, lambda: is_served(platform))
    assert kills >= 4, steps_taken(operator)
    operator.start()
    settled(platform)
    after = platform.kubectl.get("hoatenant", "seabreeze")
    assert (after["status"]["tenantID"], after["status"]["database"]["name"]) == (tenant_id, name)
    assert databases(platform) == {name}
    still_marked(platform, name)
    assert one(platform, REGISTRY, "SELECT count(*) FROM tenants") == 1
    place = "SELECT (deleted_at, drop_after, dropping_since) IS NULL AND claimants = '{}' FROM placements"
    assert one(platform, REGISTRY, place) is True


def test_a_drop_after_its_window_survives_a_kill_at_every_step(own_platform: Platform) -> None:
    platform = own_platform
    app_available(platform.kubectl)
    operator = platform.operator().start()
    body = bring_up(platform, database={"deletionPolicy": "Delete", "undeleteWindow": "10s"})
    platform.kubectl.delete("hoatenant", "seabreeze", "--timeout=30s")
    operator.kill()
    until(lambda: one(platform, REGISTRY, "SELECT drop_after < now() FROM placements"), "the window to be over", 30)
    kills = kill_after_every_step(operator, lambda: rows(platform, body["metadata"]["uid"]) == [])
    assert kills >= 1
    assert "drop the retained database and its roles" in steps_taken(operator)
    assert_nothing_left(platform, body["status"]["tenantID"])


@pytest.mark.parametrize("begun", [2, 3, 5, 6, 8])
def test_deletion_of_a_half_made_tenant_survives_a_kill_at_every_step(
    own_platform: Platform, job_runner: JobRunner, begun: int
) -> None:
    platform = own_platform
    job_runner.inject(Fault(job="tenant-", namespace=platform.namespace, image_pull_error=True))
    platform.kubectl.apply(tenant("seabreeze", database={"deletionPolicy": "Delete", "undeleteWindow": "0s"}))
    operator = platform.operator()
    kill_after(operator, begun)
    uid = platform.kubectl.get("hoatenant", "seabreeze")["metadata"]["uid"]
    platform.kubectl.delete("hoatenant", "seabreeze", "--wait=false")
    kill_after_every_step(operator, lambda: platform.kubectl.find("hoatenant", "seabreeze") is None)
    assert_nothing_left(platform, uid)


def test_rollback_survives_a_kill_at_every_step(own_platform: Platform, job_runner: JobRunner) -> None:
    platform = own_platform
    job_runner.inject(Fault(job="tenant-", namespace=platform.namespace, image_pull_error=True))
    platform.kubectl.apply(tenant("seabreeze"))
    operator = platform.operator(HOA_JOB_DEADLINE_SECONDS="6", HOA_PROVISIONING_DEADLINE_SECONDS="6")
    kill_after(operator, 8)
    uid = platform.kubectl.get("hoatenant", "seabreeze")["metadata"]["uid"]

    def undone() -> bool:
        said = condition(platform.kubectl.get("hoatenant", "seabreeze"), "Stalled")
        return said["reason"] == "ProvisioningDeadlineExceeded" and "was removed" in said["message"]

    kill_after_every_step(operator, undone)
    assert_nothing_left(platform, uid)

"""Bad luck: Jobs that fail, hang or cannot start, a Postgres that stops, a deadline that passes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import psycopg

from tests.cluster.jobs import Fault
from tests.cluster.operating import app_available, bring_up, condition, eventually, is_ready, settled
from tests.cluster.platform import tenant
from tests.cluster.test_operator_deletion import databases, roles, rows
from tests.cluster.test_operator_refusals import refused
from tests.overlay import HEAD

if TYPE_CHECKING:
    from tests.cluster.jobs import JobRunner
    from tests.cluster.platform import Platform
    from tests.fix_postgres import PostgresServer

Json = dict[str, Any]
ERROR = (
    '{"result": "error", "reason": "%s", "message": "%s", "fromRevision": null, "revision": null, "invitation": null,'
    ' "durationSeconds": 0.1}'
)


def test_an_image_that_cannot_be_pulled_is_named_and_heals(own_platform: Platform, job_runner: JobRunner) -> None:
    platform = own_platform
    app_available(platform.kubectl)
    job_runner.inject(Fault(job="tenant-", namespace=platform.namespace, image_pull_error=True))
    platform.operator().start()
    platform.kubectl.apply(tenant("seabreeze"))
    body = platform.kubectl.wait_for("hoatenant", "seabreeze", refused("SchemaCurrent", "ImagePullFailed"))
    assert "cannot be pulled" in condition(body, "SchemaCurrent")["message"]
    assert body["status"]["phase"] == "Provisioning"
    job_runner.heal()
    platform.kubectl.wait_for("hoatenant", "seabreeze", is_ready, 60)


def test_a_final_failure_stops_and_a_person_can_ask_again(own_platform: Platform, job_runner: JobRunner) -> None:
    platform = own_platform
    app_available(platform.kubectl)
    said = ERROR % ("WrongHead", "the image ends at 0001")
    job_runner.inject(Fault(job="tenant-", namespace=platform.namespace, exit_code=2, message=said))
    platform.operator().start()
    platform.kubectl.apply(tenant("seabreeze"))
    body = platform.kubectl.wait_for("hoatenant", "seabreeze", refused("SchemaCurrent", "WrongHead"))
    assert condition(body, "Stalled")["status"] == "True"
    assert "the image ends at 0001" in condition(body, "Stalled")["message"]
    settled(platform)
    assert len(platform.kubectl.list("job", "-l", "hoaconnect.com/tenant=seabreeze")) == 1
    platform.kubectl("annotate", "hoatenant", "seabreeze", "hoaconnect.com/retry=now")
    body = platform.kubectl.wait_for("hoatenant", "seabreeze", is_ready, 60)
    assert "hoaconnect.com/retry" not in body["metadata"].get("annotations", {})
    assert condition(body, "Stalled")["status"] == "False"


def test_a_final_failure_is_not_tried_again_when_its_job_is_cleaned_away(
    own_platform: Platform, job_runner: JobRunner
) -> None:
    platform = own_platform
    app_available(platform.kubectl)
    said = ERROR % ("WrongHead", "the image ends at 0001")
    job_runner.inject(Fault(job="tenant-", namespace=platform.namespace, exit_code=2, message=said))
    operator = platform.operator().start()
    platform.kubectl.apply(tenant("seabreeze"))
    platform.kubectl.wait_for("hoatenant", "seabreeze", lambda found: "failedMigration" in found.get("status", {}), 60)
    platform.kubectl.delete("job", f"tenant-seabreeze-migrate-{HEAD}")  # as its time to live does
    settled(platform)
    operator.kill()
    operator.start()
    settled(platform)
    assert platform.kubectl.list("job", "-l", "hoaconnect.com/tenant=seabreeze") == []
    assert refused("SchemaCurrent", "WrongHead")(platform.kubectl.get("hoatenant", "seabreeze"))
    platform.kubectl("annotate", "hoatenant", "seabreeze", "hoaconnect.com/retry=now")
    body = platform.kubectl.wait_for("hoatenant", "seabreeze", is_ready, 60)
    assert "failedMigration" not in body["status"]


def test_a_job_that_hangs_is_ended_and_tried_again(own_platform: Platform, job_runner: JobRunner) -> None:
    platform = own_platform
    app_available(platform.kubectl)
    job_runner.inject(Fault(job="tenant-", namespace=platform.namespace, hang=True))
    platform.operator(HOA_JOB_DEADLINE_SECONDS="10").start()
    platform.kubectl.apply(tenant("seabreeze"))
    platform.kubectl.wait_for("hoatenant", "seabreeze", refused("SchemaCurrent", "MigrationTimedOut"), 60)
    platform.kubectl.wait_for("job", f"tenant-seabreeze-migrate-{HEAD}-2", lambda _: True, 40)
    platform.kubectl.wait_for("hoatenant", "seabreeze", is_ready, 60)


def test_a_provisioning_that_passes_its_deadline_is_undone_and_can_start_over(
    own_platform: Platform, job_runner: JobRunner
) -> None:
    platform = own_platform
    app_available(platform.kubectl)
    fault = job_runner.inject(Fault(job="tenant-", namespace=platform.namespace, image_pull_error=True))
    platform.operator(HOA_JOB_DEADLINE_SECONDS="12", HOA_PROVISIONING_DEADLINE_SECONDS="12").start()
    platform.kubectl.apply(tenant("seabreeze"))
    body = platform.kubectl.wait_for(
        "hoatenant",
        "seabreeze",
        lambda found: (
            condition(found, "Stalled")["reason"] == "ProvisioningDeadlineExceeded"
            and "was removed" in condition(found, "Stalled")["message"]
        ),
    )
    # The Job's own deadline is the same: which of the two comes first is chance.
    said = condition(body, "Stalled")["message"]
    assert re.match("RunMigrations was not done in time: (ImagePullFailed|MigrationTimedOut): Job tenant-", said), said
    assert condition(body, "SpecAccepted")["status"] == "True"
    assert body["status"]["phase"] == "Failed"
    settled(platform)
    assert databases(platform) == set()
    assert roles(platform, body["metadata"]["uid"]) == {}
    assert rows(platform, body["metadata"]["uid"]) == []
    for kind in ("ingress", "secret", "job"):
        assert platform.kubectl.list(kind, "-l", "hoaconnect.com/tenant=seabreeze") == [], kind
    job_runner.faults.remove(fault)
    job_runner.heal()
    platform.kubectl("annotate", "hoatenant", "seabreeze", "hoaconnect.com/retry=now")
    platform.kubectl.wait_for("hoatenant", "seabreeze", is_ready, 60)


def test_a_stopped_postgres_shows_and_heals(own_platform: Platform, own_postgres: PostgresServer) -> None:
    platform = own_platform
    app_available(platform.kubectl)
    platform.operator(HOA_RESYNC_SECONDS="4").start()
    bring_up(platform)
    own_postgres.stop()
    platform.kubectl.wait_for("hoads", "default", lambda body: condition(body, "Ready")["status"] == "False", 60)
    body = platform.kubectl.wait_for(
        "hoatenant", "seabreeze", lambda found: bool(found["status"].get("retry", {}).get("attempts", 0) >= 2), 60
    )
    assert body["status"]["retry"]["nextRetryTime"]
    own_postgres.start()
    platform.kubectl.wait_for("hoatenant", "seabreeze", lambda found: "retry" not in found["status"], 90)
    platform.kubectl.wait_for("hoads", "default", lambda found: condition(found, "Ready")["status"] == "True", 90)
    assert is_ready(platform.kubectl.get("hoatenant", "seabreeze"))


def test_a_lost_database_is_said_and_not_replaced(own_platform: Platform) -> None:
    platform = own_platform
    app_available(platform.kubectl)
    platform.operator().start()
    name = bring_up(platform)["status"]["database"]["name"]
    with psycopg.connect(platform.postgres.dsn(), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
    platform.kubectl("annotate", "hoatenant", "seabreeze", "example.com/poke=1")
    body = platform.kubectl.wait_for("hoatenant", "seabreeze", refused("DatabaseReady", "DatabaseLost"))
    assert condition(body, "Ready")["status"] == "False"
    assert databases(platform) == set()


def test_a_tenant_on_a_dead_server_holds_up_nobody(own_platform: Platform) -> None:
    platform = own_platform
    app_available(platform.kubectl)
    platform.kubectl.apply(
        {
            "apiVersion": "hoaconnect.com/v1alpha1",
            "kind": "HOADatabaseServer",
            "metadata": {"name": "dead"},
            "spec": {
                "endpoint": {"host": "127.0.0.1", "port": 9, "sslMode": "disable"},
                "adminSecretName": "postgres-admin",
                "scheduling": "Unschedulable",
            },
        }
    )
    platform.operator(HOA_CONCURRENCY="2").start()
    for number in range(6):
        platform.kubectl.apply(tenant(f"dead-{number}", database={"serverName": "dead"}))
    bring_up(platform)
    eventually(lambda: condition(platform.kubectl.get("hoatenant", "dead-0"), "DatabaseReady")["status"] == "False")

"""Room on servers and turns for Jobs, with many tenants at once: bounds hold, and nobody is held up by another."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from tests.cluster.jobs import Fault
from tests.cluster.operating import app_available, bring_up, condition, eventually, is_ready
from tests.cluster.platform import tenant
from tests.cluster.test_operator_refusals import refused
from tests.waiting import until

if TYPE_CHECKING:
    from tests.cluster.jobs import JobRunner
    from tests.cluster.platform import Platform

Json = dict[str, Any]


def _alias(platform: Platform, name: str) -> None:
    """Add a HOADatabaseServer that leads to the same Postgres, once the template is made."""
    kubectl = platform.kubectl
    kubectl.wait_for("hoads", "default", lambda body: condition(body, "TemplateReady")["status"] == "True", 60)
    spec = kubectl.get("hoads", "default")["spec"]
    kubectl.apply(
        {
            "apiVersion": "hoaconnect.com/v1alpha1",
            "kind": "HOADatabaseServer",
            "metadata": {"name": name},
            "spec": {**spec, "scheduling": "Unschedulable"},
        }
    )


def _running_jobs(platform: Platform) -> list[str]:
    """Return the tenants' Jobs that have not finished."""
    jobs = platform.kubectl.list("job", "-l", "hoaconnect.com/tenant")
    return [job["metadata"]["name"] for job in jobs if not job["status"].get("conditions")]


def test_tenants_applied_at_once_never_overfill_a_server(own_platform: Platform) -> None:
    kubectl = own_platform.kubectl
    app_available(kubectl)
    kubectl.patch("hoads", "default", {"spec": {"capacity": {"maxTenants": 2}}})
    own_platform.operator().start()
    kubectl.apply(
        *(tenant(f"at-once-{n}", database={"deletionPolicy": "Delete", "undeleteWindow": "0s"}) for n in range(5))
    )

    def settled() -> tuple[list[str], list[str]]:
        bodies = kubectl.list("hoatenant")
        full = [body for body in bodies if refused("SpecAccepted", "DatabaseServerFull")(body)]
        return [b["metadata"]["name"] for b in bodies if is_ready(b)], [b["metadata"]["name"] for b in full]

    eventually(lambda: tuple(map(len, settled())) == (2, 3), 60)
    ready, full = settled()
    said = condition(kubectl.get("hoatenant", full[0]), "Stalled")
    assert "raise spec.capacity.maxTenants" in said["message"]
    kubectl.delete("hoatenant", ready[0], "--timeout=30s")
    eventually(lambda: tuple(map(len, settled())) == (2, 2), 60)


def test_jobs_that_hang_on_one_server_hold_up_nobody_on_another(own_platform: Platform, job_runner: JobRunner) -> None:
    kubectl = own_platform.kubectl
    app_available(kubectl)
    job_runner.inject(Fault(job="tenant-hung", namespace=own_platform.namespace, hang=True, times=99))
    own_platform.operator(HOA_JOB_CONCURRENCY="4").start()
    _alias(own_platform, "other")
    kubectl.apply(*(tenant(f"hung-{n}", database={"serverName": "other"}) for n in range(8)))
    eventually(lambda: len(_running_jobs(own_platform)) == 3, 60)
    waiting = [b for b in kubectl.list("hoatenant") if refused("SchemaCurrent", "WaitingForTurn")(b)]
    eventually(lambda: sum(refused("SchemaCurrent", "WaitingForTurn")(b) for b in kubectl.list("hoatenant")) == 5, 30)
    assert all("4 migration Jobs run at once" in condition(b, "SchemaCurrent")["message"] for b in waiting)
    bring_up(own_platform)
    assert len([job for job in _running_jobs(own_platform) if "hung" in job]) == 3


def test_a_tenant_that_waits_for_its_turn_is_not_undone(own_platform: Platform, job_runner: JobRunner) -> None:
    kubectl = own_platform.kubectl
    app_available(kubectl)
    job_runner.inject(Fault(job="tenant-hung", namespace=own_platform.namespace, hang=True, times=2))
    own_platform.operator(
        HOA_JOB_CONCURRENCY="1", HOA_PROVISIONING_DEADLINE_SECONDS="8", HOA_JOB_DEADLINE_SECONDS="8"
    ).start()
    for number in range(2):
        kubectl.apply(tenant(f"hung-{number}"))
    eventually(lambda: any("hung" in job for job in _running_jobs(own_platform)))
    began = time.monotonic()
    kubectl.apply(tenant("seabreeze"))
    kubectl.wait_for("hoatenant", "seabreeze", refused("SchemaCurrent", "WaitingForTurn"))
    for number in range(2):
        kubectl.wait_for("hoatenant", f"hung-{number}", refused("Ready", "ProvisioningDeadlineExceeded"), 40)
    kubectl.wait_for("hoatenant", "seabreeze", is_ready, 20)
    assert time.monotonic() - began > 8, "it did not wait longer than the deadline"


def test_twenty_tenants_at_once_are_ready_within_a_minute(own_platform: Platform) -> None:
    kubectl = own_platform.kubectl
    app_available(kubectl)
    own_platform.operator().start()
    kubectl.wait_for("hoads", "default", lambda body: condition(body, "TemplateReady")["status"] == "True", 60)
    kubectl.apply(*(tenant(f"many-{n}") for n in range(20)))
    running: list[int] = []

    def ready() -> bool:
        running.append(len(_running_jobs(own_platform)))
        return all(map(is_ready, kubectl.list("hoatenant")))

    until(ready, lambda: str(kubectl("get", "hoat")), 60, 0.3)
    assert max(running) <= 12

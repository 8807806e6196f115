"""Deletion and back: what is deleted comes back to the same name within its window, and to nobody by accident."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg

from tests.cluster.jobs import Fault
from tests.cluster.operating import app_available, bring_up, condition, eventually, is_ready
from tests.cluster.platform import tenant
from tests.cluster.test_operator_deletion import REGISTRY, databases, on_record, roles, rows
from tests.cluster.test_operator_kills import mark, still_marked
from tests.cluster.test_operator_refusals import refused

if TYPE_CHECKING:
    from tests.cluster.jobs import JobRunner
    from tests.cluster.platform import Platform

WEEK = {"deletionPolicy": "Delete"}


def test_a_deleted_tenant_comes_back_whole_within_its_window(own_platform: Platform) -> None:
    kubectl = own_platform.kubectl
    app_available(kubectl)
    own_platform.operator().start()
    body = bring_up(own_platform, database=WEEK)
    tenant_id, name = body["status"]["tenantID"], body["status"]["database"]["name"]
    mark(own_platform, name)
    kubectl.delete("hoatenant", "seabreeze", "--timeout=30s")
    server = kubectl.wait_for("hoads", "default", lambda found: found["status"].get("retained") == 1)
    (entry,) = server["status"]["retainedDatabases"]
    assert (entry["tenantID"], "dropAfter" in entry) == (tenant_id, True)
    assert set(roles(own_platform, tenant_id).values()) == {False}
    back = bring_up(own_platform, database=WEEK, adoptionPolicy="IfUnclaimed")
    assert back["metadata"]["uid"] != body["metadata"]["uid"]
    assert (back["status"]["tenantID"], back["status"]["database"]["name"]) == (tenant_id, name)
    still_marked(own_platform, name)
    assert databases(own_platform) == {name}
    kubectl.wait_for("hoads", "default", lambda found: "retained" not in found["status"])
    told = {item["reason"]: item["message"] for item in kubectl.list("events")}
    assert "whose drop is cancelled" in told["DataTakenOver"]


def test_what_nobody_takes_over_is_dropped_when_its_window_is_over(own_platform: Platform) -> None:
    kubectl = own_platform.kubectl
    app_available(kubectl)
    own_platform.operator().start()
    body = bring_up(own_platform, database={**WEEK, "undeleteWindow": "4s"})
    kubectl.delete("hoatenant", "seabreeze", "--timeout=30s")
    assert rows(own_platform, body["metadata"]["uid"]) == [("Deleted", "seabreeze")]
    eventually(lambda: rows(own_platform, body["metadata"]["uid"]) == [])
    assert databases(own_platform) == set()
    assert roles(own_platform, body["status"]["tenantID"]) == {}
    assert on_record(own_platform) == [body["status"]["tenantID"]]
    kubectl.wait_for("hoads", "default", lambda found: "retained" not in found["status"])
    told = [item for item in kubectl.list("events") if item["involvedObject"]["kind"] == "HOADatabaseServer"]
    assert "DatabaseDropped" in {item["reason"] for item in told}


def test_another_company_of_that_name_is_not_handed_the_data(own_platform: Platform) -> None:
    kubectl = own_platform.kubectl
    app_available(kubectl)
    own_platform.operator().start()
    body = bring_up(own_platform)
    kubectl.delete("hoatenant", "seabreeze", "--timeout=30s")
    kubectl.apply(tenant("seabreeze", displayName="Seabreeze Sailing Club", adoptionPolicy="IfUnclaimed"))
    held = kubectl.wait_for(
        "hoatenant", "seabreeze", lambda found: condition(found, "SpecAccepted")["reason"] == "RetainedDataDiffers"
    )
    assert rows(own_platform, held["metadata"]["uid"]) == [], "nothing is made before a person has decided"
    kubectl.patch("hoatenant", "seabreeze", {"spec": {"adoptionPolicy": "Never"}})
    fresh = kubectl.wait_for("hoatenant", "seabreeze", is_ready, 60)
    assert fresh["status"]["tenantID"] != body["status"]["tenantID"]


def test_data_is_not_taken_over_onto_another_server_or_region(own_platform: Platform) -> None:
    kubectl = own_platform.kubectl
    app_available(kubectl)
    own_platform.operator().start()
    body = bring_up(own_platform)
    kubectl.delete("hoatenant", "seabreeze", "--timeout=30s")
    default = kubectl.get("hoads", "default")
    other = {key: default[key] for key in ("apiVersion", "kind", "spec")}
    kubectl.apply({**other, "metadata": {"name": "other"}})
    elsewhere: dict[str, dict[str, Any]] = {
        "DatabaseServerDiffers": {"database": {"serverName": "other"}},
        "RegionMismatch": {"region": "eu"},
    }
    for reason, spec in elsewhere.items():
        kubectl.apply(tenant("seabreeze", adoptionPolicy="IfUnclaimed", **spec))
        held = kubectl.wait_for("hoatenant", "seabreeze", refused("SpecAccepted", reason))
        assert rows(own_platform, held["metadata"]["uid"]) == [], "nothing is made before a person has decided"
        kubectl.delete("hoatenant", "seabreeze", "--timeout=10s")
    back = bring_up(own_platform, adoptionPolicy="IfUnclaimed", database={"serverName": "default"})
    assert back["status"]["tenantID"] == body["status"]["tenantID"]


def test_of_two_that_ask_for_the_same_data_one_gets_it(own_platform: Platform) -> None:
    kubectl = own_platform.kubectl
    app_available(kubectl)
    operator = own_platform.operator().start()
    tenant_id = bring_up(own_platform)["status"]["tenantID"]
    kubectl.delete("hoatenant", "seabreeze", "--timeout=30s")
    operator.stop()
    rivals = [tenant(name) for name in ("first", "second")]
    for body in rivals:
        body["metadata"]["annotations"] = {"hoaconnect.com/adopt-tenant-id": tenant_id}
    kubectl.apply(*rivals)
    operator.start()

    def outcome() -> list[str]:
        found = [kubectl.get("hoatenant", name) for name in ("first", "second")]
        return sorted("Ready" if is_ready(body) else condition(body, "SpecAccepted")["reason"] for body in found)

    eventually(lambda: outcome() in (["NothingToAdopt", "Ready"], ["Ready", "RetainedDataClaimed"]), 60)
    assert len(databases(own_platform)) == 1


def test_a_tenant_whose_hoatenant_was_lost_is_taken_over_at_once(own_platform: Platform) -> None:
    kubectl = own_platform.kubectl
    app_available(kubectl)
    operator = own_platform.operator().start()
    body = bring_up(own_platform)
    tenant_id, name = body["status"]["tenantID"], body["status"]["database"]["name"]
    mark(own_platform, name)
    operator.stop()
    kubectl.patch("hoatenant", "seabreeze", {"metadata": {"finalizers": None}})
    kubectl.delete("hoatenant", "seabreeze", "--timeout=30s")
    kubectl.apply(tenant("seabreeze"))
    operator.start()
    left = kubectl.wait_for(
        "hoatenant", "seabreeze", lambda found: condition(found, "SpecAccepted")["reason"] == "TenantRecordLeft"
    )
    assert "spec.adoptionPolicy to IfUnclaimed" in condition(left, "SpecAccepted")["message"]
    kubectl.patch("hoatenant", "seabreeze", {"spec": {"adoptionPolicy": "IfUnclaimed"}})
    back = kubectl.wait_for("hoatenant", "seabreeze", is_ready, 60)
    assert (back["status"]["tenantID"], databases(own_platform)) == (tenant_id, {name})
    still_marked(own_platform, name)
    with psycopg.connect(own_platform.postgres.dsn(REGISTRY)) as connection:
        (found,) = connection.execute("SELECT uid::text, state FROM tenants").fetchall()
    assert found == (back["metadata"]["uid"], "Active")


def test_data_that_was_taken_over_is_not_dropped_for_a_deadline(own_platform: Platform, job_runner: JobRunner) -> None:
    """The registry does not know that it was ever in service, as when it was restored from a copy of the first day."""
    kubectl = own_platform.kubectl
    app_available(kubectl)
    own_platform.operator(HOA_JOB_DEADLINE_SECONDS="6", HOA_PROVISIONING_DEADLINE_SECONDS="6").start()
    name = bring_up(own_platform)["status"]["database"]["name"]
    mark(own_platform, name)
    kubectl.delete("hoatenant", "seabreeze", "--timeout=30s")
    with psycopg.connect(own_platform.postgres.dsn(REGISTRY), autocommit=True) as connection:
        connection.execute("UPDATE tenants SET schema_revision = NULL")
    fault = job_runner.inject(Fault(job="tenant-", namespace=own_platform.namespace, image_pull_error=True))
    kubectl.apply(tenant("seabreeze", adoptionPolicy="IfUnclaimed"))
    # It begins 15 s after the first has ended, long past the provisioning's deadline.
    eventually(lambda: any(job["metadata"]["name"].endswith("-2") for job in kubectl.list("job")), 90)
    held = kubectl.get("hoatenant", "seabreeze")
    assert held["status"]["phase"] != "Failed"
    assert databases(own_platform) == {name}
    job_runner.faults.remove(fault)
    job_runner.heal()
    kubectl.wait_for("hoatenant", "seabreeze", is_ready, 90)
    still_marked(own_platform, name)


def test_a_takeover_that_has_begun_has_no_deadline(own_platform: Platform) -> None:
    """The server went away between the claim and the rest: undone, it would hold the data's drop for ever and never have it."""
    kubectl = own_platform.kubectl
    app_available(kubectl)
    own_platform.operator(HOA_JOB_DEADLINE_SECONDS="3", HOA_PROVISIONING_DEADLINE_SECONDS="3").start()
    first = bring_up(own_platform)
    kubectl.delete("hoatenant", "seabreeze", "--timeout=30s")
    port = kubectl.get("hoads", "default")["spec"]["endpoint"]["port"]
    kubectl.patch("hoads", "default", {"spec": {"endpoint": {"port": 1}}})
    kubectl.apply(tenant("seabreeze", adoptionPolicy="IfUnclaimed"))
    uid = kubectl.get("hoatenant", "seabreeze")["metadata"]["uid"]
    with psycopg.connect(own_platform.postgres.dsn(REGISTRY), autocommit=True) as connection:
        connection.execute("UPDATE placements SET claimants = ARRAY[%s::uuid]", [uid])

    def long_past_it(found: dict[str, Any]) -> bool:
        said = found["status"]
        return said.get("phase") == "Failed" or int(said.get("retry", {}).get("attempts", 0)) >= 5

    found = kubectl.wait_for("hoatenant", "seabreeze", long_past_it, 60)
    assert found["status"]["phase"] != "Failed", condition(found, "Ready")["message"]
    kubectl.patch("hoads", "default", {"spec": {"endpoint": {"port": port}}})
    back = kubectl.wait_for("hoatenant", "seabreeze", is_ready, 60)
    assert back["status"]["tenantID"] == first["status"]["tenantID"]


def test_a_tenant_in_service_is_not_undone_because_its_status_says_so(own_platform: Platform) -> None:
    """As after an outage that began before its first status was written, and lasted past its deadline."""
    kubectl = own_platform.kubectl
    app_available(kubectl)
    operator = own_platform.operator().start()
    body = bring_up(own_platform)
    name = body["status"]["database"]["name"]
    mark(own_platform, name)
    operator.stop()
    late = {
        **condition(body, "Stalled"),
        "status": "True",
        "reason": "ProvisioningDeadlineExceeded",
        "observedGeneration": body["metadata"]["generation"],
    }
    others = [each for each in body["status"]["conditions"] if each["type"] != "Stalled"]
    status = {"phase": "Failed", "onboarding": None, "conditions": [*others, late]}
    kubectl.patch_status("hoatenant", "seabreeze", status)
    operator.start()
    back = kubectl.wait_for(
        "hoatenant", "seabreeze", lambda found: condition(found, "Stalled")["status"] == "False" and is_ready(found), 60
    )
    assert back["status"]["phase"] == "Ready"
    assert databases(own_platform) == {name}
    still_marked(own_platform, name)

"""A registry that is older than its tenants: restored from a copy, or made anew. Their databases and Secrets are there."""

from __future__ import annotations

import copy
import subprocess
from typing import TYPE_CHECKING

import psycopg
import pytest

from tests.cluster.operating import app_available, bring_up, condition, eventually, is_ready, settled
from tests.cluster.platform import tenant
from tests.cluster.test_operator_blockers import obey, waits_for
from tests.cluster.test_operator_deletion import REGISTRY, databases, rows
from tests.cluster.test_operator_refusals import refused

if TYPE_CHECKING:
    from tests.cluster.platform import Json, Platform
    from tests.fix_postgres import PostgresServer

A_MONTH_AGO = "2026-01-01T00:00:00Z"


def forget(platform: Platform) -> None:
    """Make the registry what it was before any tenant."""
    with psycopg.connect(platform.postgres.dsn(REGISTRY), autocommit=True) as connection:
        connection.execute("TRUNCATE tenants, tenant_hosts, placements")


def grown_old(platform: Platform, name: str) -> None:
    """Let a tenant have been in service for long: its Jobs are cleaned away, and its onboarding was long ago."""
    platform.kubectl("delete", "job", "-l", f"hoaconnect.com/tenant={name}", "--wait=true")
    status: Json = copy.deepcopy(platform.kubectl.get("hoatenant", name)["status"])
    for entry in status["onboarding"]:
        entry["startedAt"] = A_MONTH_AGO
    platform.kubectl.patch_status("hoatenant", name, {"onboarding": status["onboarding"]})


def oid(platform: Platform, name: str) -> int:
    with psycopg.connect(platform.postgres.dsn()) as connection:
        row = connection.execute("SELECT oid::bigint FROM pg_database WHERE datname = %s", [name]).fetchone()
    assert row is not None, f"database {name} is gone"
    return int(row[0])


def test_tenants_that_the_registry_does_not_know_are_registered_anew(own_platform: Platform) -> None:
    platform = own_platform
    app_available(platform.kubectl)
    operator = platform.operator().start()
    body = bring_up(platform, database={"deletionPolicy": "Delete", "undeleteWindow": "0s"})
    database = body["status"]["database"]["name"]
    before = oid(platform, database)
    operator.stop()
    grown_old(platform, "seabreeze")
    forget(platform)
    platform.operator("operator-1").start()
    platform.kubectl.wait_for("hoatenant", "seabreeze", lambda found: "TenantRecordRebuilt" in told(platform), 60)
    platform.kubectl.wait_for("hoatenant", "seabreeze", is_ready, 60)
    settled(platform)
    assert databases(platform) == {database}
    assert oid(platform, database) == before
    with psycopg.connect(platform.postgres.dsn(REGISTRY)) as connection:
        rows = connection.execute("SELECT tenant_id::text, state, schema_revision IS NOT NULL FROM tenants").fetchall()
    assert rows == [(body["status"]["tenantID"], "Active", True)]
    assert platform.kubectl.get("hoatenant", "seabreeze")["status"]["tenantID"] == body["status"]["tenantID"]


def test_one_that_once_asked_for_data_by_its_id_goes_on_with_it(own_platform: Platform) -> None:
    """The annotation stays on the object. The registry knows nothing, then has the data as that of its owner before."""
    platform, kubectl = own_platform, own_platform.kubectl
    app_available(kubectl)
    operator = platform.operator().start()
    first = bring_up(platform, "earlier", slug="earlier")
    tenant_id, database = first["status"]["tenantID"], first["status"]["database"]["name"]
    kubectl.delete("hoatenant", "earlier", "--timeout=30s")
    heir = tenant("seabreeze")
    heir["metadata"]["annotations"] = {"hoaconnect.com/adopt-tenant-id": tenant_id}
    kubectl.apply(heir)
    uid = kubectl.wait_for("hoatenant", "seabreeze", is_ready, 60)["metadata"]["uid"]
    before = oid(platform, database)
    operator.stop()
    forget(platform)
    operator = platform.operator("operator-1").start()
    eventually(lambda: rows(platform, uid) == [("Active", "seabreeze")])
    operator.stop()
    with psycopg.connect(platform.postgres.dsn(REGISTRY), autocommit=True) as connection:
        connection.execute(
            "UPDATE tenants SET uid = %s, name = 'earlier', slug = 'earlier', state = 'Active' WHERE tenant_id = %s",
            [tenant_id, tenant_id],
        )
    platform.operator("operator-2").start()
    eventually(lambda: rows(platform, uid) == [("Active", "seabreeze")])
    kubectl.wait_for("hoatenant", "seabreeze", is_ready, 60)
    settled(platform)
    assert oid(platform, database) == before
    assert databases(platform) == {database}
    assert kubectl.get("hoatenant", "seabreeze")["status"]["tenantID"] == tenant_id


def told(platform: Platform) -> set[str]:
    """The reasons of all Events."""
    return {event["reason"] for event in platform.kubectl.list("events.events.k8s.io")}


@pytest.mark.parametrize("retained", [True, False], ids=["retained", "in service"])
def test_data_put_back_from_before_it_was_taken_over_waits_for_a_person(
    own_platform: Platform, own_postgres: PostgresServer, *, retained: bool
) -> None:
    """The whole Postgres, registry and data, comes from the copy of a night in which the data was another's still."""
    platform, kubectl = own_platform, own_platform.kubectl
    app_available(kubectl)
    operator = platform.operator().start()
    tenant_id = bring_up(platform, database={"deletionPolicy": "Delete"})["status"]["tenantID"]
    if retained:
        kubectl.delete("hoatenant", "seabreeze", "--timeout=30s")
    operator.stop()
    data, copy_of_it = own_postgres.folder / "data", own_postgres.folder / "copy"
    with psycopg.connect(platform.postgres.dsn(), autocommit=True) as connection:
        connection.execute("CHECKPOINT")
    own_postgres.stop()
    subprocess.run(["cp", "-a", data, copy_of_it], check=True)
    own_postgres.start()
    operator = platform.operator("operator-1").start()
    if not retained:
        kubectl.delete("hoatenant", "seabreeze", "--timeout=30s")
    assert bring_up(platform, adoptionPolicy="IfUnclaimed")["status"]["tenantID"] == tenant_id
    kubectl.patch("hoatenant", "seabreeze", {"spec": {"adoptionPolicy": "Never"}})
    settled(platform)
    operator.stop()
    own_postgres.stop()
    data.rename(own_postgres.folder / "lost")
    copy_of_it.rename(data)
    own_postgres.start()
    with psycopg.connect(platform.postgres.dsn(REGISTRY), autocommit=True) as connection:
        connection.execute("UPDATE placements SET drop_after = now() - interval '1 day'")
    platform.operator("operator-2").start()
    if retained:
        server = kubectl.wait_for("hoads", "default", lambda found: "RetainedDataInUse" in str(found["status"]), 60)
        assert "HOATenant seabreeze says" in server["status"]["retainedDatabases"][0]["problem"]
    where, reason = ("DatabaseReady", "TenantRecordLost") if retained else ("SpecAccepted", "TenantRecordLeft")
    held = kubectl.wait_for("hoatenant", "seabreeze", refused(where, reason), 60)
    settled(platform)
    kind = "deleted" if retained else "tenant"
    assert databases(platform) == {f"hoa_connect_{kind}_{tenant_id.replace('-', '')}"}
    told_to = condition(held, where)["message"]
    assert (
        f"hoaconnect.com/adopt-tenant-id={tenant_id}" if retained else "Set spec.adoptionPolicy to IfUnclaimed"
    ) in told_to
    kubectl("annotate", "hoatenant", "seabreeze", f"hoaconnect.com/adopt-tenant-id={tenant_id}")
    kubectl.wait_for("hoatenant", "seabreeze", is_ready, 60)
    assert databases(platform) == {held["status"]["database"]["name"]}


def logins(platform: Platform) -> list[tuple[str]]:
    """The roles of tenants that may log in."""
    query = "SELECT rolname FROM pg_roles WHERE rolcanlogin AND starts_with(rolname, 'hoa_connect_tenant_')"
    with psycopg.connect(platform.postgres.dsn()) as connection:
        return connection.execute(query).fetchall()


def test_a_tenant_whose_database_is_lost_too_is_not_begun_anew(own_platform: Platform) -> None:
    platform = own_platform
    app_available(platform.kubectl)
    operator = platform.operator().start()
    body = bring_up(platform)
    operator.stop()
    forget(platform)
    with psycopg.connect(platform.postgres.dsn(), autocommit=True) as connection:
        connection.execute(f'DROP DATABASE "{body["status"]["database"]["name"]}" WITH (FORCE)'.encode())
    platform.operator("operator-1").start()
    found = platform.kubectl.wait_for(
        "hoatenant",
        "seabreeze",
        lambda found: any(c["reason"] == "TenantRecordLost" for c in found["status"]["conditions"]),
        60,
    )
    said = next(c["message"] for c in found["status"]["conditions"] if c["reason"] == "TenantRecordLost")
    assert "Restore the registry" in said
    settled(platform)
    assert databases(platform) == set()
    platform.kubectl.delete("hoatenant", "seabreeze", "--wait=false")
    message = waits_for(platform.kubectl, "seabreeze", "TenantRecordLost")
    assert "Restore the registry" in message
    obey(platform.kubectl, message)
    platform.kubectl.wait_gone("hoatenant", "seabreeze")
    platform.kubectl.apply(tenant("seabreeze"))
    platform.kubectl.wait_for("hoatenant", "seabreeze", is_ready, 60)


def test_tenants_that_are_deleted_meanwhile_are_closed_and_retained_or_dropped(own_platform: Platform) -> None:
    platform, kubectl = own_platform, own_platform.kubectl
    app_available(kubectl)
    operator = platform.operator().start()
    kept = bring_up(platform)["status"]
    dropped = bring_up(platform, "dropped", database={"deletionPolicy": "Delete", "undeleteWindow": "0s"})["status"]
    operator.stop()
    forget(platform)
    kubectl("delete", "hoatenant", "seabreeze", "dropped", "--wait=false")
    operator = platform.operator("operator-1").start()
    for name in ("seabreeze", "dropped"):
        kubectl.wait_gone("hoatenant", name)
    retained = f"hoa_connect_deleted_{kept['tenantID'].replace('-', '')}"
    assert databases(platform) == {retained}
    assert logins(platform) == []
    with psycopg.connect(platform.postgres.dsn()) as connection:
        query = "SELECT rolname FROM pg_roles WHERE starts_with(rolname, %s)"
        assert connection.execute(query, [dropped["database"]["name"]]).fetchall() == []
    assert told(platform) >= {"TenantRecordRebuilt", "DatabaseRetained", "DatabaseDropped"}
    back = bring_up(platform, adoptionPolicy="IfUnclaimed")["status"]
    assert back["tenantID"] == kept["tenantID"]
    operator.stop()
    forget(platform)
    platform.operator("operator-2").start()
    uid = kubectl.get("hoatenant", "seabreeze")["metadata"]["uid"]
    eventually(lambda: rows(platform, uid) == [("Active", "seabreeze")])
    assert kubectl.get("hoatenant", "seabreeze")["status"]["tenantID"] == kept["tenantID"]


def test_one_that_is_deleted_while_the_registry_has_its_data_as_a_former_owners_is_closed(
    own_platform: Platform,
) -> None:
    """Nobody is served from it any more, nobody can log in to it, and it comes back under its own name."""
    platform, kubectl = own_platform, own_platform.kubectl
    app_available(kubectl)
    operator = platform.operator().start()
    bring_up(platform)
    kubectl.delete("hoatenant", "seabreeze", "--timeout=30s")
    heir = bring_up(platform, adoptionPolicy="IfUnclaimed")
    tenant_id, uid = heir["status"]["tenantID"], heir["metadata"]["uid"]
    operator.stop()
    assert uid != tenant_id
    with psycopg.connect(platform.postgres.dsn(REGISTRY), autocommit=True) as connection:
        connection.execute("UPDATE tenants SET uid = tenant_id WHERE tenant_id = %s", [tenant_id])
    kubectl("delete", "hoatenant", "seabreeze", "--wait=false")
    platform.operator("operator-1").start()
    kubectl.wait_gone("hoatenant", "seabreeze")
    assert rows(platform, uid) == [("Deleted", "seabreeze")]
    assert databases(platform) == {f"hoa_connect_deleted_{tenant_id.replace('-', '')}"}
    assert logins(platform) == []
    assert told(platform) >= {"TenantRecordRebuilt", "DatabaseRetained"}
    assert bring_up(platform, adoptionPolicy="IfUnclaimed")["status"]["tenantID"] == tenant_id

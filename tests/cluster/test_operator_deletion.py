"""Going away: Retain keeps the data closed, Delete drops it, and nothing is dropped that is not proved ours."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.cluster.jobs import Fault
from tests.cluster.operating import app_available, bring_up, condition, is_ready, settled
from tests.cluster.platform import tenant

if TYPE_CHECKING:
    from tests.cluster.jobs import JobRunner
    from tests.cluster.platform import Platform

REGISTRY = "hoa_connect_registry"


def databases(platform: Platform) -> set[str]:
    """Return the names of the tenants' databases on the server."""
    with psycopg.connect(platform.postgres.dsn()) as connection:
        found = connection.execute("SELECT datname FROM pg_database WHERE datname LIKE 'hoa\\_connect\\_%'").fetchall()
    return {name for (name,) in found if "template" not in name and name != REGISTRY}


def roles(platform: Platform, tenant_id: str) -> dict[str, bool]:
    """Return the tenant's roles and whether they may log in."""
    pattern = f"hoa_connect_tenant_{tenant_id.replace('-', '')}_%"
    with psycopg.connect(platform.postgres.dsn()) as connection:
        found = connection.execute("SELECT rolname, rolcanlogin FROM pg_roles WHERE rolname LIKE %s", [pattern])
        return dict(found.fetchall())


def rows(platform: Platform, uid: str) -> list[tuple[Any, ...]]:
    """Return the registry's rows of a HOATenant."""
    with psycopg.connect(platform.postgres.dsn(REGISTRY)) as connection:
        return connection.execute("SELECT state, slug FROM tenants WHERE uid = %s", [uid]).fetchall()


def on_record(platform: Platform) -> list[str]:
    """Return the ids of the tenants whose files the worker is to remove."""
    with psycopg.connect(platform.postgres.dsn(REGISTRY)) as connection:
        return [found for (found,) in connection.execute("SELECT tenant_id::text FROM dropped_tenants").fetchall()]


def test_delete_drops_everything(own_platform: Platform) -> None:
    app_available(own_platform.kubectl)
    own_platform.operator().start()
    body = bring_up(own_platform, database={"deletionPolicy": "Delete", "undeleteWindow": "0s"})
    uid, tenant_id = body["metadata"]["uid"], body["status"]["tenantID"]
    name = body["status"]["database"]["name"]
    assert name in databases(own_platform)
    own_platform.kubectl.delete("hoatenant", "seabreeze", "--timeout=30s")
    assert name not in databases(own_platform)
    assert roles(own_platform, tenant_id) == {}
    assert rows(own_platform, uid) == []
    assert on_record(own_platform) == [tenant_id]
    for kind in ("ingress", "secret", "job"):
        assert own_platform.kubectl.list(kind, "-l", "hoaconnect.com/tenant=seabreeze") == []


def test_retain_keeps_the_data_closed_and_frees_the_slug(own_platform: Platform) -> None:
    app_available(own_platform.kubectl)
    own_platform.operator().start()
    body = bring_up(own_platform)
    uid, tenant_id = body["metadata"]["uid"], body["status"]["tenantID"]
    own_platform.kubectl.delete("hoatenant", "seabreeze", "--timeout=30s")
    kept = f"hoa_connect_deleted_{tenant_id.replace('-', '')}"
    assert kept in databases(own_platform)
    assert set(roles(own_platform, tenant_id).values()) == {False}
    assert (rows(own_platform, uid), on_record(own_platform)) == ([("Deleted", "seabreeze")], [])
    server = own_platform.kubectl.wait_for("hoads", "default", lambda found: found["status"].get("retained") == 1)
    (entry,) = server["status"]["retainedDatabases"]
    assert "dropAfter" not in entry
    assert (entry["name"], entry["tenant"], entry["tenantID"]) == (kept, "seabreeze", tenant_id)
    again = bring_up(own_platform)
    assert again["status"]["tenantID"] != tenant_id
    assert kept in databases(own_platform)
    told = next(
        item["message"] for item in own_platform.kubectl.list("events") if item["reason"] == "RetainedDataFound"
    )
    assert f"hoaconnect.com/adopt-tenant-id={tenant_id}" in told
    message = condition(again, "SpecAccepted")["message"]
    assert f"data of an earlier seabreeze is kept (tenant {tenant_id} on default" in message


def test_retained_data_comes_back_to_a_new_tenant_that_asks_for_it(own_platform: Platform) -> None:
    kubectl = own_platform.kubectl
    app_available(kubectl)
    own_platform.operator().start()
    body = bring_up(own_platform)
    tenant_id, name = body["status"]["tenantID"], body["status"]["database"]["name"]
    with psycopg.connect(own_platform.postgres.dsn(name), autocommit=True) as connection:
        connection.execute("CREATE TABLE public.kept AS SELECT 7 AS seven")
    kubectl.delete("hoatenant", "seabreeze", "--timeout=30s")
    bring_up(own_platform, database={"deletionPolicy": "Delete", "undeleteWindow": "0s"})
    heir = tenant("heir", slug="heir", database={"deletionPolicy": "Delete", "undeleteWindow": "0s"})
    heir["metadata"]["annotations"] = {"hoaconnect.com/adopt-tenant-id": tenant_id}
    kubectl.apply(heir)
    refused = kubectl.wait_for(
        "hoatenant", "heir", lambda found: condition(found, "SpecAccepted")["reason"] == "SlugTaken"
    )
    assert "seabreeze is in its place" in condition(refused, "SpecAccepted")["message"]
    kubectl.delete("hoatenant", "seabreeze", "--timeout=30s")
    back = kubectl.wait_for("hoatenant", "heir", is_ready, 60)
    assert (back["status"]["tenantID"], back["status"]["database"]["name"]) == (tenant_id, name)
    assert databases(own_platform) == {name}
    with psycopg.connect(own_platform.postgres.dsn(name)) as connection:
        assert connection.execute("SELECT seven FROM public.kept").fetchone() == (7,)
    assert rows(own_platform, back["metadata"]["uid"]) == [("Active", "heir")]
    assert "DatabaseRestored" in _events(own_platform, "heir")
    kubectl.wait_for("hoads", "default", lambda found: "retained" not in found["status"])
    kubectl.delete("hoatenant", "heir", "--timeout=30s")
    assert databases(own_platform) == set()
    assert roles(own_platform, tenant_id) == {}
    assert rows(own_platform, back["metadata"]["uid"]) == []


def test_a_database_that_is_not_provably_the_tenants_is_not_dropped(own_platform: Platform) -> None:
    app_available(own_platform.kubectl)
    own_platform.operator().start()
    body = bring_up(own_platform, database={"deletionPolicy": "Delete", "undeleteWindow": "0s"})
    name = body["status"]["database"]["name"]
    settled(own_platform)  # a look that is still at work would put the comment back
    with psycopg.connect(own_platform.postgres.dsn(), autocommit=True) as connection:
        connection.execute(f"COMMENT ON DATABASE {name} IS 'mine now'")
    own_platform.kubectl.delete("hoatenant", "seabreeze", "--wait=false")
    stuck = own_platform.kubectl.wait_for(
        "hoatenant", "seabreeze", lambda found: condition(found, "DatabaseReady")["reason"] == "OwnershipNotProven"
    )
    assert stuck["status"]["phase"] == "Deleting"
    assert name in databases(own_platform)


def test_a_tenant_refused_is_deleted_without_touching_the_one_that_holds_the_slug(own_platform: Platform) -> None:
    app_available(own_platform.kubectl)
    own_platform.operator().start()
    first = bring_up(own_platform)
    own_platform.kubectl.apply(tenant("second", slug="seabreeze"))
    own_platform.kubectl.wait_for(
        "hoatenant", "second", lambda found: condition(found, "SpecAccepted")["reason"] == "SlugTaken"
    )
    own_platform.kubectl.delete("hoatenant", "second", "--timeout=30s")
    assert first["status"]["database"]["name"] in databases(own_platform)
    assert is_ready(own_platform.kubectl.get("hoatenant", "seabreeze"))


def _events(platform: Platform, name: str = "seabreeze") -> dict[str, str]:
    """Return what was told about a tenant: messages by reason, each told once."""
    told = [item for item in platform.kubectl.list("events") if item["involvedObject"]["name"] == name]
    reasons = [item["reason"] for item in told if item["involvedObject"]["kind"] == "HOATenant"]
    assert len(reasons) == len(set(reasons)), reasons
    return {item["reason"]: item["message"] for item in told}


@pytest.mark.parametrize(("policy", "word"), [("Retain", "DatabaseRetained"), ("Delete", "DatabaseDropped")])
def test_what_became_of_the_database_is_told(own_platform: Platform, policy: str, word: str) -> None:
    app_available(own_platform.kubectl)
    own_platform.operator().start()
    body = bring_up(own_platform, database={"deletionPolicy": policy, "undeleteWindow": "0s"})
    own_platform.kubectl.delete("hoatenant", "seabreeze", "--timeout=30s")
    told = _events(own_platform)
    assert "Deleting" in told
    name = body["status"]["database"]["name"]
    kept = name.replace("_tenant_", "_deleted_") if policy == "Retain" else name
    assert f"database {kept} on HOADatabaseServer default" in told[word]


def test_a_paused_tenant_says_why_it_is_not_deleted_and_goes_when_it_is_managed(own_platform: Platform) -> None:
    kubectl = own_platform.kubectl
    app_available(kubectl)
    own_platform.operator().start()
    bring_up(own_platform, database={"deletionPolicy": "Delete", "undeleteWindow": "0s"})
    kubectl.patch("hoatenant", "seabreeze", {"spec": {"managementPolicy": "Paused"}})
    kubectl.wait_for("hoatenant", "seabreeze", lambda found: found["status"]["phase"] == "Paused")
    kubectl.delete("hoatenant", "seabreeze", "--wait=false")
    body = kubectl.wait_for(
        "hoatenant", "seabreeze", lambda found: condition(found, "Ready")["reason"] == "DeletionPaused"
    )
    assert _events(own_platform)["DeletionPaused"] == condition(body, "Ready")["message"]
    assert body["status"]["database"]["name"] in databases(own_platform)
    command = condition(body, "Ready")["message"].split("kubectl ")[1]
    kubectl(*shlex.split(command))
    kubectl.wait_gone("hoatenant", "seabreeze")
    assert databases(own_platform) == set()


def test_a_tenant_whose_server_is_gone_for_good_goes_at_a_persons_word(own_platform: Platform) -> None:
    kubectl = own_platform.kubectl
    app_available(kubectl)
    own_platform.operator().start()
    body = bring_up(own_platform)
    kubectl.delete("hoads", "default")
    kubectl.delete("hoatenant", "seabreeze", "--wait=false")
    stuck = kubectl.wait_for(
        "hoatenant", "seabreeze", lambda found: condition(found, "DatabaseReady")["reason"] == "DatabaseServerMissing"
    )
    assert "docs/operations/lost-server.md" in condition(stuck, "DatabaseReady")["message"]
    kubectl("annotate", "hoatenant", "seabreeze", "hoaconnect.com/abandon-database-on=default")
    kubectl.wait_gone("hoatenant", "seabreeze")
    assert "DatabaseAbandoned" in _events(own_platform)
    assert rows(own_platform, body["metadata"]["uid"]) == [("Deleted", "seabreeze")]
    assert body["status"]["database"]["name"] in databases(own_platform)
    assert on_record(own_platform) == []


def _end_between_making_and_commenting(platform: Platform, name: str) -> None:
    """Leave the database as a kill between CREATE DATABASE and COMMENT does: closed, uncommented, its oid unknown."""
    with psycopg.connect(platform.postgres.dsn(REGISTRY), autocommit=True) as connection:
        connection.execute("UPDATE placements SET database_oid = NULL")
    with psycopg.connect(platform.postgres.dsn(), autocommit=True) as connection:
        connection.execute(f"COMMENT ON DATABASE {name} IS NULL")
        connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")


@pytest.mark.parametrize("policy", ["Delete", "Retain"])
def test_a_tenant_whose_database_was_just_made_when_the_operator_died_goes(
    own_platform: Platform, job_runner: JobRunner, policy: str
) -> None:
    kubectl = own_platform.kubectl
    job_runner.inject(Fault(job="tenant-", namespace=own_platform.namespace, image_pull_error=True))
    operator = own_platform.operator().start()
    kubectl.apply(tenant("seabreeze", database={"deletionPolicy": policy, "undeleteWindow": "0s"}))
    body = kubectl.wait_for(
        "hoatenant", "seabreeze", lambda found: condition(found, "SchemaCurrent")["reason"] == "ImagePullFailed"
    )
    operator.kill()
    name, tenant_id = body["status"]["database"]["name"], body["status"]["tenantID"]
    _end_between_making_and_commenting(own_platform, name)
    kubectl.delete("hoatenant", "seabreeze", "--wait=false")
    operator.start()
    kubectl.wait_gone("hoatenant", "seabreeze")
    if policy == "Delete":
        assert databases(own_platform) == set()
        assert roles(own_platform, tenant_id) == {}
        assert rows(own_platform, body["metadata"]["uid"]) == []
    else:
        assert databases(own_platform) == {f"hoa_connect_deleted_{tenant_id.replace('-', '')}"}
        assert rows(own_platform, body["metadata"]["uid"]) == [("Deleted", "seabreeze")]

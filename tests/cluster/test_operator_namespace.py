"""A namespace that is deleted is gone within seconds, no data goes with it, and a new installation takes it over."""

from __future__ import annotations

import json
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.cluster.operating import app_available, bring_up, condition, eventually, is_ready
from tests.cluster.platform import Platform
from tests.cluster.test_operator_deletion import REGISTRY, databases
from tests.cluster.test_operator_kills import mark, still_marked

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cluster.helm import Helm
    from tests.cluster.kubectl import Kubectl
    from tests.cluster.platform import Operator

POD: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "operator-0"},
    "spec": {
        "nodeName": "nowhere",
        "automountServiceAccountToken": False,
        "containers": [{"name": "operator", "image": "example.test/operator:1"}],
    },
}


def what_is_kept(platform: Platform) -> dict[str, Any]:
    """Return every database with its oid and comment, who may log in, and the registry's rows."""
    with psycopg.connect(platform.postgres.dsn()) as connection:
        query = (
            "SELECT datname, oid::text || ' ' || datallowconn || ' ' || coalesce(shobj_description(oid, 'pg_database'), '')"
            " FROM pg_database WHERE datname LIKE 'hoa\\_connect\\_%' UNION ALL"
            " SELECT rolname, rolcanlogin::text FROM pg_roles WHERE rolname LIKE 'hoa\\_connect\\_tenant\\_%'"
        )
        found: dict[str, str] = dict(connection.execute(query).fetchall())
    with psycopg.connect(platform.postgres.dsn(REGISTRY)) as connection:
        rows = connection.execute("SELECT to_jsonb(t) - 'updated_at' FROM tenants t ORDER BY name").fetchall()
    return {**found, "rows": [row for (row,) in rows]}


def is_terminating(kubectl: Kubectl) -> bool:
    """Whether the namespace's pods are told to end, which Kubernetes does before it deletes anything else there."""
    pod = kubectl.find("pod", "operator-0")
    return pod is not None and "deletionTimestamp" in pod["metadata"]


@contextmanager
def going(kubectl: Kubectl) -> Iterator[None]:
    """Delete the namespace while the operator's pod is in it; report the pod gone at the end."""
    kubectl.apply(POD)
    kubectl("delete", "namespace", kubectl.namespace, "--wait=false")
    yield
    kubectl("delete", "pod", "operator-0", "--force", "--grace-period=0")


@contextmanager
def as_the_kubelet(kubectl: Kubectl, *operators: Operator) -> Iterator[None]:
    """Be the kubelet of the operators' pod while its namespace is deleted: tell them to end, and report the pod gone."""
    with going(kubectl):
        eventually(lambda: is_terminating(kubectl))
        for operator in operators:
            operator.process.send(signal.SIGTERM)
        yield
        codes = {operator.process.wait(45) for operator in operators}
    # One that saw it by itself may be past its own end when the signal comes.
    assert codes <= {0, -signal.SIGTERM}


def is_gone_without_data(platform: Platform, before: dict[str, Any]) -> None:
    """Wait until the namespace is gone, and check that what is kept is what was kept before."""
    platform.kubectl.wait_gone("namespace", platform.namespace, 30)
    assert what_is_kept(platform) == before


def three_tenants(platform: Platform) -> list[str]:
    """Bring up tenants whose spec asks for as much to be done with them as it can; return their databases."""
    bodies = [
        bring_up(platform, "seabreeze", database={"deletionPolicy": "Delete", "undeleteWindow": "0s"}),
        bring_up(platform, "lakeside", deletionProtection="Enabled"),
        bring_up(platform, "hilltop"),
    ]
    platform.kubectl.patch("hoatenant", "hilltop", {"spec": {"managementPolicy": "Paused"}})
    names: list[str] = [body["status"]["database"]["name"] for body in bodies]
    for name in names:
        mark(platform, name)
    return names


def test_a_namespace_goes_with_its_tenants_and_without_their_data(own_platform: Platform) -> None:
    kubectl = own_platform.kubectl
    app_available(kubectl)
    leader, standby = own_platform.operator().start(), own_platform.operator("operator-1").start()
    names = three_tenants(own_platform)
    kubectl.delete("hoatenant", "hilltop", "--wait=false")  # and one is held back by its policy already
    kubectl.wait_for("hoatenant", "hilltop", lambda found: condition(found, "Ready")["reason"] == "DeletionPaused")
    before = what_is_kept(own_platform)
    with as_the_kubelet(kubectl, leader, standby):
        pass
    is_gone_without_data(own_platform, before)
    assert databases(own_platform) == set(names)


def test_an_operator_that_is_not_told_to_end_lets_go_too(own_platform: Platform) -> None:
    kubectl = own_platform.kubectl
    app_available(kubectl)
    leader = own_platform.operator().start()
    three_tenants(own_platform)
    before = what_is_kept(own_platform)
    with going(kubectl):
        assert leader.process.wait(45) == 0
        held = [body for body in kubectl.list("hoatenant") if body["metadata"].get("finalizers")]
        assert held == []
        assert leader.process.start().wait(45) == 0, "nothing is led in a namespace that goes"
    is_gone_without_data(own_platform, before)


def test_a_tenant_deleted_while_its_namespace_goes_keeps_its_data(own_platform: Platform) -> None:
    kubectl = own_platform.kubectl
    app_available(kubectl)
    operator = own_platform.operator().start()
    bring_up(own_platform, database={"deletionPolicy": "Delete", "undeleteWindow": "0s"})
    before = what_is_kept(own_platform)
    operator.pause()
    with going(kubectl):
        eventually(lambda: is_terminating(kubectl))
        kubectl.delete("hoatenant", "seabreeze", "--wait=false")
        operator.resume()
        kubectl.wait_gone("hoatenant", "seabreeze")
    is_gone_without_data(own_platform, before)


def test_without_an_operator_one_line_lets_a_namespace_go(own_platform: Platform) -> None:
    kubectl = own_platform.kubectl
    app_available(kubectl)
    operator = own_platform.operator().start()
    bring_up(own_platform)
    before = what_is_kept(own_platform)
    operator.kill()
    kubectl("delete", "namespace", kubectl.namespace, "--wait=false")
    kubectl.wait_for("hoatenant", "seabreeze", lambda found: "deletionTimestamp" in found["metadata"])
    names = kubectl("get", "hoat", "-o", "name").split()
    kubectl("patch", *names, "--type=merge", "-p", json.dumps({"metadata": {"finalizers": None}}))
    is_gone_without_data(own_platform, before)


@pytest.mark.parametrize("policy", ["IfUnclaimed"])
def test_a_new_installation_on_the_same_registry_takes_the_tenants_over(
    own_platform: Platform, helm: Helm, policy: str
) -> None:
    kubectl, plane = own_platform.kubectl, own_platform.plane
    app_available(kubectl)
    operator = own_platform.operator().start()
    before = {name: bring_up(own_platform, name)["status"]["tenantID"] for name in ("seabreeze", "lakeside")}
    names = databases(own_platform)
    mark(own_platform, min(names))
    with as_the_kubelet(kubectl, operator):
        pass
    kubectl.wait_gone("namespace", kubectl.namespace, 30)
    kubectl("create", "namespace", kubectl.namespace)
    again = Platform.install(kubectl, plane, own_platform.postgres, helm, own_platform.folder / "again")
    try:
        app_available(kubectl)
        again.operator().start()
        after = {name: bring_up(again, name, adoptionPolicy=policy)["status"]["tenantID"] for name in before}
        assert after == before
        assert databases(again) == names
        still_marked(again, min(names))
        assert all(is_ready(kubectl.get("hoatenant", name)) for name in before)
    finally:
        again.destroy()

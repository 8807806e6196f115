"""A registry that belongs to another cluster: nothing is done but saying so, until a person runs `take-over`."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import psycopg

from tests.cluster.operating import app_available, bring_up, condition, eventually, is_ready, settled
from tests.cluster.platform import tenant
from tests.cluster.test_operator_deletion import REGISTRY
from tests.cluster.test_operator_lead import leads

if TYPE_CHECKING:
    from tests.cluster.platform import Operator, Platform

REFUSED = "RegistryOfAnotherCluster"


def give_to(platform: Platform, cluster: str) -> None:
    """Say that the registry is another cluster's, whose leader ends whoever led."""
    with psycopg.connect(platform.postgres.dsn(REGISTRY), autocommit=True) as connection:
        connection.execute("UPDATE operator_epoch SET cluster = %s, epoch = epoch + 1", [cluster])


def rows(platform: Platform) -> list[tuple[Any, ...]]:
    with psycopg.connect(platform.postgres.dsn(REGISTRY)) as connection:
        query = "SELECT t::text, e.epoch, e.cluster FROM operator_epoch e LEFT JOIN tenants t ON true ORDER BY t.name"
        return connection.execute(query).fetchall()


def is_well(body: dict[str, Any]) -> bool:
    """Whether a tenant is Ready and says nothing of the refusal any more."""
    return is_ready(body) and condition(body, "SpecAccepted")["status"] == "True"


def take_over(operator: Operator, cluster: str) -> subprocess.CompletedProcess[str]:
    """Run the command as `kubectl exec` does in the operator's pod."""
    argv = [sys.executable, "-m", "hoa_operator", "take-over", cluster]
    return subprocess.run(argv, env=operator.process.env, capture_output=True, text=True, check=False, timeout=60)


def test_another_clusters_registry_is_left_alone_and_said_until_a_person_moves_it(own_platform: Platform) -> None:
    platform, kubectl, other = own_platform, own_platform.kubectl, str(uuid4())
    app_available(kubectl)
    first = platform.operator("operator-0").start()
    bring_up(platform)
    settled(platform)
    with psycopg.connect(platform.postgres.dsn(REGISTRY)) as connection:
        found = connection.execute("SELECT cluster::text FROM operator_epoch").fetchone()
    assert found == (kubectl("get", "namespace", "kube-system", "-o", "jsonpath={.metadata.uid}"),)

    give_to(platform, other)
    before = rows(platform)
    kubectl.patch("hoatenant", "seabreeze", {"spec": {"displayName": "Seabreeze Living"}})
    eventually(lambda: not first.process.running)
    refused = platform.operator("operator-1").start()
    kubectl.apply(tenant("pinnacle"))
    for name in ("seabreeze", "pinnacle"):
        kubectl.wait_for("hoatenant", name, lambda body: condition(body, "SpecAccepted")["reason"] == REFUSED, 60)
    served = kubectl.get("hoatenant", "seabreeze")
    assert condition(served, "Ready")["status"] == "True"
    assert other in condition(served, "Stalled")["message"]
    assert not refused.answers("readyz")
    assert refused.answers("livez")

    orphans = subprocess.run(
        [sys.executable, "-m", "hoa_operator", "orphans"],
        env=refused.process.env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert orphans.returncode == 4
    assert f"could not look: the registry: {REFUSED}" in orphans.stderr
    assert "hoa_connect_tenant_" not in orphans.stdout, "another cluster's data is no orphan of this one"

    wrong = take_over(refused, str(uuid4()))
    assert (wrong.returncode, wrong.stdout) == (1, "")
    assert f"belongs to cluster {other}" in wrong.stderr
    assert rows(platform) == before

    done = take_over(refused, other)
    assert (done.returncode, done.stderr) == (0, "")
    eventually(lambda: leads(refused) and refused.answers("readyz"), 40)
    for name in ("seabreeze", "pinnacle"):
        kubectl.wait_for("hoatenant", name, is_well, 60)

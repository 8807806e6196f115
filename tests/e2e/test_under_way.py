"""The platform is changed while a company works with it: its capacity, its pods, its release; and taken away and back."""

from __future__ import annotations

import datetime as dt
import subprocess
import time

import httpx
import pykube
import pytest

from hack.cluster import lifecycle
from hack.cluster.paths import Paths
from tests.e2e.cluster import NAMESPACE, Cluster, condition
from tests.e2e.visitor import Visitor
from tests.figures import record
from tests.waiting import until

RELEASE = "hoa-connect"


def _run(*argv: str) -> str:
    done = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, f"{' '.join(argv)}: {done.stdout}{done.stderr}"
    return done.stdout


def _kubectl(*argv: str) -> str:
    return _run("kubectl", "-n", NAMESPACE, *argv)


def _helm(*argv: str) -> str:
    return _run("helm", "--namespace", NAMESPACE, *argv)


def _fails_none(visitor: Visitor, what: str) -> None:
    """Hold a visitor's failures to none, and tell the figures of them."""
    note = f"of {visitor.reads} reads and {visitor.writes} writes by someone signed in, at most 20/s"
    record(f"failed requests during {what}", len(visitor.failures), 0, note=note)
    assert visitor.failures == []
    assert visitor.reads > 20
    assert visitor.writes > 2


def _more(visitor: Visitor, who: str, count: int = 30) -> None:
    """Wait until the visitor was answered so often again, or not as they should be."""
    before = visitor.answered

    def enough() -> bool:
        return visitor.error is not None or bool(visitor.failures) or visitor.answered > before + count

    until(enough, f"{who} to answer the visitor")


@pytest.mark.figures
def test_a_rollout_of_the_app_fails_no_request(cluster: Cluster) -> None:
    tenant = cluster.make_tenant("birch")
    with Visitor.of(cluster, tenant) as visitor:
        _kubectl("rollout", "restart", "deployment/hoa-connect-app")
        _kubectl("rollout", "status", "deployment/hoa-connect-app", "--timeout=180s")
        _more(visitor, "the new pods")
    _fails_none(visitor, "a rollout of the app")
    cluster.remove(tenant)


@pytest.mark.figures
def test_own_capacity_and_back_fails_no_request(cluster: Cluster) -> None:
    tenant = cluster.make_tenant("estate", limits={"cpu": "400m", "memory": "256Mi"})
    deployments = pykube.Deployment.objects(cluster.api).filter(namespace=NAMESPACE)
    name = f"tenant-{tenant.name}-app"
    with Visitor.of(cluster, tenant) as visitor:
        _more(visitor, "the shared pods")
        tenant.patch({"spec": {"placement": "Dedicated"}})
        until(lambda: _serves(cluster, tenant.name, name), "the tenant's own pods to serve", 180)
        own = deployments.get(name=name)
        assert own.obj["status"]["readyReplicas"] >= 1
        _more(visitor, "the tenant's own pods")
        tenant.patch({"spec": {"placement": "Shared"}})
        until(lambda: condition(tenant, "Ready") and deployments.get_or_none(name=name) is None, "the pods to go", 180)
        _more(visitor, "the shared pods")
    _fails_none(visitor, "a change of placement and back")
    cluster.remove(tenant)


def _serves(cluster: Cluster, tenant: str, service: str) -> bool:
    ingress = pykube.Ingress.objects(cluster.api).filter(namespace=NAMESPACE).get(name=f"tenant-{tenant}")
    backends = [
        path["backend"]["service"]["name"] for rule in ingress.obj["spec"]["rules"] for path in rule["http"]["paths"]
    ]
    return set(backends) == {service}


@pytest.mark.figures
def test_a_rotation_of_credentials_fails_no_request(cluster: Cluster) -> None:
    tenant = cluster.make_tenant("meadow")
    before = tenant.obj["status"]["credentials"]["login"]
    with Visitor.of(cluster, tenant) as visitor:
        _more(visitor, "the app with the login before")
        # Times have whole seconds: the request must be younger than the credentials.
        now = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=1)
        tenant.patch({"spec": {"credentials": {"rotateRequestedAt": now.strftime("%Y-%m-%dT%H:%M:%SZ")}}})

        def rotated() -> bool:
            return condition(tenant, "Ready") and tenant.obj["status"]["credentials"]["login"] != before

        until(rotated, "the credentials to be rotated", 60)
        _more(visitor, "the app with the new login", 60)
    _fails_none(visitor, "a rotation of credentials")
    cluster.remove(tenant)


def test_helm_test_passes() -> None:
    assert "Phase:          Succeeded" in _helm("test", RELEASE, "--timeout=120s")


def _leader(cluster: Cluster) -> str:
    leases = pykube.objects.object_factory(cluster.api, "coordination.k8s.io/v1", "Lease").objects(cluster.api)
    lease = leases.filter(namespace=NAMESPACE).get(name="hoa-connect-operator")
    return str(lease.obj["spec"].get("holderIdentity", ""))


@pytest.mark.figures
def test_a_rollout_of_the_operator_with_another_setting_fails_no_request(cluster: Cluster) -> None:
    """An upgrade from the previous build is tests/cluster/test_upgrade_served.py's."""
    chart = str(Paths.from_env().repository / "charts" / "hoa-connect")
    tenant = cluster.make_tenant("orchard")
    ingresses = pykube.Ingress.objects(cluster.api).filter(namespace=NAMESPACE)
    route = ingresses.get(name=f"tenant-{tenant.name}").obj["metadata"]
    with Visitor.of(cluster, tenant) as visitor:
        for level in ("debug", "info"):
            leader = _leader(cluster)
            options = ["--reset-then-reuse-values", f"--set=operator.logLevel={level}", "--wait", "--timeout=300s"]
            _helm("upgrade", RELEASE, chart, *options)
            until(lambda leader=leader: _leader(cluster) not in ("", leader), "a new pod to lead", 60)  # type: ignore[misc]
            tenant.patch({"spec": {"displayName": f"Orchard at {level}"}})
            until(lambda: condition(tenant, "Ready"), "the new leader to carry out a change", 60)
        _more(visitor, "the app")
    _fails_none(visitor, "a rollout of the operator with another setting")
    assert ingresses.get(name=route["name"]).obj["metadata"]["uid"] == route["uid"]
    cluster.remove(tenant)


@pytest.mark.figures
def test_helm_upgrade_and_rollback_fail_no_request(cluster: Cluster) -> None:
    chart = str(Paths.from_env().repository / "charts" / "hoa-connect")
    tenant = cluster.make_tenant("cedar")
    with Visitor.of(cluster, tenant) as visitor:
        _helm(
            "upgrade",
            RELEASE,
            chart,
            "--reset-then-reuse-values",
            "--set=app.logLevel=debug",
            "--wait",
            "--timeout=300s",
        )
        assert "HOA_LOG_LEVEL=debug" in _kubectl("set", "env", "deployment/hoa-connect-app", "--list")
        _helm("rollback", RELEASE, "--wait", "--timeout=300s")
        assert "HOA_LOG_LEVEL=debug" not in _kubectl("set", "env", "deployment/hoa-connect-app", "--list")
        _more(visitor, "the app as it was before")
    _fails_none(visitor, "an upgrade of the platform and its rollback")
    cluster.remove(tenant)


def test_a_second_up_takes_seconds_and_an_uninstall_loses_nothing(cluster: Cluster) -> None:
    tenant = cluster.make_tenant("harvest")
    link = cluster.mailed_link(tenant.obj["spec"]["admin"]["email"], "/invitation/")
    _helm("uninstall", RELEASE, "--wait", "--timeout=300s")
    tenant.reload()
    until(lambda: cluster.get(f"{tenant.name}.localhost", "/sign-in").status_code in (404, 502, 503), "no one to serve")

    lifecycle.up(Paths.from_env(), cluster.port)
    until(lambda: condition(tenant, "Ready"), "the tenant to be Ready again", 180)
    host = f"{tenant.name}.localhost"
    until(lambda: cluster.get(host, "/sign-in").status_code == 200, "the tenant to be served again", 60)
    # The invitation from before is a row of the company's own database.
    assert cluster.get(host, httpx.URL(link).raw_path.decode()).status_code == 200

    started = time.monotonic()
    lifecycle.up(Paths.from_env(), cluster.port)
    assert time.monotonic() - started < 30

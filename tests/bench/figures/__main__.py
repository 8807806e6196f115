"""`python -m tests.bench.figures`: measure the platform on the running local cluster and print one table."""

from __future__ import annotations

import argparse
import os
import secrets
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pykube

from hack.cluster.paths import Paths
from tests.bench.figures import life
from tests.bench.figures.audit import AuditLog
from tests.bench.figures.fleet import (
    NAMESPACE,
    Child,
    Fleet,
    Wait,
    is_ready,
    leads_to,
    ready_after,
    reconciles,
    repair_seconds,
    until,
)
from tests.bench.figures.load import drive
from tests.bench.figures.portal import Portal
from tests.bench.figures.table import Figure, render, save

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

OPERATOR = ":hoa-connect-operator"
MEBIBYTE = 1024 * 1024


@dataclass(frozen=True)
class Run:
    """What every measurement works with."""

    api: pykube.HTTPClient
    fleet: Fleet
    audit: AuditLog
    portal: Portal


def provisioning(run: Run) -> Iterator[Figure]:
    """Ten one by one, their writes, then twenty at once."""
    seconds, writes, patches = [], [], []
    for number in range(10):
        mark = run.audit.mark()
        tenant = run.fleet.apply(f"one-{number}")
        seconds.append(ready_after(tenant))
        until(lambda tenant=tenant: _mailed(tenant), f"the welcome mail of {tenant.name}")  # type: ignore[misc]
        made = run.audit.writes(mark, OPERATOR)
        writes.append(len(made))
        patches.append(sum(write.resource == "hoatenants" and write.verb == "patch" for write in made))
    yield Figure("apply to Ready, one by one, p50 of 10", statistics.median(seconds), "s", 10)
    yield Figure("apply to Ready, one by one, slowest of 10", max(seconds), "s")
    yield Figure("API writes per onboarding, p50", statistics.median(writes), "", note="welcome mail included")
    yield Figure(
        "patches of the tenant object per creation", max(patches), "", 3, "the finalizer; kopf itself writes none"
    )
    started = time.monotonic()
    tenants = [run.fleet.apply(f"many-{number}") for number in range(20)]
    for tenant in tenants:
        until(lambda tenant=tenant: is_ready(tenant), f"{tenant.name} to be Ready", Wait(limit=300))  # type: ignore[misc]
    yield Figure("20 applied at once, all Ready after", time.monotonic() - started, "s", 60)


def _mailed(tenant: Any) -> bool:
    tenant.reload()
    conditions = tenant.obj.get("status", {}).get("conditions", [])
    return any(c["type"] == "WelcomeMailSent" and c["status"] == "True" for c in conditions)


def steadiness(run: Run) -> Iterator[Figure]:
    """A label nobody asked about makes every tenant reconcile; none may write."""
    tenants = run.fleet.tenants()
    for tenant in tenants:
        until(lambda tenant=tenant: _mailed(tenant), f"the welcome mail of {tenant.name}")  # type: ignore[misc]
    mark, before = run.audit.mark(), reconciles(run.api)
    for tenant in tenants:
        tenant.patch({"metadata": {"labels": {"hoaconnect.com/figures-touched": secrets.token_hex(4)}}})

    def looked() -> bool:
        now = reconciles(run.api)
        return now.done - before.done >= len(tenants) and now.waiting == 0

    until(looked, "the operator to have looked at every tenant that was touched")
    writes = run.audit.writes(mark, OPERATOR)
    note = f"{len(tenants)} tenants touched" + (f": {sorted({w.resource for w in writes})}" if writes else "")
    yield Figure("API writes of no-op reconciles", len(writes), "", 0, note)


def repairs(run: Run) -> Iterator[Figure]:
    """Every kind of child, of a tenant with capacity of its own, deleted and edited."""
    tenant = run.fleet.apply("own", placement="Dedicated", limits={"cpu": "200m", "memory": "256Mi"})
    name = f"tenant-{tenant.name}"
    own_pods = f"{tenant.name} to be served by its own pods"
    until(lambda: leads_to(run.api, name, f"{name}-app"), own_pods, Wait(limit=180))
    children = [
        Child(pykube.Ingress, name, {"spec": {"rules": [{"host": "edited.localhost"}]}}),
        Child(pykube.Deployment, f"{name}-app", {"spec": {"revisionHistoryLimit": 7}}),
        Child(pykube.Service, f"{name}-app", {"spec": {"ports": [{"name": "http", "port": 80, "targetPort": 1}]}}),
        Child(pykube.PodDisruptionBudget, f"{name}-app", {"spec": {"maxUnavailable": 2}}),
        Child(pykube.HorizontalPodAutoscaler, f"{name}-app", {"spec": {"maxReplicas": 19}}),
        Child(pykube.Secret, f"{name}-migrator", {"data": {"PGHOST": "YWx0ZXJlZA=="}}),
        # A password written into this one is taken as a wish to rotate, and the migrator's is made anew.
        Child(pykube.Secret, f"{name}-credentials", None),
    ]
    edited = {
        child.kind.kind: repair_seconds(run.api, child, lambda found, edit=child.edit: found.patch(edit))  # type: ignore[misc]
        for child in children
        if child.edit is not None
    }
    # Last: with its Deployment gone the tenant is served by the shared app for a while, and its Ingress says so.
    deleted = {child.kind.kind: repair_seconds(run.api, child, lambda found: found.delete()) for child in children}
    for how, seconds in (("deleted", deleted), ("edited", edited)):
        slowest = max(seconds, key=lambda kind: seconds[kind])
        note = f"{slowest}; of {', '.join(sorted(seconds))}"
        yield Figure(f"child {how}, slowest repair", seconds[slowest], "s", 3, note)


def memory(run: Run) -> Iterator[Figure]:
    """Working set as metrics-server reports it, largest pod of each component."""
    for component, bar in (("operator", 150), ("app", 200)):
        answer = run.api.get(
            version="metrics.k8s.io/v1beta1",
            url="pods",
            namespace=NAMESPACE,
            params={"labelSelector": f"app.kubernetes.io/component={component}"},
        )
        answer.raise_for_status()
        used = [sum(_bytes(c["usage"]["memory"]) for c in pod["containers"]) for pod in answer.json()["items"]]
        count = len(run.fleet.tenants())
        yield Figure(f"memory, largest {component} pod", max(used) / MEBIBYTE, "MiB", bar, f"with {count} tenants")


def _bytes(quantity: str) -> float:
    for suffix, factor in (("Ki", 1024), ("Mi", MEBIBYTE), ("Gi", 1024 * MEBIBYTE)):
        if quantity.endswith(suffix):
            return float(quantity.removesuffix(suffix)) * factor
    return float(quantity)


def requests(run: Run) -> Iterator[Figure]:
    """A signed-in page and a signed-in API read, 50 at once, on a tenant whose tier does not hold them back."""
    limits = {"requestsPerSecond": 100_000, "concurrentRequests": 1_000, "databaseConnections": 40}
    tenant = run.fleet.apply("load", limits=limits)
    ready_after(tenant)
    visitor = run.portal.become_owner(tenant)
    reads = {
        "page": ("/people", {"Cookie": visitor.cookie}),
        "API read": ("/api/v1/communities", {"Authorization": f"Bearer {visitor.token}"}),
    }
    for name, (path, headers) in reads.items():
        url, sent = f"{run.portal.base}{path}", {"Host": visitor.host, **headers}
        drive(url, sent, seconds=3)
        load = drive(url, sent)
        note = f"{load.requests / load.seconds:.0f} requests/s, {load.errors} errors"
        yield Figure(f"signed-in {name}, 50 at once, mean", load.mean, "ms", 200, note)
        yield Figure(f"signed-in {name}, 50 at once, p50", load.p50, "ms")
        yield Figure(f"signed-in {name}, 50 at once, p95", load.p95, "ms")
        yield Figure(
            f"signed-in {name}, 50 at once, errors", load.errors, "", 0, "while the app is scaled out under it"
        )


def life_of_a_tenant(_: Run) -> Iterator[Figure]:
    """Every change, under every fault: what the tests measure that prove it."""
    yield from life.measured()


MEASURES: dict[str, Callable[[Run], Iterator[Figure]]] = {
    measure.__name__: measure for measure in (provisioning, steadiness, repairs, memory, requests, life_of_a_tenant)
}


def main() -> int:
    """1 when a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--json", type=Path, default=Path("build/figures.json"), help="where to write the figures as JSON"
    )
    parser.add_argument("--only", choices=MEASURES, nargs="+", default=list(MEASURES), help="which to measure; all")
    arguments = parser.parse_args()
    paths = Paths.from_env()
    api = pykube.HTTPClient(pykube.KubeConfig.from_file(str(paths.kubeconfig)))
    fleet = Fleet(api, f"fig-{secrets.token_hex(2)}")
    run = Run(api, fleet, AuditLog(paths.audit_log), Portal(int(os.environ.get("HOA_PORT", "8080"))))
    figures: list[Figure] = []
    try:
        for name in arguments.only:
            for figure in MEASURES[name](run):
                figures.append(figure)
                sys.stderr.write(f"    {figure.name}: {figure.value:.4g} {figure.unit} {figure.note}\n")
    finally:
        fleet.clear()
    sys.stdout.write(render(figures) + "\n")
    save(figures, arguments.json)
    return 0 if all(figure.holds for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())

"""Tenants made, broken and removed on a live cluster, and how long each takes to come right."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pykube
from prometheus_client.parser import text_string_to_metric_families

from tests import waiting

if TYPE_CHECKING:
    from collections.abc import Callable

NAMESPACE = "hoa-connect"
GROUP_VERSION = "hoaconnect.com/v1alpha1"


class HOATenant(pykube.objects.NamespacedAPIObject):  # type: ignore[misc]
    """One management company, as the API server stores it."""

    version = GROUP_VERSION
    endpoint = "hoatenants"
    kind = "HOATenant"


@dataclass(frozen=True)
class Wait:
    """How long to wait for a condition before giving up, and how often to look; seconds."""

    limit: float = 120.0
    every: float = 0.05


class Fleet:
    """The tenants this run makes; everything it made is removed by `clear`."""

    def __init__(self, api: pykube.HTTPClient, prefix: str) -> None:
        self.api = api
        self.prefix = prefix

    def apply(self, suffix: str, **spec: Any) -> HOATenant:
        """Create a tenant named after the run's prefix and `suffix`."""
        name = f"{self.prefix}-{suffix}"
        body = {
            "apiVersion": GROUP_VERSION,
            "kind": "HOATenant",
            "metadata": {"name": name, "namespace": NAMESPACE, "labels": {"hoaconnect.com/figures": self.prefix}},
            "spec": {
                "displayName": f"Figures {suffix}",
                "admin": {"name": "Figures", "email": f"admin@{name}.example"},
                "database": {"deletionPolicy": "Delete", "undeleteWindow": "0s"},
                **spec,
            },
        }
        tenant = HOATenant(self.api, body)
        tenant.create()
        return tenant

    def tenants(self) -> list[HOATenant]:
        """Every tenant of this run that still exists."""
        ours = {"hoaconnect.com/figures": self.prefix}
        return list(HOATenant.objects(self.api).filter(namespace=NAMESPACE, selector=ours))

    def clear(self) -> None:
        """Delete every tenant of this run and wait until they are gone."""
        for tenant in self.tenants():
            tenant.delete()
        until(lambda: not self.tenants(), "the run's tenants to be gone", Wait(limit=180, every=0.5))


def until(check: Callable[[], bool], what: str, wait: Wait | None = None) -> float:
    """Poll until `check` is true; the seconds it took."""
    wait = wait or Wait()
    started = time.monotonic()
    waiting.until(check, what, wait.limit, wait.every)
    return time.monotonic() - started


_FILLED_IN = ("clusterIP", "clusterIPs", "replicas")


def is_ready(tenant: HOATenant) -> bool:
    """Whether the Ready condition is True for the generation that is stored now."""
    tenant.reload()
    status = tenant.obj.get("status", {})
    return bool(
        status.get("observedGeneration") == tenant.obj["metadata"]["generation"]
        and any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions", []))
    )


@dataclass(frozen=True)
class Reconciles:
    """Of tenants: how many the operator has finished since it started, and how many are queued or at work."""

    done: float
    waiting: float


def reconciles(api: pykube.HTTPClient) -> Reconciles:
    """What the operator's pod tells of itself, read through the API server."""
    operator = {"app.kubernetes.io/component": "operator"}
    pod = next(iter(pykube.Pod.objects(api).filter(namespace=NAMESPACE, selector=operator)))
    answer = api.get(version="v1", url=f"pods/{pod.name}:9090/proxy/metrics", namespace=NAMESPACE)
    answer.raise_for_status()
    samples = [sample for family in text_string_to_metric_families(answer.text) for sample in family.samples]

    def total(name: str, **labels: str) -> float:
        return sum(s.value for s in samples if s.name == name and labels.items() <= s.labels.items())

    done = total("hoa_operator_reconciles_total", kind="tenant")
    return Reconciles(done, total("hoa_operator_queue_depth") + total("hoa_operator_reconciles_running"))


def leads_to(api: pykube.HTTPClient, name: str, service: str) -> bool:
    """Whether the Ingress of this name leads to this Service and no other."""
    ingress = pykube.Ingress.objects(api).filter(namespace=NAMESPACE).get_or_none(name=name)
    rules = ingress.obj["spec"]["rules"] if ingress else []
    backends = {path["backend"]["service"]["name"] for rule in rules for path in rule["http"]["paths"]}
    return backends == {service}


def ready_after(tenant: HOATenant) -> float:
    """Seconds until the tenant is Ready, by this process's clock (the API's timestamps have whole seconds only)."""
    return until(lambda: is_ready(tenant), f"{tenant.name} to be Ready", Wait(limit=180))


@dataclass(frozen=True)
class Child:
    """Something the operator made; without `edit` a new one need only hold the same keys."""

    kind: type[Any]
    name: str
    edit: dict[str, Any] | None


def repair_seconds(api: pykube.HTTPClient, child: Child, breakage: Callable[[Any], None]) -> float:
    """Break a child and wait until a child of that name stands again with what it stood for before."""
    objects = child.kind.objects(api).filter(namespace=NAMESPACE)
    before = objects.get(name=child.name)
    wanted = _essence(before.obj, values=child.edit is not None)
    breakage(before)

    def whole() -> bool:
        found = objects.get_or_none(name=child.name)
        if found is None or "deletionTimestamp" in found.obj["metadata"]:
            return False
        return _essence(found.obj, values=child.edit is not None) == wanted

    return until(whole, f"{child.kind.kind} {child.name} to be repaired", Wait(limit=60, every=0.02))


def _essence(obj: dict[str, Any], *, values: bool) -> dict[str, Any]:
    """What was meant: without what the cluster fills in or an autoscaler counts."""
    spec = {key: value for key, value in obj.get("spec", {}).items() if key not in _FILLED_IN}
    data = obj.get("data", {})
    return {"spec": spec, "data": data if values else sorted(data), "labels": obj["metadata"].get("labels", {})}

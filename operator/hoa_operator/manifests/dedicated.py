"""A tenant's own capacity: Deployment, Service, PodDisruptionBudget and HPA of the same app image.

The pods are the shared app's own pods (image, mounts, probes, security) as the chart deployed them, with the tier's
cpu and memory and one tenant to serve. Their component label is `tenant`, so that the shared Service never selects
them.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hoa_operator import names, quantities
from hoa_operator.kinds import DEPLOYMENT, PDB, SERVICE, Object
from hoa_operator.manifests.meta import Family, Manifest, stamped

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hoa_operator.tiers import Limits


@dataclass(frozen=True)
class DedicatedApp:
    """Which tenant, how big."""

    name: str
    tenant: str
    slug: str
    limits: Limits


def deployment(family: Family, app: DedicatedApp, shared: Object) -> Manifest:
    """Build the tenant's Deployment from the shared one as it is live; the HPA owns the number of replicas."""
    selector = pod_selector(family, app)
    template = shared["spec"]["template"]
    spec: dict[str, Any] = {
        "selector": {"matchLabels": selector},
        "revisionHistoryLimit": 3,
        "strategy": copy.deepcopy(shared["spec"].get("strategy", {"type": "RollingUpdate"})),
        "template": {
            "metadata": {"labels": {**family.all_labels("tenant")}, **_kept_annotations(template)},
            "spec": _pod(template["spec"], app, selector),
        },
    }
    return stamped(
        {
            "apiVersion": DEPLOYMENT.api_version,
            "kind": DEPLOYMENT.kind,
            "metadata": family.metadata(app.name, "tenant"),
            "spec": spec,
        }
    )


def service(family: Family, app: DedicatedApp) -> Manifest:
    """Build the Service that the tenant's Ingress leads to."""
    return stamped(
        {
            "apiVersion": SERVICE.api_version,
            "kind": SERVICE.kind,
            "metadata": family.metadata(app.name, "tenant"),
            "spec": {
                "type": "ClusterIP",
                "selector": pod_selector(family, app),
                "ports": [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": "http"}],
            },
        }
    )


def disruption_budget(family: Family, app: DedicatedApp) -> Manifest:
    """Build the PodDisruptionBudget: a drain takes one pod at a time."""
    return stamped(
        {
            "apiVersion": PDB.api_version,
            "kind": PDB.kind,
            "metadata": family.metadata(app.name, "tenant"),
            "spec": {"maxUnavailable": 1, "selector": {"matchLabels": pod_selector(family, app)}},
        }
    )


def pod_selector(family: Family, app: DedicatedApp) -> dict[str, str]:
    """Return the labels that select the tenant's pods: none that ever change."""
    return {
        names.LABEL_INSTANCE: family.release,
        names.LABEL_COMPONENT: "tenant",
        names.LABEL_TENANT: names.bounded(app.tenant),
    }


def _kept_annotations(template: Mapping[str, Any]) -> dict[str, Any]:
    annotations = (template.get("metadata") or {}).get("annotations")
    return {"annotations": dict(annotations)} if annotations else {}


def _pod(shared: Mapping[str, Any], app: DedicatedApp, selector: Mapping[str, str]) -> dict[str, Any]:
    pod = copy.deepcopy(dict(shared))
    for container in pod["containers"]:
        if container["name"] == names.APP_CONTAINER:
            _fit(container, app)
    for constraint in pod.get("topologySpreadConstraints") or ():
        constraint["labelSelector"] = {"matchLabels": dict(selector)}
    # Pod affinity speaks of the shared app's labels; the spread constraints say the same for these pods.
    affinity = {key: value for key, value in (pod.pop("affinity", None) or {}).items() if key == "nodeAffinity"}
    if affinity:
        pod["affinity"] = affinity
    return pod


def _fit(container: dict[str, Any], app: DedicatedApp) -> None:
    size = {"cpu": quantities.cpu(app.limits.cpu_millicores), "memory": quantities.memory(app.limits.memory_bytes)}
    container["resources"] = {"requests": dict(size), "limits": dict(size)}
    kept = [entry for entry in container.get("env") or () if entry["name"] != "HOA_ONLY_TENANT"]
    container["env"] = [*kept, {"name": "HOA_ONLY_TENANT", "value": app.slug}]

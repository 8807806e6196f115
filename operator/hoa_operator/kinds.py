"""The kinds of object the operator knows, and how a reference to one is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from hoa_operator import names


@dataclass(frozen=True)
class Kind:
    """One resource of the API: namespaced, or the namespace itself."""

    group: str
    version: str
    plural: str
    kind: str

    @property
    def api_version(self) -> str:
        """`group/version`, or the version alone for the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str, name: str = "", subresource: str = "") -> str:
        """Return the URL path of the collection, one object or its subresource."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        if self.plural == "namespaces":
            return f"{root}/namespaces/{name}"
        parts = [root, "namespaces", namespace, self.plural, name, subresource]
        return "/".join(part for part in parts if part)


TENANT: Final = Kind(names.GROUP, names.VERSION, "hoatenants", "HOATenant")
TIER: Final = Kind(names.GROUP, names.VERSION, "hoatiers", "HOATier")
SERVER: Final = Kind(names.GROUP, names.VERSION, "hoadatabaseservers", "HOADatabaseServer")
SECRET: Final = Kind("", "v1", "secrets", "Secret")
SERVICE: Final = Kind("", "v1", "services", "Service")
POD: Final = Kind("", "v1", "pods", "Pod")
EVENT: Final = Kind("", "v1", "events", "Event")
JOB: Final = Kind("batch", "v1", "jobs", "Job")
INGRESS: Final = Kind("networking.k8s.io", "v1", "ingresses", "Ingress")
DEPLOYMENT: Final = Kind("apps", "v1", "deployments", "Deployment")
PDB: Final = Kind("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget")
HPA: Final = Kind("autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler")
NAMESPACE: Final = Kind("", "v1", "namespaces", "Namespace")
LEASE: Final = Kind("coordination.k8s.io", "v1", "leases", "Lease")

#: What a person writes.
SOURCES: Final = (TENANT, TIER, SERVER)
#: What the operator makes and keeps as it should be; pods belong to its Jobs and tell why one does not start.
CHILDREN: Final = (SECRET, SERVICE, JOB, INGRESS, DEPLOYMENT, PDB, HPA, POD)
WATCHED: Final = SOURCES + CHILDREN

BY_KIND: Final[Mapping[str, Kind]] = {kind.kind: kind for kind in (*WATCHED, EVENT, LEASE)}

Object = Mapping[str, Any]


def kind_of(manifest: Object) -> Kind:
    """Return the kind of a manifest."""
    return BY_KIND[manifest["kind"]]


def name_of(manifest: Object) -> str:
    """Return the name of a manifest or live object."""
    return str(manifest["metadata"]["name"])


def labels_of(manifest: Object) -> Mapping[str, str]:
    """Return the labels of a manifest or live object, perhaps none."""
    return manifest["metadata"].get("labels") or {}


def annotations_of(manifest: Object) -> Mapping[str, str]:
    """Return the annotations of a manifest or live object, perhaps none."""
    return manifest["metadata"].get("annotations") or {}


def tenants_of(item: Object) -> frozenset[str]:
    """Return whose an object is, as labels name tenants: by its label, and by its owner, for anybody can take a label off."""
    owners = item["metadata"].get("ownerReferences") or ()
    owning = {names.bounded(owner["name"]) for owner in owners if owner.get("kind") == TENANT.kind}
    label = labels_of(item).get(names.LABEL_TENANT)
    return frozenset(owning | {label} if label else owning)


def is_owned_by(manifest: Object, uid: str) -> bool:
    """Tell whether the object's owners include `uid`."""
    return any(owner.get("uid") == uid for owner in manifest["metadata"].get("ownerReferences") or ())


def has_ended(job: Object) -> bool:
    """Tell whether a Job is complete or has failed, which never changes any more."""
    conditions = (job.get("status") or {}).get("conditions") or ()
    return any(c["type"] in ("Complete", "Failed") and c["status"] == "True" for c in conditions)


def is_refused(tenant: Object) -> bool:
    """Tell whether it was said of a HOATenant that its spec is not accepted."""
    conditions = (tenant.get("status") or {}).get("conditions") or ()
    return any(c["type"] == "SpecAccepted" and c["status"] == "False" for c in conditions)

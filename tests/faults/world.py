"""The state of one tenant everywhere, as plain data in which nothing is left that differs between two equal tenants.

    World = {"tenant": ..., "children": {...}, "roles": {...}, "database": ..., "inside": ..., "registry": ..., "logins": ...}

Uids, oids, times, resourceVersions, digests and secrets become words such as ``<uid>``; the tenant's own name becomes
``<tenant>``, so that tenants of different names compare. Two worlds are compared with ``==``; ``differences`` tells a
person what differs. Not part of it: messages of conditions (they hold times and counts), Events (told at most once
each, and allowed to be lost), pods (the Job's conditions say how they ended).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from hoa_operator.kinds import CHILDREN
from tests.faults.pgworld import database_world, holdings, logins_world, registry_world

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.faults.installation import Installation

Json = dict[str, Any]
World = dict[str, Any]

_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d(:?\d\d)?)")
_DIGESTS: Final = ("applied", "inputs", "purpose", "migrated")
#: What the last Job found, which depends on whether one ran before it.
_HISTORY: Final = ("invitation",)
_SERVERS: Final = frozenset(
    {
        "creationTimestamp",
        "deletionGracePeriodSeconds",
        "generation",
        "managedFields",
        "resourceVersion",
        "uid",
        "selfLink",
    }
)
_LEFT_OUT: Final = frozenset({"Pod"})


@dataclass(frozen=True)
class Names:
    """What stands for itself in one installation and for nothing elsewhere."""

    namespace: str
    tenant: str
    uid: str
    tenant_id: str
    system: str

    def plain(self, value: Any) -> Any:
        """Return the value with every name, id and time in it replaced by a word."""
        if isinstance(value, dict):
            return {self.plain(key): self.plain(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.plain(item) for item in value]
        return self._text(value) if isinstance(value, str) else value

    def _text(self, text: str) -> str:
        for found, word in (
            (self.uid, "<uid>"),
            (self.tenant_id, "<tenant-id>"),
            (self.tenant_id.replace("-", ""), "<id>"),
            (self.system, "<system>"),
            (self.namespace, "<namespace>"),
        ):
            text = text.replace(found, word) if found else text
        text = re.sub(re.escape(self.tenant), "<tenant>", text, flags=re.IGNORECASE)
        return _TIME.sub("<time>", text)


def world_of(installation: Installation, tenant: str, tenant_id: str = "", uid: str = "") -> World:
    """Return the world of a tenant; name its id and uid when the HOATenant may be gone."""
    body = installation.objects.find("HOATenant", tenant)
    status = (body or {}).get("status") or {}
    uid = body["metadata"]["uid"] if body else uid
    system = installation.pg_system
    names = Names(installation.objects.namespace, tenant, uid, status.get("tenantID") or tenant_id or uid, system)
    dsn = installation.platform.postgres.dsn
    found = {
        "tenant": _tenant(body) if body else None,
        "children": _children(installation, tenant),
        "registry": registry_world(dsn, names.tenant_id),
        **database_world(dsn, names.tenant_id),
        "logins": logins_world(installation, tenant, names.tenant_id),
    }
    plain: World = names.plain(found)
    return plain


def _tenant(body: Json) -> Json:
    metadata = body["metadata"]
    return {
        "spec": body["spec"],
        "finalizers": metadata.get("finalizers", []),
        "annotations": metadata.get("annotations", {}),
        "deleting": "deletionTimestamp" in metadata,
        "status": _status(body.get("status") or {}, metadata.get("generation")),
    }


def _status(status: Json, generation: int) -> Json:
    found = {key: value for key, value in status.items() if key not in ("conditions", "onboarding", "storage")}
    if "observedGeneration" in found:
        found["observedGeneration"] = "current" if found["observedGeneration"] == generation else "old"
    found["conditions"] = {c["type"]: f"{c['status']} {c['reason']}" for c in status.get("conditions") or ()}
    found["onboarding"] = {
        entry["step"]: "finished" if "finishedAt" in entry else "begun" for entry in status.get("onboarding") or ()
    }
    return found


def _children(installation: Installation, tenant: str) -> Json:
    found = {}
    for kind in CHILDREN:
        if kind.kind not in _LEFT_OUT:
            for body in installation.objects.list(kind.kind, f"hoaconnect.com/tenant={tenant}"):
                found[f"{kind.kind} {body['metadata']['name']}"] = _child(kind.kind, body)
    return found


def _child(kind: str, body: Json) -> Json:
    metadata = {key: value for key, value in body["metadata"].items() if key not in _SERVERS}
    annotations = metadata.get("annotations") or {}
    metadata["annotations"] = {
        key: "<digest>" if key.rpartition("/")[2] in _DIGESTS else value
        for key, value in sorted(annotations.items())
        if key.rpartition("/")[2] not in _HISTORY
    }
    if kind == "Secret":
        return {"metadata": metadata, "keys": sorted(body.get("data") or {})}
    if kind == "Job":
        return {"metadata": {**metadata, "annotations": {}}, **_job(body)}
    return {"metadata": metadata, "spec": _without_addresses(body.get("spec"))}


def _job(body: Json) -> Json:
    container = body["spec"]["template"]["spec"]["containers"][0]
    ended = [c["type"] for c in (body.get("status") or {}).get("conditions") or () if c["status"] == "True"]
    return {"image": container["image"], "env": container.get("env", []), "ended": sorted(ended)}


def _without_addresses(spec: Any) -> Any:
    return {key: value for key, value in (spec or {}).items() if key not in ("clusterIP", "clusterIPs")}


def differences(found: Any, wanted: Any, where: str = "") -> list[str]:
    """Return what differs, a line each: path, what there is, and what there should be."""
    if found == wanted:
        return []
    if isinstance(found, dict) and isinstance(wanted, dict):
        return [
            line
            for key in sorted({*found, *wanted}, key=str)
            for line in differences(found.get(key, "(nothing)"), wanted.get(key, "(nothing)"), f"{where}/{key}")
        ]
    if isinstance(found, list) and isinstance(wanted, list) and len(found) == len(wanted):
        return [
            line
            for number, (have, want) in enumerate(zip(found, wanted, strict=True))
            for line in differences(have, want, f"{where}[{number}]")
        ]
    return [f"{where}: {found!r} instead of {wanted!r}"]


def orphans(installation: Installation) -> list[str]:
    """Return what has no living owner: databases, roles, registry rows, Secrets, a line each; retained data is owned
    by its registry row."""
    tenants = installation.objects.list("HOATenant")
    uids = {body["metadata"]["uid"] for body in tenants}
    names = {body["metadata"]["name"] for body in tenants}
    return [*_without_row(installation, uids), *_without_tenant(installation, names)]


def _without_tenant(installation: Installation, names: set[str]) -> Iterator[str]:
    for kind in CHILDREN:
        if kind.kind in _LEFT_OUT:
            continue
        for body in installation.objects.list(kind.kind, "hoaconnect.com/tenant"):
            owner = body["metadata"]["labels"]["hoaconnect.com/tenant"]
            if owner not in names:
                yield f"{kind.kind} {body['metadata']['name']}: its tenant {owner} is gone"


def _without_row(installation: Installation, uids: set[str]) -> Iterator[str]:
    held = holdings(installation.platform.postgres.dsn)
    for row in held.rows:
        if row["state"] != "Deleted" and str(row["uid"]) not in uids:
            yield f"registry row of {row['name']} ({row['state']}): no HOATenant has its uid"
    known: Mapping[str, str] = {str(row["tenant_id"]).replace("-", ""): row["state"] for row in held.rows}
    for name in (*held.databases, *held.roles):
        identity = re.sub(r"^hoa_connect_(tenant|deleted)_([0-9a-f]{32}).*", r"\2", name)
        if identity not in known:
            yield f"{name}: no registry row knows it"
        elif name.startswith("hoa_connect_tenant_") and name in held.databases and known[identity] == "Deleted":
            yield f"{name}: its registry row is a tombstone, and it has its living name"

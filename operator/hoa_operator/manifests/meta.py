"""What all manifests share: metadata, the digest of what was applied, and the comparison of wanted with live."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hoa_operator import names
from hoa_operator.kinds import TENANT, Kind, Object

Manifest = dict[str, Any]


@dataclass(frozen=True)
class Owner:
    """The object that children belong to and go away with."""

    kind: Kind
    name: str
    uid: str
    controller: bool = True

    def reference(self) -> dict[str, Any]:
        """Return the ownerReference; it does not block the owner's deletion, for which there is the finalizer."""
        return {
            "apiVersion": self.kind.api_version,
            "kind": self.kind.kind,
            "name": self.name,
            "uid": self.uid,
            "controller": self.controller,
            "blockOwnerDeletion": False,
        }


@dataclass(frozen=True)
class Family:
    """What every child of one owner has in common. `labels` say whose it is; `component` is added per child."""

    namespace: str
    release: str
    version: str
    owner: Owner
    labels: Mapping[str, str]

    def metadata(self, name: str, component: str, annotations: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Return a child's metadata."""
        found: dict[str, Any] = {
            "name": name,
            "namespace": self.namespace,
            "labels": self.all_labels(component),
            "ownerReferences": [self.owner.reference()],
        }
        if annotations:
            found["annotations"] = dict(annotations)
        return found

    def all_labels(self, component: str) -> dict[str, str]:
        """Return the labels of a child, which its pods share."""
        return {**names.common_labels(self.release, component, self.version), **self.labels}


def tenant_family(namespace: str, release: str, version: str, tenant: tuple[str, str, str]) -> Family:
    """Return the family of a tenant given its name, uid and tenant id."""
    name, uid, tenant_id = tenant
    return Family(
        namespace=namespace,
        release=release,
        version=version,
        owner=Owner(TENANT, name, uid),
        labels={names.LABEL_TENANT: names.bounded(name), names.LABEL_TENANT_ID: tenant_id},
    )


def digest(value: Any) -> str:
    """Return a short digest of any JSON value."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def stamped(manifest: Manifest) -> Manifest:
    """Return the manifest with its digest, without which a field that only went away would never be noticed.

    What a Secret holds is left out: nothing derived from a password is ever published.
    """
    public = {key: value for key, value in manifest.items() if key != "data"}
    metadata = manifest["metadata"]
    annotations = {**metadata.get("annotations", {}), names.ANNOTATION_APPLIED: digest(public)}
    return {**manifest, "metadata": {**metadata, "annotations": annotations}}


def holds(live: Any, wanted: Any) -> bool:
    """Tell whether `live` has all that `wanted` says; the server's defaults and others' additions do not count.

    Lists whose items have names are compared by name, as the API server merges them; all others item by item.
    """
    if isinstance(wanted, Mapping):
        return isinstance(live, Mapping) and all(
            key in live and holds(live[key], value) for key, value in wanted.items()
        )
    if not isinstance(wanted, list):
        return bool(live == wanted)
    if not isinstance(live, list):
        return False
    key = _merge_key(wanted)
    if key is None:
        return len(live) == len(wanted) and all(holds(a, b) for a, b in zip(live, wanted, strict=True))
    by_key = {item.get(key): item for item in live if isinstance(item, Mapping)}
    return all(item[key] in by_key and holds(by_key[item[key]], item) for item in wanted)


def _merge_key(wanted: list[Any]) -> str | None:
    for key in ("name", "mountPath", "uid"):
        if wanted and all(isinstance(item, Mapping) and key in item for item in wanted):
            return key
    return None


def is_current(live: Object | None, wanted: Manifest) -> bool:
    """Tell whether nothing need be applied."""
    return live is not None and "deletionTimestamp" not in live["metadata"] and holds(live, wanted)

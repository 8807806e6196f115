"""What tests that assert whole manifests compare with: the labels and the owner of everything made for a tenant."""

from __future__ import annotations

import json
from typing import Any

from hoa_operator import names
from tests.unit.operator.samples import UID

Json = dict[str, Any]
OWNER = {
    "apiVersion": "hoaconnect.com/v1alpha1",
    "kind": "HOATenant",
    "name": "seabreeze",
    "uid": UID,
    "controller": True,
    "blockOwnerDeletion": False,
}


def labels(component: str) -> Json:
    return {
        "app.kubernetes.io/name": "hoa-connect",
        "app.kubernetes.io/instance": "hoa-connect",
        "app.kubernetes.io/component": component,
        "app.kubernetes.io/managed-by": "hoa-operator",
        "app.kubernetes.io/version": "1.0.0",
        "hoaconnect.com/tenant": "seabreeze",
        "hoaconnect.com/tenant-id": UID,
    }


def plain(manifest: Json) -> Json:
    """Return a manifest without its digest, which is checked to be there."""
    copy: Json = json.loads(json.dumps(manifest))
    annotations = copy["metadata"]["annotations"]
    assert len(annotations.pop(names.ANNOTATION_APPLIED)) == 16
    if not annotations:
        del copy["metadata"]["annotations"]
    return copy

"""Fixtures of the cluster level: a real API server and what stands around it."""

from __future__ import annotations

from tests.cluster.fix_api import bare_kubectl, control_plane, crds, kubectl, namespace, namespace_names

__all__ = ["bare_kubectl", "control_plane", "crds", "kubectl", "namespace", "namespace_names"]

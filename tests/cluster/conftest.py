"""Fixtures of the cluster level: a real API server and what stands around it."""

from __future__ import annotations

from tests.cluster.fix_api import bare_kubectl, control_plane, crds, kubectl, namespace, namespace_names
from tests.cluster.fix_platform import helm, job_runner, own_platform, platform

__all__ = [
    "bare_kubectl",
    "control_plane",
    "crds",
    "helm",
    "job_runner",
    "kubectl",
    "namespace",
    "namespace_names",
    "own_platform",
    "platform",
]

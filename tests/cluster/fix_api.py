"""Fixtures: the API server of the run, kubectl against it, and a namespace for each test."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from tests.cluster.controlplane import ControlPlane
from tests.cluster.kubectl import Kubectl
from tests.programs import REPOSITORY, program

if TYPE_CHECKING:
    from collections.abc import Iterator

CRDS = ("hoatenants", "hoatiers", "hoadatabaseservers")


@pytest.fixture(scope="session")
def control_plane(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A real API server with Jobs and garbage collection, without our CRDs."""
    server = program("kube-apiserver", "kubernetes", request.config.getoption("--kubernetes-bin"))
    plane = ControlPlane(tmp_path_factory.mktemp("control-plane"), server.parent).start()
    yield plane
    plane.stop()


@pytest.fixture(scope="session")
def bare_kubectl(control_plane: ControlPlane) -> Kubectl:
    """Kubectl as cluster administrator."""
    return Kubectl(control_plane.bin / "kubectl", control_plane.admin_kubeconfig)


@pytest.fixture(scope="session")
def crds(bare_kubectl: Kubectl) -> None:
    """Our CRDs, applied from their only source and established."""
    bare_kubectl("apply", "--server-side", "-f", str(REPOSITORY / "crds"))
    names = [f"crd/{plural}.hoaconnect.com" for plural in CRDS]
    bare_kubectl("wait", "--for=condition=Established", "--timeout=30s", *names)


@pytest.fixture(scope="session")
def namespace_names() -> Iterator[str]:
    """Names that no namespace of the run has yet."""
    return (f"test-{number}" for number in itertools.count(1))


@pytest.fixture
def namespace(bare_kubectl: Kubectl, crds: None, namespace_names: Iterator[str]) -> str:
    """A fresh namespace; it goes with the control plane."""
    name = next(namespace_names)
    bare_kubectl("create", "namespace", name)
    return name


@pytest.fixture
def kubectl(bare_kubectl: Kubectl, namespace: str) -> Kubectl:
    """Kubectl as cluster administrator in the test's own namespace."""
    return bare_kubectl.within(namespace)

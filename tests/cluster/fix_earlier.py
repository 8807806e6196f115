"""Fixtures: the previous build, and a second API server that a test may take back to it, or stop."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from hack.compat import previous
from tests.cluster.api import Api
from tests.cluster.controlplane import ControlPlane
from tests.cluster.helm import Helm
from tests.cluster.jobs import JobRunner
from tests.cluster.kubectl import Kubectl
from tests.cluster.platform import Platform
from tests.programs import REPOSITORY, program

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.fix_postgres import PostgresAccess
    from tests.zygote import Zygote


@pytest.fixture(scope="session")
def previous_build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree of the build from which installations are upgraded."""
    folder = tmp_path_factory.mktemp("previous-build")
    return previous.unpack(REPOSITORY, folder, ["operator", "app", "crds", "charts"])


@dataclass
class Site:
    """A cluster of its own, without our CRDs until a build is installed."""

    plane: ControlPlane
    kubectl: Kubectl
    helm: Helm
    jobs: JobRunner
    folder: Path
    platforms: list[Platform] = field(default_factory=list)

    def install(self, namespace: str, postgres: PostgresAccess, source: Path) -> Platform:
        """Install a build into a new namespace, its CRDs included."""
        self.kubectl("create", "namespace", namespace)
        kubectl = self.kubectl.within(namespace)
        platform = Platform.install(kubectl, self.plane, postgres, self.helm, self.folder / namespace, source=source)
        self.platforms.append(platform)
        return platform

    def leave(self) -> None:
        """End the operators of every installation."""
        while self.platforms:
            self.platforms.pop().destroy()


@pytest.fixture
def site(own_site: Site) -> Iterator[Site]:
    """The second API server of the run; what a test installs there ends with the test."""
    yield own_site
    own_site.leave()


@pytest.fixture(scope="session")
def own_site(
    request: pytest.FixtureRequest, migration_zygote: Zygote, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """The second API server of the run, with its own runner of Jobs."""
    configured = request.config.getoption("--kubernetes-bin")
    folder = tmp_path_factory.mktemp("site")
    plane = ControlPlane(folder / "plane", program("kube-apiserver", "kubernetes", configured).parent).start()
    helm = Helm(program("helm", "helm", configured), folder, plane.admin_kubeconfig)
    api = Api(plane.port, plane.authority.certificate, plane.runner_token, "job-runner")
    jobs = JobRunner(api, folder / "jobs", zygotes=[migration_zygote]).start()
    yield Site(plane, Kubectl(plane.bin / "kubectl", plane.admin_kubeconfig), helm, jobs, folder)
    jobs.stop()
    plane.stop()

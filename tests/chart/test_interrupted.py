"""Helm killed at work: `make up` finds its way from what that leaves behind."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from hack.cluster import chart
from hack.cluster.kubectl import Kubectl as LocalKubectl
from hack.cluster.paths import REPOSITORY, Paths
from tests.cluster.helm import CHART, Helm, HelmError
from tests.cluster.jobs import Fault, JobRunner
from tests.processes import Process

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.cluster.kubectl import Kubectl


class Release:
    """What `make up` does with the chart, in the test's namespace."""

    def __init__(self, helm: Helm, kubectl: Kubectl, runner: JobRunner, folder: Path) -> None:
        self.kubectl = kubectl
        self._helm, self._runner, self._folder = helm, runner, folder
        domain, namespace = "--set=ingress.baseDomain=hoaconnect.example", f"--namespace={kubectl.namespace}"
        self._argv = ["upgrade", "--install", chart.RELEASE, str(CHART), domain, namespace, "--timeout=60s"]

    @property
    def statuses(self) -> list[str]:
        """Of every revision, the oldest first."""
        found = [item["metadata"]["labels"] for item in self.kubectl.list("secret", "--selector=owner=helm")]
        return [labels["status"] for labels in sorted(found, key=lambda labels: int(labels["version"]))]

    def install(self) -> str:
        """Install, or upgrade."""
        return self._helm(*self._argv)

    def install_and_kill(self) -> None:
        """Begin to, and die while the setup Job runs."""
        self._runner.inject(Fault(job="hoa-connect-setup", namespace=self.kubectl.namespace, hang=True))
        env = {"PATH": os.environ["PATH"], "HOME": str(self._folder), "KUBECONFIG": str(self.kubectl.kubeconfig)}
        helm = Process("helm", [str(self._helm.program), *self._argv], self._folder / "helm.log", env).start()
        helm.wait_until(lambda: any(status.startswith("pending") for status in self.statuses))
        helm.kill()
        self._runner.heal()


@pytest.fixture
def release(helm: Helm, kubectl: Kubectl, job_runner: JobRunner, tmp_path: Path) -> Iterator[Release]:
    yield Release(helm, kubectl, job_runner, tmp_path)
    helm("uninstall", chart.RELEASE, f"--namespace={kubectl.namespace}")


@pytest.fixture
def local(kubectl: Kubectl, tmp_path: Path) -> LocalKubectl:
    """kubectl as `make up` has it, on the API server of the tests."""
    (tmp_path / "kubeconfig").symlink_to(kubectl.kubeconfig)
    return LocalKubectl(Paths(REPOSITORY, tmp_path / "cache", tmp_path), kubectl.program)


def test_the_first_installation_was_killed(release: Release, local: LocalKubectl) -> None:
    release.install_and_kill()
    with pytest.raises(HelmError, match="another operation"):
        release.install()
    chart.forget_unfinished(local, release.kubectl.namespace)
    release.install()
    assert release.statuses == ["deployed"]


def test_an_upgrade_was_killed(release: Release, local: LocalKubectl) -> None:
    release.install()
    release.install_and_kill()
    with pytest.raises(HelmError, match="another operation"):
        release.install()
    chart.forget_unfinished(local, release.kubectl.namespace)
    assert release.statuses == ["deployed"]
    release.install()
    assert release.statuses == ["superseded", "deployed"]


def test_a_release_that_is_whole_is_left_alone(release: Release, local: LocalKubectl) -> None:
    release.install()
    chart.forget_unfinished(local, release.kubectl.namespace)
    assert release.statuses == ["deployed"]

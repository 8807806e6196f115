"""Fixtures of the faults level: zygotes, the proxies' loop, installations behind proxies."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.faults.clean import CleanRuns
from tests.faults.installation import Installation, Machinery
from tests.faults.lanes import Lane
from tests.faults.loops import LoopThread

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cluster.controlplane import ControlPlane
    from tests.cluster.helm import Helm
    from tests.cluster.jobs import JobRunner
    from tests.cluster.kubectl import Kubectl
    from tests.zygote import Zygote


@pytest.fixture(scope="session")
def proxy_loop() -> Iterator[LoopThread]:
    """The loop that every proxy of the run lives in."""
    loop = LoopThread("fault-proxies").start()
    yield loop
    loop.stop()


@pytest.fixture(scope="session")
def machinery(
    control_plane: ControlPlane, helm: Helm, job_runner: JobRunner, proxy_loop: LoopThread, operator_zygote: Zygote
) -> Machinery:
    """What installations share."""
    return Machinery(control_plane, helm, proxy_loop, operator_zygote)


@pytest.fixture(scope="session")
def lanes(
    machinery: Machinery,
    bare_kubectl: Kubectl,
    crds: None,
    namespace_names: Iterator[str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[list[Lane]]:
    """Installations side by side, each with its operator running."""
    made = []
    beside = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT") or 1)  # each of which may have some
    for label in "abcdefgh"[: int(os.environ.get("HOA_FAULTS_LANES") or (4 if beside == 1 else 3))]:
        name = next(namespace_names)
        bare_kubectl("create", "namespace", name)
        installation = Installation.create(machinery, bare_kubectl.within(name), tmp_path_factory.mktemp(name))
        made.append(Lane(installation, label))
        installation.operator.start()
    for lane in made:
        lane.installation.template_ready()
    yield made
    for lane in made:
        lane.installation.destroy()


@pytest.fixture(scope="session")
def clean(lanes: list[Lane]) -> CleanRuns:
    """What undisturbed runs write and end in."""
    return CleanRuns(lanes)


@pytest.fixture
def installation(
    machinery: Machinery, kubectl: Kubectl, job_runner: JobRunner, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    """An installation behind fault proxies, on a Postgres of its own; its operator is not started yet."""
    job_runner.heal()
    made = Installation.create(machinery, kubectl, tmp_path_factory.mktemp(kubectl.namespace))
    yield made
    made.destroy()

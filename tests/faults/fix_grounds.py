"""Fixture: what installations are made with that several tests of one file share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.faults.grounds import Tools

if TYPE_CHECKING:
    from tests.cluster.controlplane import ControlPlane
    from tests.cluster.helm import Helm
    from tests.cluster.jobs import JobRunner
    from tests.cluster.kubectl import Kubectl


@pytest.fixture(scope="session")
def tools(
    control_plane: ControlPlane,
    bare_kubectl: Kubectl,
    crds: None,
    helm: Helm,
    job_runner: JobRunner,
    tmp_path_factory: pytest.TempPathFactory,
) -> Tools:
    """The run's API server with our CRDs, Helm, and the runner of Jobs."""
    return Tools(control_plane, bare_kubectl, helm, job_runner, tmp_path_factory)

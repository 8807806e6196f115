"""Fixtures: Helm, the runner of Jobs, and whole installations for the operator's tests."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.cluster.api import Api
from tests.cluster.helm import Helm
from tests.cluster.jobs import JobRunner
from tests.cluster.platform import Platform
from tests.programs import REPOSITORY, program
from tests.zygote import Zygote

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.cluster.controlplane import ControlPlane
    from tests.cluster.kubectl import Kubectl
    from tests.fix_postgres import PostgresAccess, PostgresServer


@pytest.fixture(scope="session")
def helm(request: pytest.FixtureRequest, control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Helm:
    """Helm against the run's API server."""
    found = program("helm", "helm", request.config.getoption("--kubernetes-bin"))
    return Helm(found, tmp_path_factory.mktemp("helm"), control_plane.admin_kubeconfig)


def zygote_of_jobs(folder: Path, app: Path) -> Zygote:
    """Return what forks the migration Jobs of a folder with the package `hoa_app`; it is not started yet."""
    return Zygote(
        "hoa_app.migrate", folder, [app], ["hoa_app.migrations.run", "sqlalchemy.dialects.postgresql.psycopg"]
    )


@pytest.fixture(scope="session")
def migration_zygote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zygote]:
    """Forks the migration Jobs of this checkout's app."""
    zygote = zygote_of_jobs(tmp_path_factory.mktemp("zygote"), REPOSITORY / "app").start()
    yield zygote
    zygote.stop()


@pytest.fixture(scope="session")
def operator_zygote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zygote]:
    """Forks operators."""
    path = [REPOSITORY / "operator"]
    zygote = Zygote("hoa_operator.__main__", tmp_path_factory.mktemp("zygote"), path).start()
    yield zygote
    zygote.stop()


@pytest.fixture(scope="session")
def job_runner(
    control_plane: ControlPlane, migration_zygote: Zygote, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[JobRunner]:
    """Runs the Jobs of every namespace for real."""
    plane = control_plane
    api = Api(plane.port, plane.authority.certificate, plane.runner_token, "job-runner")
    runner = JobRunner(api, tmp_path_factory.mktemp("jobs"), zygotes=[migration_zygote]).start()
    yield runner
    runner.stop()


@dataclass(frozen=True)
class Installer:
    """Makes installations; all that it makes them with is the session's."""

    plane: ControlPlane
    helm: Helm
    jobs: JobRunner
    operators: Zygote
    folders: pytest.TempPathFactory

    @contextmanager
    def installed(self, kubectl: Kubectl, postgres: PostgresAccess) -> Iterator[Platform]:
        """Install into kubectl's namespace, with no operator started yet and no faults; take away what runs at the end."""
        self.jobs.heal()
        platform = Platform.install(kubectl, self.plane, postgres, self.helm, self.folders.mktemp(kubectl.namespace))
        platform.zygote = self.operators
        yield platform
        platform.destroy()


@pytest.fixture(scope="session")
def installer(
    control_plane: ControlPlane,
    helm: Helm,
    job_runner: JobRunner,
    operator_zygote: Zygote,
    tmp_path_factory: pytest.TempPathFactory,
) -> Installer:
    """Who makes this run's installations."""
    return Installer(control_plane, helm, job_runner, operator_zygote, tmp_path_factory)


@pytest.fixture
def platform(kubectl: Kubectl, postgres: PostgresAccess, installer: Installer) -> Iterator[Platform]:
    """An installation on the run's Postgres."""
    with installer.installed(kubectl, postgres) as platform:
        yield platform


@pytest.fixture
def own_platform(kubectl: Kubectl, own_postgres: PostgresServer, installer: Installer) -> Iterator[Platform]:
    """An installation on a Postgres of its own, which the test may stop, fill or break (``own_postgres``)."""
    with installer.installed(kubectl, own_postgres.access) as platform:
        yield platform

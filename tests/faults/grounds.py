"""An installation of its own for the tests of one file: they share it, each with tenants of its own names."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg

from tests.cluster.operating import app_available
from tests.cluster.platform import Operator, Platform
from tests.cluster.test_operator_deletion import REGISTRY
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pytest

    from tests.cluster.controlplane import ControlPlane
    from tests.cluster.helm import Helm
    from tests.cluster.jobs import Fault, JobRunner
    from tests.cluster.kubectl import Kubectl
    from tests.fix_postgres import PostgresAccess

Json = dict[str, Any]


@dataclass(frozen=True)
class Tools:
    """What an installation is made with; all of it is the session's."""

    plane: ControlPlane
    kubectl: Kubectl
    helm: Helm
    jobs: JobRunner
    folders: pytest.TempPathFactory


@dataclass(frozen=True)
class Ground:
    """An installation on one Postgres, with its operator at work and the template of the schema sealed."""

    platform: Platform
    operator: Operator

    @property
    def kubectl(self) -> Kubectl:
        """kubectl in the installation's namespace."""
        return self.platform.kubectl

    def condition(self, name: str, kind: str) -> Json:
        """Return a condition of a HOATenant, or an empty one."""
        found = self.kubectl.get("hoatenant", name).get("status", {}).get("conditions", [])
        empty = {"status": "", "reason": "", "message": ""}
        return next((entry for entry in found if entry["type"] == kind), empty)

    def until_said(self, name: str, kind: str, reason: str, seconds: float = 60.0) -> str:
        """Wait until a condition of a tenant has the reason and is not True; return its message."""

        def look() -> Json | None:
            found = self.condition(name, kind)
            return found if found["reason"] == reason and found["status"] != "True" else None

        said = until(look, lambda: f"{kind} of {name} to say {reason}: {self.kubectl.get('hoatenant', name)}", seconds)
        return str(said["message"])

    def registered(self, uid: str) -> list[tuple[Any, ...]]:
        """Return state and tenant id of the registry's rows of a HOATenant."""
        with psycopg.connect(self.platform.postgres.dsn(REGISTRY)) as connection:
            return connection.execute("SELECT state, tenant_id::text FROM tenants WHERE uid = %s", [uid]).fetchall()


@contextmanager
def installed(
    tools: Tools, postgres: PostgresAccess, namespace: str, settings: Mapping[str, str], fault: Fault | None = None
) -> Iterator[Ground]:
    """Install into a new namespace and start the operator with further settings; without a fault of Jobs, wait for the
    template."""
    tools.jobs.heal()
    if fault is not None:
        tools.jobs.inject(fault)
    tools.kubectl("create", "namespace", namespace)
    kubectl = tools.kubectl.within(namespace)
    platform = Platform.install(kubectl, tools.plane, postgres, tools.helm, tools.folders.mktemp(namespace))
    app_available(kubectl)
    operator = platform.operator(**settings).start()
    if fault is None:
        kubectl.wait_for("hoads", "default", lambda found: "templateRevision" in found.get("status", {}), 90)
    try:
        yield Ground(platform, operator)
    finally:
        platform.destroy()

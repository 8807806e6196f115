"""One installation whose operator sees the API server and Postgres through fault proxies only.

operator --HTTP--> ApiProxy --TLS--> kube-apiserver
operator, Jobs ----> PgProxy -------> a Postgres of its own
"""

from __future__ import annotations

import signal
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from tests.cluster.operating import condition
from tests.cluster.platform import RELEASE, Operator, Platform
from tests.faults.apiproxy import ApiProxy
from tests.faults.ends import LAST_LINES, unexplained
from tests.faults.objects import Objects
from tests.faults.pgproxy import PgProxy
from tests.faults.pgworld import query
from tests.fix_postgres import PostgresServer
from tests.overlay import HEAD

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.cluster.controlplane import ControlPlane
    from tests.cluster.helm import Helm
    from tests.cluster.kubectl import Kubectl
    from tests.faults.loops import LoopThread
    from tests.zygote import Zygote

Json = dict[str, Any]
#: A look at every tenant this often, so that a no-op look is seen soon; and no long wait for a login to be closed.
SETTINGS = {"HOA_RESYNC_SECONDS": "3", "HOA_CREDENTIALS_OVERLAP_SECONDS": "2"}


@dataclass(frozen=True)
class Machinery:
    """What the installations of a run share."""

    plane: ControlPlane
    helm: Helm
    loop: LoopThread
    zygote: Zygote


@dataclass
class Installation:
    """``platform`` is what the cluster level knows, too; ``objects`` goes past the proxies, and so do its dsn()s. ``ends``
    are those of operators that no test caused and that may not be, a text each."""

    platform: Platform
    server: PostgresServer
    api: ApiProxy
    pg: PgProxy
    objects: Objects
    operator: Operator = field(init=False)
    settings: Mapping[str, str] = field(default_factory=lambda: SETTINGS)
    ends: list[str] = field(default_factory=list)
    _killed: set[int] = field(default_factory=set)

    @classmethod
    def create(
        cls, shared: Machinery, kubectl: Kubectl, folder: Path, values: Mapping[str, Any] | None = None
    ) -> Installation:
        """Make one in kubectl's namespace, with its shared app available; ``operator`` is not started yet."""
        server = PostgresServer.create().start()
        pg = PgProxy(server.access.host, server.access.port, shared.loop).start()
        api = ApiProxy(shared.plane.url, shared.plane.authority.certificate, shared.loop).start()
        through = replace(server.access, port=pg.port)
        platform = Platform.install(kubectl, shared.plane, through, shared.helm, folder, values)
        platform.postgres, platform.zygote, platform.api_url = server.access, shared.zygote, api.url
        made = cls(platform, server, api, pg, Objects.of(shared.plane, kubectl.namespace))
        made.app_available()
        made.configure(**SETTINGS)
        return made

    def configure(self, **settings: str) -> Operator:
        """Have the operator, which is not started yet, run with these settings."""
        self.settings = settings
        self.operator = self.platform.operator("operator-0", **settings)
        return self.operator

    @property
    def sealing_keys(self) -> Path:
        """File of the keys that the registry's secrets are sealed with."""
        return self.platform.folder / f"{RELEASE}-sealing-keys" / "keys"

    @cached_property
    def pg_system(self) -> str:
        """The Postgres' system identifier."""
        (row,) = query(self.server.access.dsn(), "SELECT system_identifier::text AS id FROM pg_control_system()")
        return str(row["id"])

    def app_available(self, name: str = f"{RELEASE}-app") -> None:
        """Say of a Deployment what a kubelet would make true."""
        count = dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"), 1)
        self.objects.patch("Deployment", name, {"status": count}, "status")

    def template_ready(self, revision: str = HEAD) -> None:
        """Wait until the server's template of a revision is sealed, so that every tenant is made in the same way."""

        def sealed(server: Json) -> bool:
            known = server.get("status", {}).get("templateRevision")
            return bool(known == revision and condition(server, "TemplateReady")["status"] == "True")

        self.objects.wait_for("HOADatabaseServer", "default", sealed, 60)

    def reconfigure(self, **settings: str) -> None:
        """Start the operator anew with other settings, as an upgrade of the chart does."""
        self.operator.stop()
        self.settings = {**self.settings, **settings}
        self.operator.process.env = {**(self.operator.process.env or {}), **settings}
        self.operator.start()

    def kill_operator(self) -> None:
        """SIGKILL, from any thread, without waiting for the end: what a rule's hook calls."""
        process = self.operator.process
        self._killed.add(process.pid)
        process.send(signal.SIGKILL)  # one that has just ended by itself is judged by `as_kubelet`

    def revive_operator(self) -> None:
        """Wait for the end of an operator that was killed, and start it anew under the same pod's name.

        The lease's holder is that name, so that the new process leads at once, as a restarted container does.
        """
        self.operator.process.wait(10)
        self.as_kubelet()

    def as_kubelet(self) -> None:
        """Start an operator that ended anew, and note an end that neither a test caused nor the loss of its lead."""
        process = self.operator.process
        if process.running:
            return
        code = process.wait(10)
        if code != -signal.SIGKILL or process.pid not in self._killed:
            self.ends += filter(None, [unexplained(code, process.tail(LAST_LINES))])
        process.start()

    def take_ends(self) -> list[str]:
        """Return the ends noted so far, and forget them."""
        found, self.ends = self.ends, []
        return found

    def heal(self) -> None:
        """Take out every fault."""
        self.api.rules.clear()
        self.pg.rules.clear()
        self.api.freeze_watches(frozen=False)

    def destroy(self) -> None:
        """End everything that was started for it."""
        self.objects.close()
        self.platform.destroy()
        self.api.stop()
        self.pg.stop()
        self.server.destroy()

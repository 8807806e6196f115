"""One installation on a real API server with Kubernetes' own job controller, and the operator as a process of its own.

There is no kubelet. Pods of Jobs are either run for real, as processes of this machine, or bound by Kubernetes' own scheduler to a
node of kwok's, which ends them well after two seconds (kwok.yaml): then what a migration Job does in a database is left undone,
and a few statements stand in for it (`finish`).
"""

from __future__ import annotations

import http.client
import secrets
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import psycopg
from psycopg import sql

from hoa_operator.postgres import MIGRATOR, role_name
from tests.bench import cpu, images
from tests.cluster.api import Api, ApiError
from tests.cluster.controlplane import ControlPlane
from tests.cluster.fix_api import CRDS
from tests.cluster.fix_platform import zygote_of_jobs
from tests.cluster.helm import Helm
from tests.cluster.jobs import JobRunner
from tests.cluster.kubectl import Kubectl
from tests.cluster.operating import app_available, condition, is_ready
from tests.cluster.platform import Operator, Platform, tenant
from tests.faults.objects import Objects
from tests.programs import REPOSITORY, program
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from tests.bench.lab import Lab
    from tests.fix_postgres import PostgresAccess, PostgresServer

Json = dict[str, Any]
NAMESPACE: Final = "bench"
OPERATOR: Final = "operator"
NODE: Final[Json] = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "kwok"}}


@dataclass
class Installation:
    """What is measured, and what it is measured with."""

    lab: Lab
    platform: Platform
    objects: Objects
    operator: Operator
    server: PostgresServer

    @classmethod
    def create(cls, lab: Lab, **settings: str) -> Installation:
        """Install the chart, have the operator started and the template made by a real Job; nothing runs Jobs afterwards."""
        plane = _control_plane(lab)
        kubectl = _prepared(plane)
        server = lab.postgres()
        helm = Helm(program("helm", "helm"), lab.folder, plane.admin_kubeconfig)
        platform = Platform.install(kubectl, plane, server.access, helm, lab.folder / "platform")
        lab.stack.callback(platform.destroy)
        app_available(kubectl)
        objects = Objects.of(plane, NAMESPACE)
        lab.stack.callback(objects.close)
        made = cls(lab, platform, objects, _operator(lab, platform, settings), server)
        # One Postgres for all of them.
        objects.patch("HOADatabaseServer", "default", {"spec": {"capacity": {"maxTenants": 3000}}})
        with made.real_jobs():
            made.operator.start()
            objects.wait_for("HOADatabaseServer", "default", _template_made, 120)
        return made

    @contextmanager
    def real_jobs(self) -> Iterator[None]:
        """Run the Jobs' pods as processes, which a process forks that has imported all they need."""
        plane, folder = self.platform.plane, self.lab.folder / "jobs"
        folder.mkdir(exist_ok=True)
        zygote = zygote_of_jobs(folder, REPOSITORY / "app").start()
        api = Api(plane.port, plane.authority.certificate, plane.runner_token, "job-runner")
        runner = JobRunner(api, folder, zygotes=[zygote]).start()
        try:
            yield
        finally:
            runner.stop()
            zygote.stop()

    def leave_jobs_to_kwok(self) -> None:
        """Let pods be bound to a node that is none, and ended there."""
        plane = self.platform.plane
        config = plane.folder / "controllers.kubeconfig"
        scheduler = [str(plane.bin / "kube-scheduler"), f"--kubeconfig={config}", "--leader-elect=false"]
        self.lab.start("kube-scheduler", [*scheduler, "--secure-port=0", "--kube-api-qps=200", "--kube-api-burst=400"])
        stages = Path(__file__).with_name("kwok.yaml")
        kwok = [str(program("kwok", "kwok")), f"--kubeconfig={config}", f"--config={stages}", "--manage-all-nodes"]
        self.lab.start("kwok", kwok, {"HOME": str(self.lab.folder)})
        kubectl, name = self.platform.kubectl, NODE["metadata"]["name"]
        kubectl.apply(NODE)
        kubectl.wait_for("node", name, lambda node: bool(condition(node, "Ready")["status"] == "True"))
        # No controller is there to take away what keeps pods from a node that is not ready yet.
        kubectl.patch("node", name, {"spec": {"taints": None}})

    def finish(self, tenant: Json) -> None:
        """Leave in a Ready tenant's database what its Job and the worker would have left there, had kwok not ended the Job before it
        did anything: the operator reads it, and goes on asking where it cannot."""
        tenant_id = UUID(tenant["status"]["tenantID"])
        migrator = role_name(tenant_id, MIGRATOR)
        with psycopg.connect(self.postgres.dsn(tenant["status"]["database"]["name"])) as connection:
            connection.execute(
                "INSERT INTO tenant_identity (tenant_id) VALUES (%s) ON CONFLICT DO NOTHING", [tenant_id]
            )
            connection.execute("INSERT INTO tenant_roles VALUES (%s, %s) ON CONFLICT DO NOTHING", [migrator, tenant_id])
            connection.execute(
                "INSERT INTO outbox (tenant_id, kind, payload, dedupe_key, state)"
                " VALUES (%s, 'mail.invitation', '{}', 'welcome-mail:bench', 'done') ON CONFLICT DO NOTHING",
                [tenant_id],
            )
            for what in ("USAGE ON SCHEMA public", "SELECT ON hoa_usage", "EXECUTE ON FUNCTION usage_figures()"):
                connection.execute(sql.SQL("GRANT {} TO {}").format(sql.SQL(what), sql.Identifier(migrator)))

    def apply(self, names: Sequence[str], **spec: Any) -> dict[str, float]:
        """Create tenants, one request after the other; return when each was, by this process's clock."""
        times = {}
        for name in names:
            times[name] = time.monotonic()
            self.objects.apply(tenant(name, **spec))
        return times

    def tenants(self) -> list[Json]:
        """Return every tenant."""
        return self.objects.list("HOATenant")

    def mailed(self, seconds: float = 300) -> None:
        """Wait until the operator has seen that every tenant's welcome mail is out, after which it asks rarely."""

        def left() -> int:
            return sum(condition(body, "WelcomeMailSent")["status"] != "True" for body in self.tenants())

        until(lambda: not left(), lambda: f"the welcome mails of {left()} tenants to be seen as sent", seconds, 1)

    def touch(self, tenant: str) -> None:
        """Put a label that nobody asked about on a tenant, so that it is looked at."""
        self.objects.patch("HOATenant", tenant, _touched())

    def touch_tier(self) -> None:
        """Put such a label on a HOATier: one write, after which every tenant is looked at."""
        self.objects.patch("HOATier", self.objects.list("HOATier")[0]["metadata"]["name"], _touched())

    def looks(self) -> Looks:
        """Return how many looks at tenants the operator has finished since it started."""
        known = self.operator.metrics()

        def total(start: str) -> int:
            return int(sum(value for name, value in known.items() if name.startswith(start)))

        count = 'hoa_operator_reconciles_total{kind="tenant",result='
        under_way = total("hoa_operator_queue_depth") + total("hoa_operator_reconciles_running")
        return Looks(total(f'{count}"ok"'), total(f'{count}"error"'), under_way)

    def writes(self) -> list[dict[str, str]]:
        """Return the operator's writes to the API so far, leases left out."""
        return self.platform.operator_writes()

    @property
    def postgres(self) -> PostgresAccess:
        """Where the tenants' databases are."""
        return self.server.access

    def cpu(self) -> dict[str, float]:
        """Return the seconds of CPU that each program took so far."""
        programs = [self.operator.process, self.server.process, *self.platform.plane.processes]
        return {program.name: cpu.seconds_with_ended(program.pid) for program in programs}

    def memory(self) -> float:
        """Return the operator's resident memory in MiB."""
        return self.operator.metrics()["process_resident_memory_bytes"] / 1024**2


@dataclass(frozen=True)
class Looks:
    """Looks at tenants: how many ended well, how many did not, and how many wait or are at work."""

    well: int
    failed: int
    under_way: int


@dataclass
class Readiness:
    """Follows the tenants in a thread of its own, notes when each was Ready, and does with it what comes `then`."""

    objects: Objects
    then: Callable[[Json], None] | None = None
    at: dict[str, float] = field(default_factory=dict)
    _stop: threading.Event = field(default_factory=threading.Event)
    _error: BaseException | None = None

    @contextmanager
    def followed(self) -> Iterator[Readiness]:
        """Follow from now on."""
        thread = threading.Thread(target=self._run, name="readiness", daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            thread.join()

    def wait_for(self, names: Sequence[str], seconds: float) -> None:
        """Wait until all are Ready."""

        def left() -> list[str]:
            if self._error is not None:
                raise self._error
            return [name for name in names if name not in self.at]

        until(lambda: not left(), lambda: f"{len(left())} tenants to be Ready, such as {left()[:3]}", seconds)

    def _run(self) -> None:
        try:
            self._follow()
        except BaseException as error:  # raised again by wait_for(), in who waits
            self._error = error

    def _follow(self) -> None:
        while not self._stop.is_set():
            try:
                items, version = self.objects.list_at("HOATenant")
                for body in items:
                    self._note(body)
                for event in self.objects.watch("HOATenant", version, 5):
                    if event["type"] != "BOOKMARK":
                        self._note(event["object"])
            except (ApiError, OSError, http.client.HTTPException):
                self.objects.close()  # listed again
                self._stop.wait(0.2)
        self.objects.close()

    def _note(self, body: Json) -> None:
        name = body["metadata"]["name"]
        if name not in self.at and is_ready(body):
            self.at[name] = time.monotonic()
            if self.then is not None:
                self.then(body)


def _touched() -> Json:
    return {"metadata": {"labels": {"hoaconnect.com/bench-touched": secrets.token_hex(4)}}}


def _operator(lab: Lab, platform: Platform, settings: Mapping[str, str]) -> Operator:
    """Return an operator that sees what its image holds: the checkout's environment has packages that kopf would import, too."""
    operator, laid = platform.operator(OPERATOR, **settings), images.lay_out("operator", lab.folder / "image")
    operator.process.command = [laid.python, "-S", "-m", "hoa_operator"]
    operator.process.env = laid.environment(operator.process.env or {})
    return operator


def _template_made(server: Json) -> bool:
    return bool(condition(server, "TemplateReady")["status"] == "True")


def _control_plane(lab: Lab) -> ControlPlane:
    programs = program("kube-apiserver", "kubernetes").parent
    # kwok watches from version 0, which the server takes for a streamed list, which Debian's etcd is too old for.
    plane = ControlPlane(lab.folder / "control-plane", programs, flags=["--feature-gates=WatchList=false"])
    lab.stack.callback(plane.stop)
    return plane.start()


def _prepared(plane: ControlPlane) -> Kubectl:
    """Return kubectl in a fresh namespace, with our CRDs and one node."""
    kubectl = Kubectl(plane.bin / "kubectl", plane.admin_kubeconfig)
    kubectl("apply", "--server-side", "-f", str(REPOSITORY / "crds"))
    kubectl("wait", "--for=condition=Established", "--timeout=30s", *(f"crd/{name}.hoaconnect.com" for name in CRDS))
    kubectl("create", "namespace", NAMESPACE)
    return kubectl.within(NAMESPACE)

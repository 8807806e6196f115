"""One installation without its pods: what the chart renders, and the operator as a process with its environment.

The operator logs in as the chart's ServiceAccount, so that a right missing in the chart's Role fails a test.
"""

from __future__ import annotations

import base64
import importlib.util
import json
import os
import signal
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from prometheus_client.parser import text_string_to_metric_families

from tests.cluster.helm import Helm, one
from tests.processes import Process, free_port
from tests.programs import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.cluster.controlplane import ControlPlane
    from tests.cluster.kubectl import Kubectl
    from tests.fix_postgres import PostgresAccess
    from tests.zygote import Zygote

RELEASE = "hoa-connect"
BASE_DOMAIN = "hoaconnect.test"
ADMIN_SECRET = "postgres-admin"
RIGHTS = ("ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding")
APPLIED = (*RIGHTS, "HOATier", "HOADatabaseServer", "Deployment", "Service")
MOUNTS = {
    "HOA_REGISTRY_DIR": f"{RELEASE}-registry",
    "HOA_REGISTRY_READER_DIR": f"{RELEASE}-registry-reader",
    "HOA_SEALING_KEYS_FILE": f"{RELEASE}-sealing-keys",
}
Json = dict[str, Any]


def chart_values(postgres: PostgresAccess, more: Mapping[str, Any]) -> Json:
    """Return values of the chart for an installation on this Postgres."""
    return {
        "ingress": {"baseDomain": BASE_DOMAIN, "scheme": "http", "className": "traefik"},
        "postgres": {
            "enabled": False,
            "external": {"host": postgres.host, "port": postgres.port, "sslMode": "disable"},
            "existingSecret": ADMIN_SECRET,
        },
        **more,
    }


@dataclass
class Operator:
    """The operator as a process: started, stopped, killed, paused."""

    process: Process
    probe_port: int
    metrics_port: int

    def start(self) -> Operator:
        """Start it and return when it says that it lives."""
        self.process.start()
        self.process.wait_until(lambda: self.answers("livez"))
        return self

    def answers(self, probe: str) -> bool:
        """Whether a probe (livez or readyz) says yes."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.probe_port}/{probe}", timeout=2) as answer:
                return bool(answer.status == 200)
        except (OSError, urllib.error.URLError):
            return False

    def stop(self) -> int:
        """End it as the kubelet does, and return its exit code."""
        self.process.send(signal.SIGTERM)
        return self.process.wait(30)

    def kill(self) -> None:
        """End it as a crash does."""
        self.process.kill()

    def pause(self) -> None:
        """Make it stand still, as a frozen machine does."""
        self.process.send(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self.process.send(signal.SIGCONT)

    def metrics(self) -> dict[str, float]:
        """Return its metrics by name and labels, as ``name{key="value"}``."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=5) as answer:
            text = answer.read().decode()
        found = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                labels = ",".join(f'{key}="{value}"' for key, value in sorted(sample.labels.items()))
                found[sample.name + (f"{{{labels}}}" if labels else "")] = sample.value
        return found

    @property
    def log(self) -> Path:
        """What it wrote."""
        return self.process.log


@dataclass
class Platform:
    """One installation in one namespace, on one Postgres."""

    kubectl: Kubectl
    plane: ControlPlane
    postgres: PostgresAccess
    folder: Path
    rendered: list[Json]
    source: Path = REPOSITORY
    operators: list[Operator] = field(default_factory=list)
    #: Forks operators instead of starting Python anew each time.
    zygote: Zygote | None = None
    #: Where operators find the API server, if something stands between.
    api_url: str | None = None

    @classmethod
    def install(
        cls,
        kubectl: Kubectl,
        plane: ControlPlane,
        postgres: PostgresAccess,
        helm: Helm,
        folder: Path,
        values: Mapping[str, Any] | None = None,
        *,
        source: Path | None = None,
    ) -> Platform:
        """Apply what the chart renders, and make its Secrets as the chart's own Job does.

        With `source`, the tree of some build, its chart and its operator are used, and its CRDs are put in.
        """
        folder.mkdir(parents=True, exist_ok=True)
        platform = cls(kubectl, plane, postgres, folder, [])
        login = {"username": postgres.username, "password": postgres.password}
        kubectl.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": ADMIN_SECRET}, "stringData": login})
        platform.bring_to(source or REPOSITORY, helm, values, crds=source is not None)
        return platform

    def bring_to(self, source: Path, helm: Helm, values: Mapping[str, Any] | None = None, *, crds: bool = True) -> None:
        """Install, or upgrade to, the chart of a build; operators made from now on are that build's.

        With `crds` its hook comes first, as under Helm: this build's program, with that build's CRDs and Secrets.
        """
        chart, wanted = source / "charts" / "hoa-connect", chart_values(self.postgres, values or {})
        self.source, self.rendered = source, helm.render(wanted, RELEASE, self.namespace, chart=chart)
        if crds:
            self._prepare(crds=True)
        self.kubectl.apply(*(item for item in self.rendered if item["kind"] in APPLIED and not _is_hook(item)))
        if not crds:
            self._prepare(crds=False)

    @property
    def namespace(self) -> str:
        """The installation's namespace."""
        return self.kubectl.namespace

    def secret(self, name: str) -> dict[str, str]:
        """Return a Secret's content."""
        data = self.kubectl.get("secret", name).get("data", {})
        return {key: base64.b64decode(value).decode() for key, value in data.items()}

    def operator(self, name: str = "operator-0", **settings: str) -> Operator:
        """Return an operator that is not started yet; keyword arguments are further environment variables."""
        log = self.folder / f"{name}.log"
        if self.zygote is None or str(self.source / "operator") not in self.zygote.path:
            process = Process(name, [sys.executable, "-m", "hoa_operator"], log, cwd=self.folder)
        else:
            process = self.zygote.process(name, log, {}, self.folder)
        operator = Operator(process, probe_port=free_port(), metrics_port=free_port())
        process.env = self._environment(name, operator) | settings
        self.operators.append(operator)
        return operator

    def operator_writes(self) -> list[dict[str, str]]:
        """Return the operator's writes to the API so far, leases left out."""
        account = f"system:serviceaccount:{self.namespace}:{RELEASE}-operator"
        return self.plane.writes(user_contains=account)

    def destroy(self) -> None:
        """End every operator."""
        for operator in self.operators:
            operator.process.stop()

    def _prepare(self, *, crds: bool) -> None:
        setup = load_setup()
        folder = self.folder / "setup"
        folder.mkdir(exist_ok=True)
        data = one(self.rendered, "ConfigMap", f"{RELEASE}-setup")["data"]
        (folder / "secrets.json").write_text(data["secrets.json"])
        (folder / "crds.json").write_text(data["crds.json"] if crds else "[]")
        token = self.folder / "admin.token"
        token.write_text(self.plane.admin_token)
        setup.prepare(setup.Api(self.plane.url, token, self.plane.authority.certificate), folder)

    def _environment(self, pod: str, operator: Operator) -> dict[str, str]:
        account = f"{RELEASE}-operator"
        token = self.kubectl("create", "token", account, "--duration=2h").strip()
        kubeconfig = self.plane.kubeconfig(f"{self.namespace}-operator", token, self.namespace, self.api_url)
        fields = {"metadata.namespace": self.namespace, "metadata.name": pod}
        env = {}
        for entry in one(self.rendered, "Deployment", account)["spec"]["template"]["spec"]["containers"][0]["env"]:
            reference = entry.get("valueFrom", {}).get("fieldRef")
            env[entry["name"]] = fields[reference["fieldPath"]] if reference else str(entry["value"])
        local = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "PYTHONPATH": str(self.source / "operator"),
            "PYTHONUNBUFFERED": "1",
            "KUBECONFIG": str(kubeconfig),
            "HOA_BIND_ADDRESS": "127.0.0.1",
            "HOA_PROBE_PORT": str(operator.probe_port),
            "HOA_METRICS_PORT": str(operator.metrics_port),
        }
        return env | self._mounts() | local

    def _mounts(self) -> dict[str, str]:
        """Write Secrets to files as the kubelet mounts them."""
        found = {}
        for variable, name in MOUNTS.items():
            folder = self.folder / name
            folder.mkdir(exist_ok=True)
            for key, value in self.secret(name).items():
                new = folder / f".{key}"
                new.write_text(value)
                new.rename(folder / key)  # an operator that reads it meanwhile finds the one or the other
            found[variable] = str(folder / "keys" if variable.endswith("_FILE") else folder)
        return found


def load_setup() -> Any:
    """Return the chart's setup program as a module."""
    program = REPOSITORY / "charts" / "hoa-connect" / "files" / "setup.py"
    spec = importlib.util.spec_from_file_location("hoa_connect_chart_setup", program)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def tenant(name: str, **spec: Any) -> Json:
    """Return a HOATenant that is accepted as it is; keyword arguments replace fields of its spec."""
    given = {
        "displayName": f"{name.capitalize()} Management",
        "admin": {"name": "Maria Alvarez", "email": f"maria@{name}.example"},
        "homeowners": 80,
    }
    body = {"apiVersion": "hoaconnect.com/v1alpha1", "kind": "HOATenant", "metadata": {"name": name}}
    merged: Json = json.loads(json.dumps({**body, "spec": {**given, **spec}}))
    return merged


def _is_hook(item: Json) -> bool:
    return "helm.sh/hook" in (item["metadata"].get("annotations") or {})

"""A real Kubernetes API for tests: etcd, kube-apiserver and, where wanted, kube-controller-manager on loopback ports.

There is no kubelet and no scheduler; ``jobs.JobRunner`` runs the Jobs. Everything lives below one temporary folder.
"""

from __future__ import annotations

import json
import shutil
import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from tests.cluster.certificates import Authority
from tests.processes import Process, free_port
from tests.programs import MissingProgramError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ADMIN_TOKEN = "admin-token-of-this-test-run"  # valid only on a loopback port, for one run
CONTROLLERS_TOKEN = "controllers-token-of-this-test-run"
RUNNER_TOKEN = "runner-token-of-this-test-run"
JOB_CONTROLLERS = "job-controller,garbage-collector-controller,namespace-controller,serviceaccount-controller"
AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {"level": "None", "verbs": ["get", "list", "watch"]},
        {"level": "None", "resources": [{"group": "coordination.k8s.io"}]},
        {"level": "Metadata"},
    ],
}


@dataclass
class ControlPlane:
    """One API server with its etcd. ``start`` and ``stop`` are its whole life."""

    folder: Path
    bin: Path
    with_controllers: bool = True
    port: int = field(default_factory=free_port)
    #: Further flags of kube-apiserver.
    flags: Sequence[str] = ()
    processes: list[Process] = field(default_factory=list, init=False)
    #: What of the audit log was read so far, and the number of its bytes.
    _writes: list[dict[str, str]] = field(default_factory=list, init=False)
    _read: int = field(default=0, init=False)

    @property
    def url(self) -> str:
        """Where the API listens."""
        return f"https://127.0.0.1:{self.port}"

    @property
    def admin_token(self) -> str:
        """Bearer token of a cluster administrator."""
        return ADMIN_TOKEN

    @property
    def runner_token(self) -> str:
        """Bearer token of whatever runs pods."""
        return RUNNER_TOKEN

    @property
    def audit_log(self) -> Path:
        """File of one JSON line for each write to the API, leases left out."""
        return self.folder / "audit.log"

    @cached_property
    def authority(self) -> Authority:
        """The certificate authority of this control plane."""
        return Authority.create(self.folder / "pki")

    def start(self) -> ControlPlane:
        """Start everything and return when the API is ready."""
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            self._start_api(self._start_etcd())
            self.kubeconfig("admin", ADMIN_TOKEN)
            self.kubeconfig("controllers", CONTROLLERS_TOKEN)
            if self.with_controllers:
                self._start_controllers()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Stop everything, the last started first."""
        for process in reversed(self.processes):
            process.stop()

    def restart(self, name: str) -> None:
        """Let one of its programs crash and come back; return when the API is ready again."""
        process = next(process for process in self.processes if process.name == name)
        process.kill()
        process.start()
        process.wait_until(lambda: _answers(f"{self.url}/readyz", self.authority.certificate))

    def kubeconfig(self, user: str, token: str, namespace: str = "default", server: str | None = None) -> Path:
        """Write a kubeconfig for a bearer token and return its path; ``server`` stands before the API server."""
        path = self.folder / f"{user}.kubeconfig"
        path.write_text(
            yaml.safe_dump(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "current-context": "test",
                    "clusters": [
                        {
                            "name": "test",
                            "cluster": {
                                "server": server or self.url,
                                "certificate-authority": str(self.authority.certificate),
                            },
                        }
                    ],
                    "users": [{"name": user, "user": {"token": token}}],
                    "contexts": [
                        {"name": "test", "context": {"cluster": "test", "user": user, "namespace": namespace}}
                    ],
                }
            )
        )
        path.chmod(0o600)
        return path

    @property
    def admin_kubeconfig(self) -> Path:
        """Kubeconfig of a cluster administrator."""
        return self.folder / "admin.kubeconfig"

    def writes(self, user_contains: str = "", agent_contains: str = "") -> list[dict[str, str]]:
        """Return the writes seen so far, as verb, resource, namespace, name, user and agent."""
        self._read_on()
        return [each for each in self._writes if user_contains in each["user"] and agent_contains in each["agent"]]

    def _read_on(self) -> None:
        """Read what was logged since, but for a line that is still being written."""
        if not self.audit_log.exists():
            return
        with self.audit_log.open("rb") as log:
            log.seek(self._read)
            for line in log:
                if line.endswith(b"\n"):
                    self._writes.append(_write(json.loads(line)))
                    self._read += len(line)

    def _run(self, name: str, command: list[str]) -> Process:
        process = Process(name, command, self.folder / f"{name}.log").start()
        self.processes.append(process)
        return process

    def _start_etcd(self) -> str:
        etcd = shutil.which("etcd") or str(self.bin / "etcd")
        if not Path(etcd).exists():
            raise MissingProgramError("etcd is missing: install the package etcd-server")
        client, peer = f"http://127.0.0.1:{free_port()}", f"http://127.0.0.1:{free_port()}"
        process = self._run(
            "etcd",
            [
                etcd,
                f"--data-dir={self.folder / 'etcd'}",
                f"--listen-client-urls={client}",
                f"--advertise-client-urls={client}",
                f"--listen-peer-urls={peer}",
                f"--initial-advertise-peer-urls={peer}",
                f"--initial-cluster=default={peer}",
                "--unsafe-no-fsync",
            ],
        )
        process.wait_until(lambda: _answers(f"{client}/health", None))
        return client

    def _start_api(self, etcd: str) -> None:
        pki = self.folder / "pki"
        serving = self.authority.issue("kube-apiserver", hosts=["127.0.0.1", "localhost", "kubernetes.default.svc"])
        keys = self.authority.key_pair("service-accounts")
        tokens = {"admin": ADMIN_TOKEN, "controllers": CONTROLLERS_TOKEN, "job-runner": RUNNER_TOKEN}
        (pki / "tokens.csv").write_text(
            "".join(f"{token},{user},{user},system:masters\n" for user, token in tokens.items())
        )
        (self.folder / "audit-policy.yaml").write_text(yaml.safe_dump(AUDIT_POLICY))
        process = self._run(
            "kube-apiserver",
            [
                str(self.bin / "kube-apiserver"),
                f"--etcd-servers={etcd}",
                "--bind-address=127.0.0.1",
                "--advertise-address=192.0.2.1",
                f"--secure-port={self.port}",
                f"--cert-dir={pki}",
                f"--tls-cert-file={serving.certificate}",
                f"--tls-private-key-file={serving.key}",
                f"--client-ca-file={self.authority.certificate}",
                f"--token-auth-file={pki / 'tokens.csv'}",
                "--service-account-issuer=https://kubernetes.default.svc",
                f"--service-account-key-file={keys.public}",
                f"--service-account-signing-key-file={keys.key}",
                "--service-cluster-ip-range=10.96.0.0/16",
                "--authorization-mode=RBAC",
                "--allow-privileged=true",
                "--enable-priority-and-fairness=false",
                "--profiling=false",
                f"--audit-policy-file={self.folder / 'audit-policy.yaml'}",
                f"--audit-log-path={self.audit_log}",
                "--audit-log-mode=blocking",
                "--audit-log-maxsize=100000",  # MiB, or it begins anew at 100
                "--v=1",
                *self.flags,
            ],
        )
        process.wait_until(lambda: _answers(f"{self.url}/readyz", self.authority.certificate))

    def _start_controllers(self) -> None:
        keys = self.authority.key_pair("service-accounts")
        port = free_port()
        process = self._run(
            "kube-controller-manager",
            [
                str(self.bin / "kube-controller-manager"),
                f"--kubeconfig={self.folder / 'controllers.kubeconfig'}",
                f"--controllers={JOB_CONTROLLERS}",
                "--leader-elect=false",
                "--bind-address=127.0.0.1",
                f"--secure-port={port}",
                f"--cert-dir={self.folder / 'pki'}",
                f"--service-account-private-key-file={keys.key}",
                f"--root-ca-file={self.authority.certificate}",
                "--kube-api-qps=200",
                "--kube-api-burst=400",
                "--v=1",
            ],
        )
        process.wait_until(lambda: _answers(f"https://127.0.0.1:{port}/healthz", None))


def _answers(url: str, authority: Path | None) -> bool:
    context = ssl.create_default_context(cafile=str(authority)) if authority else ssl._create_unverified_context()
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {ADMIN_TOKEN}"} if authority else {})
    try:
        with urllib.request.urlopen(request, timeout=2, context=context) as response:
            return bool(response.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def _write(event: Mapping[str, Any]) -> dict[str, str]:
    reference = event.get("objectRef", {})
    return {
        "verb": event["verb"],
        "resource": "/".join(part for part in (reference.get("resource"), reference.get("subresource")) if part),
        "namespace": reference.get("namespace", ""),
        "name": reference.get("name", ""),
        "code": str(event.get("responseStatus", {}).get("code", "")),
        "user": event["user"].get("username", ""),
        "agent": event.get("userAgent", ""),
    }

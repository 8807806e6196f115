"""The native provider: brings the node up process by process, and takes it away."""

import hashlib
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from hack.cluster import debian, tools
from hack.cluster.node import certificates, control_plane, layout, processes, worker
from hack.cluster.node.layout import Layout
from hack.cluster.node.sandbox import Sandbox
from hack.cluster.paths import Paths
from hack.cluster.shell import ClusterError, Word, step, succeeds

PACKAGES = (
    "buildah",
    "catatonit",
    "conntrack",
    "containerd",
    "containernetworking-plugins",
    "debootstrap",
    "etcd-server",
    "iproute2",
    "ipset",
    "iptables",
    "openssl",
    "runc",
)


COMPONENTS = (
    "etcd",
    "containerd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
    "volumes",
    "forward",
)


class NativeNode:
    """A single node on this very machine, without a Docker engine."""

    name = "native"

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._node = Layout.of(paths)
        self._sandbox = Sandbox(paths)

    @property
    def begun(self) -> bool:
        """Whether it runs, or ran before the machine was started again."""
        return self.running or self._node.root.is_dir()

    @property
    def running(self) -> bool:
        """Whether the node's init runs; its processes may still be repaired by `up`."""
        return self._sandbox.running

    def up(self, port: int) -> None:
        """Start what does not run yet; what runs with today's configuration is left alone."""
        if os.geteuid() != 0:
            raise ClusterError(
                "Without a Docker engine the local cluster needs root: it makes namespaces and mounts.",
                "Run it as root (sudo make up), or start Docker.",
            )
        debian.ensure(*PACKAGES)
        programs = tools.ensure("kubernetes", self._paths)
        with step("starting the node"):
            self._configure()
            self._sandbox.ensure()
            self._start("etcd", control_plane.etcd(self._node))
            self._start("containerd", worker.containerd(self._node))
            self._start("kube-apiserver", control_plane.apiserver(programs, self._node, self._paths))
            self._await_api(programs)
            self._start("kube-controller-manager", control_plane.controller_manager(programs, self._node))
            self._start("kube-scheduler", control_plane.scheduler(programs, self._node))
            self._start("kubelet", worker.kubelet(programs, self._node))
            self._start("kube-proxy", worker.kube_proxy(programs, self._node))
            self._start("volumes", self._helper("volumes", self._paths.kubeconfig, programs / "kubectl"))
            forward = self._helper("forward", f"127.0.0.1:{port}", f"{layout.NODE_ADDRESS}:80")
            self._start("forward", forward, host_network=True)

    def down(self) -> None:
        """Take the node away, and every trace of it."""
        self._sandbox.remove()

    def load(self, archive: Path) -> None:
        """Give the node an image from a docker-archive file."""
        self._sandbox.enter(
            ["ctr", f"--address={worker.CONTAINERD_SOCKET}", "-n", "k8s.io", "images", "import", archive]
        )

    def images(self) -> set[str]:
        """Names of the images the node has."""
        argv: list[Word] = ["ctr", f"--address={worker.CONTAINERD_SOCKET}", "-n", "k8s.io", "images", "ls", "-q"]
        return set(self._sandbox.enter(argv).split())

    def components(self) -> dict[str, bool]:
        """Each process of the node and whether it runs."""
        return {name: processes.load(self._node.processes / f"{name}.json") is not None for name in COMPONENTS}

    def _configure(self) -> None:
        for folder in (self._node.config, self._paths.logs, self._paths.audit_log.parent):
            folder.mkdir(parents=True, exist_ok=True)
        certificates.ensure(self._node)
        for client in certificates.CLIENTS:
            _write_secret(
                self._node.config / f"{client.file}.kubeconfig", certificates.kubeconfig(self._node, client.file)
            )
        shutil.copy(self._node.config / "admin.kubeconfig", self._paths.kubeconfig)
        control_plane.configure(self._node)
        worker.configure(self._node)

    def _start(self, name: str, argv: Sequence[Word], *, host_network: bool = False) -> None:
        self._sandbox.start(name, argv, self._digest(argv), host_network=host_network)

    def _digest(self, argv: Sequence[Word]) -> str:
        """What a process was started with: its command line and the configuration files named there."""
        key = hashlib.sha256("\0".join(str(word) for word in argv).encode())
        for word in argv:
            file = Path(str(word).partition("=")[2] or word)
            if file.is_file() and file.is_relative_to(self._node.config):
                key.update(file.read_bytes())
        return key.hexdigest()

    def _helper(self, module: str, *arguments: Word) -> list[Word]:
        """A small Python process of ours."""
        program = self._paths.repository / "hack" / "cluster" / "node" / f"{module}.py"
        return [sys.executable, program, *arguments]

    def _await_api(self, programs: Path) -> None:
        ready: list[Word] = [programs / "kubectl", f"--kubeconfig={self._paths.kubeconfig}", "get", "--raw=/readyz"]
        hint = f"Its last words are in {self._paths.logs}/kube-apiserver.log; `make down` and `make up` start afresh."
        processes.wait(lambda: succeeds(ready) or None, 60, "the API server is ready", hint)


def _write_secret(file: Path, text: str) -> None:
    file.touch(mode=0o600)
    file.write_text(text)

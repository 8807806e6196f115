"""The cluster's Go programs, built once per machine from the pins in hack/tools and kept in the cache."""

import hashlib
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hack.cluster import golang
from hack.cluster.paths import Paths
from hack.cluster.shell import ClusterError, Word, run, step

KUBERNETES_VERSION = "v1.34.4"
_KUBE = "k8s.io/kubernetes/cmd"
_STAMP = "k8s.io/component-base/version"
_KUBE_STAMP = (
    f" -X {_STAMP}.gitVersion={KUBERNETES_VERSION} -X {_STAMP}.gitMajor=1 -X {_STAMP}.gitMinor=34"
    f" -X {_STAMP}.gitTreeState=clean -X {_STAMP}.gitCommit=unknown"
)


@dataclass(frozen=True)
class Tool:
    """One folder of hack/tools and the programs built from its pins."""

    name: str
    packages: tuple[str, ...]
    expect: str
    module: str = ""
    stamp: str = ""

    @property
    def folder(self) -> str:
        """The folder of hack/tools that pins it."""
        return self.module or self.name

    @property
    def ldflags(self) -> str:
        """Small binaries, and a version where the program asks for one."""
        return "-s -w" + self.stamp


_SERVERS = ("kube-apiserver", "kube-controller-manager", "kube-proxy", "kube-scheduler", "kubectl", "kubelet")
TOOLS: dict[str, Tool] = {
    tool.name: tool
    for tool in (
        Tool("kubernetes", tuple(f"{_KUBE}/{name}" for name in _SERVERS), "11 min", stamp=_KUBE_STAMP),
        Tool("kubectl", (f"{_KUBE}/kubectl",), "3 min", module="kubernetes", stamp=_KUBE_STAMP),
        Tool("helm", ("helm.sh/helm/v3/cmd/helm",), "3 min"),
        Tool("coredns", ("github.com/coredns/coredns",), "3 min"),
        Tool("metrics-server", ("sigs.k8s.io/metrics-server/cmd/metrics-server",), "4 min"),
        Tool("traefik", ("github.com/traefik/traefik/v3/cmd/traefik",), "8 min"),
        Tool("kwok", ("sigs.k8s.io/kwok/cmd/kwok",), "2 min"),
        Tool("vegeta", ("github.com/tsenart/vegeta/v12",), "1 min"),
        Tool("kind", ("sigs.k8s.io/kind",), "1 min"),
    )
}


def ensure(name: str, paths: Paths | None = None) -> Path:
    """The folder that holds the tool's programs; builds them first where this machine has not got them yet."""
    paths = paths or Paths.from_env()
    if name not in TOOLS:
        raise ClusterError(f"There is no tool {name!r}.", f"Known tools: {', '.join(sorted(TOOLS))}.")
    tool = TOOLS[name]
    go = golang.find(paths)
    folder = paths.cache / "tools" / f"{tool.name}-{digest(tool, go, paths)}"
    if not folder.is_dir():
        _build(tool, golang.ensure(paths), folder, paths)
    return folder


def ensure_kubectl(paths: Paths) -> Path:
    """The folder with kubectl: the whole Kubernetes where it is already built, else kubectl alone."""
    tool = TOOLS["kubernetes"]
    whole = paths.cache / "tools" / f"kubernetes-{digest(tool, golang.find(paths), paths)}"
    return whole if whole.is_dir() else ensure("kubectl", paths)


def digest(tool: Tool, go: golang.Go, paths: Paths) -> str:
    """The key of the cache: everything that the outcome follows from."""
    pins = paths.repository / "hack" / "tools" / tool.folder
    key = hashlib.sha256()
    for part in (
        (pins / "go.mod").read_bytes(),
        (pins / "go.sum").read_bytes(),
        " ".join((*tool.packages, *_arguments(tool))).encode(),
        go.version.encode(),
    ):
        key.update(hashlib.sha256(part).digest())
    return key.hexdigest()[:16]


def _arguments(tool: Tool) -> Sequence[str]:
    return ("CGO_ENABLED=0", "-trimpath", "-ldflags", tool.ldflags)


def _build(tool: Tool, go: golang.Go, folder: Path, paths: Paths) -> None:
    """Build beside the final folder and rename, so that a build cut short is never mistaken for a whole one."""
    pins = paths.repository / "hack" / "tools" / tool.folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{tool.name}-", dir=folder.parent))
    log = paths.cache / "logs" / f"build-{tool.name}.log"
    try:
        work.chmod(0o755)
        with step(f"building {tool.name} (once on this machine, about {tool.expect} on 2 cores)"):
            for package in tool.packages:
                argv: list[Word] = [
                    go.program,
                    "build",
                    "-trimpath",
                    "-ldflags",
                    tool.ldflags,
                    "-o",
                    f"{work}/",
                    package,
                ]
                run(argv, cwd=pins, env=golang.ENVIRONMENT, log=log)
        if not folder.is_dir():
            work.rename(folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)

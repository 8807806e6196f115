"""What a local cluster can do, whichever way it runs: kind where a Docker engine answers, else the native node."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from hack.cluster.buildah import Buildah
from hack.cluster.images import Image
from hack.cluster.kind import Docker, KindCluster
from hack.cluster.node.native import NativeNode
from hack.cluster.paths import Paths
from hack.cluster.shell import ClusterError, succeeds


class Provider(Protocol):
    """One way to run the cluster."""

    name: str

    @property
    def begun(self) -> bool:
        """Whether the state folder says that one was begun, however far it got and whether or not it runs."""

    @property
    def running(self) -> bool:
        """Whether there is a cluster, be it damaged."""

    def up(self, port: int) -> None:
        """Start or repair it; people reach its ingress at this port of the loopback address."""

    def down(self) -> None:
        """Take it away without a trace, however far it got."""

    def load(self, archive: Path) -> None:
        """Give its node an image."""

    def images(self) -> set[str]:
        """Full names of the images its node has."""

    def components(self) -> dict[str, bool]:
        """The parts that are not pods, and whether each runs."""


class Builder(Protocol):
    """One way to build images."""

    def ensure(self, image: Image) -> str:
        """Build it where its inputs changed; returns the digest of the inputs."""

    def archive(self, image: Image, digest: str) -> AbstractContextManager[Path]:
        """The built image as a docker-archive file."""


def choose(paths: Paths) -> tuple[Provider, Builder]:
    """The way that was begun here; where none was, kind if a Docker engine answers, else the native node."""
    native, kind = NativeNode(paths), KindCluster(paths)
    docker = succeeds(["docker", "version", "--format", "{{.Server.Version}}"])
    if kind.begun and not docker:
        raise ClusterError(
            "The local cluster runs in Docker (kind), and Docker does not answer; nothing was changed.",
            f"Start Docker and try again. If Docker is gone for good, and the cluster with it: rm -r {paths.state}",
        )
    if kind.begun or (docker and not native.begun):
        return kind, Docker(paths)
    return native, Buildah(paths)

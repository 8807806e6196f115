"""The verbs that change the cluster: up, down, load-image. One at a time on a machine."""

import fcntl
import shutil
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path

from hack.cluster import addons, chart, images, loading, provider, report
from hack.cluster.images import Image
from hack.cluster.kubectl import Kubectl
from hack.cluster.paths import Paths
from hack.cluster.shell import ClusterError, say, step


class Extent(StrEnum):
    """How much of the whole `up` brings up; each holds what stands before it."""

    NODE = "node"
    CHART = "chart"
    TENANTS = "tenants"


def up(paths: Paths, port: int, extent: Extent = Extent.TENANTS) -> None:
    """Bring everything up, from whatever is there: tools, node, addons, images, chart, sample tenants."""
    with _alone(paths):
        cluster, builder = provider.choose(paths)
        say(f"The local cluster runs on {'kind' if cluster.name == 'kind' else 'a native node of this machine'}.")
        _check_port(cluster, port)
        paths.state.mkdir(parents=True, exist_ok=True)
        cluster.up(port)
        kubectl = Kubectl(paths)
        digests = loading.ensure(_wanted(cluster, paths), cluster, builder, paths)
        addons.ensure(cluster, kubectl, paths, digests)
        if extent == Extent.NODE:
            return
        chart.ensure(cluster, kubectl, paths, port, digests)
        chart.await_workloads(kubectl)
        if extent == Extent.TENANTS:
            ready, fresh = chart.ensure_tenants(kubectl, paths)
            report.show(ready, report.invitations(ready, port, patient=fresh), port)


def down(paths: Paths) -> None:
    """Take the cluster away; what is expensive to make again stays in the cache."""
    with _alone(paths):
        cluster, _ = provider.choose(paths)
        with step("taking the local cluster away"):
            cluster.down()
            shutil.rmtree(paths.state, ignore_errors=True)


def load_image(paths: Paths, names: Sequence[str]) -> None:
    """Load archives into the node, or build and load our own images by name."""
    with _alone(paths):
        cluster, builder = provider.choose(paths)
        if not cluster.running:
            raise ClusterError("There is no local cluster.", "Start it: make up")
        known = {image.name: image for image in _wanted(cluster, paths)}
        for name in names:
            if name in known:
                loading.ensure([known[name]], cluster, builder, paths)
            elif Path(name).is_file():
                cluster.load(Path(name).resolve())
            else:
                raise ClusterError(
                    f"{name} is neither an image of ours nor a file.", f"Ours: {', '.join(sorted(known))}."
                )


@contextmanager
def built(paths: Paths, name: str) -> Iterator[Path]:
    """Build one of our own images where its inputs changed, and lend it as a docker-archive file; no cluster is needed."""
    with _alone(paths):
        _, builder = provider.choose(paths)
        image = next(image for image in images.application_images(paths) if image.name == name)
        with builder.archive(image, builder.ensure(image)) as archive:
            yield archive


def _wanted(cluster: provider.Provider, paths: Paths) -> list[Image]:
    own = images.application_images(paths)
    if cluster.name == "native":
        own.append(images.postgres_image(paths))
    return [*addons.wanted_images(cluster, paths), *own]


def _check_port(cluster: provider.Provider, port: int) -> None:
    """Refuse early when another program holds the port."""
    if cluster.running:
        return
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            hint = f"Choose another: make up HOA_PORT={port + 1}"
            raise ClusterError(f"Port {port} of 127.0.0.1 is taken ({error.strerror}).", hint) from error


@contextmanager
def _alone(paths: Paths) -> Iterator[None]:
    """Hold the lock of this machine's one local cluster. It lies beside the state folder, which `down` removes."""
    paths.state.parent.mkdir(parents=True, exist_ok=True)
    with (paths.state.parent / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            say("Waiting for another `make up` or `make down` to end.")
            fcntl.flock(file, fcntl.LOCK_EX)
        # What a command left that was killed.
        shutil.rmtree(paths.scratch, ignore_errors=True)
        paths.scratch.mkdir(parents=True)
        yield

"""The local cluster where a Docker engine answers: kind, with the same addons and ports as the native node."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hack.cluster import images, tools
from hack.cluster.images import Image
from hack.cluster.node.control_plane import AUDIT_POLICY
from hack.cluster.paths import Paths
from hack.cluster.shell import ClusterError, Word, run, step, succeeds

NAME = "hoa-connect"
NODE = f"{NAME}-control-plane"
NODE_IMAGE = "kindest/node:v1.34.11@sha256:44e222ee2132dab25ff87301682f89eb82c7880ea3a1bf543bfe9708fd08d67d"
"""Built for the kind that hack/tools/kind pins: change both together, to what that release's notes name."""

_INSIDE = "/var/log/hoa-connect"


class KindCluster:
    """A one-node kind cluster."""

    name = "kind"

    def __init__(self, paths: Paths) -> None:
        self._paths = paths

    @property
    def begun(self) -> bool:
        """Whether its creation was begun."""
        return self._mark.is_file()

    @property
    def running(self) -> bool:
        """Whether its node's container runs."""
        argv = ["docker", "inspect", "--format", "{{.State.Running}}", NODE]
        return succeeds(argv) and run(argv).strip() == "true"

    def up(self, port: int) -> None:
        """Create the cluster, or start its container again after a reboot; one half made is made anew."""
        if self._container and not self._whole:
            with step("removing a kind cluster whose creation was cut short"):
                self._kind("delete", "cluster")
        if not self._container:
            self._create(port)
        elif not self.running:
            with step("starting the kind node again"):
                run(["docker", "start", NODE])
        self._check_port(port)
        self._paths.kubeconfig.parent.mkdir(parents=True, exist_ok=True)
        self._kind("export", "kubeconfig", f"--kubeconfig={self._paths.kubeconfig}")

    def down(self) -> None:
        """Delete the cluster; kind itself says nothing when there is none."""
        if self._container:
            self._kind("delete", "cluster")

    def load(self, archive: Path) -> None:
        """Give the node an image."""
        self._kind("load", "image-archive", str(archive))

    def images(self) -> set[str]:
        """Names of the images on the node."""
        return set(run(["docker", "exec", NODE, "ctr", "-n", "k8s.io", "images", "ls", "-q"]).split())

    def components(self) -> dict[str, bool]:
        """The node's container."""
        return {NODE: self.running}

    @property
    def _container(self) -> str:
        """The id of its node's container; empty when there is none."""
        argv = ["docker", "inspect", "--format", "{{.Id}}", NODE]
        return run(argv).strip() if succeeds(argv) else ""

    @property
    def _mark(self) -> Path:
        """Empty while kind creates the cluster; then the id of the container that this gave."""
        return self._paths.state / "kind-node"

    @property
    def _whole(self) -> bool:
        return self.begun and self._mark.read_text() == self._container

    def _create(self, port: int) -> None:
        folder = self._paths.audit_log.parent
        folder.mkdir(parents=True, exist_ok=True)
        self._mark.write_text("")
        (folder / "policy.json").write_text(json.dumps(AUDIT_POLICY, indent=2))
        with tempfile.TemporaryDirectory() as scratch, step("creating the kind cluster"):
            config = Path(scratch) / "kind.json"
            config.write_text(json.dumps(configuration(port, folder), indent=2))
            self._kind(
                "create", "cluster", f"--config={config}", "--wait=180s", f"--kubeconfig={self._paths.kubeconfig}"
            )
        self._mark.write_text(self._container)

    def _check_port(self, port: int) -> None:
        bound = run(["docker", "port", NODE, "80/tcp"])
        if f"127.0.0.1:{port}" not in bound:
            hint = "Either leave HOA_PORT as it was, or run `make down` before `make up`."
            raise ClusterError(f"The kind cluster was made for {bound.strip()}, not for port {port}.", hint)

    def _kind(self, *arguments: str) -> None:
        program = tools.ensure("kind", self._paths) / "kind"
        run([program, *arguments, f"--name={NAME}"], log=self._paths.cache / "logs" / "kind.log")


def configuration(port: int, audit: Path) -> dict[str, object]:
    """kind's configuration: the ingress port on loopback, and the API server's audit log on this machine."""
    patch = {
        "kind": "ClusterConfiguration",
        "apiServer": {
            "extraArgs": {
                "audit-policy-file": f"{_INSIDE}/policy.json",
                "audit-log-path": f"{_INSIDE}/audit.log",
                "audit-log-maxsize": "50",
                "audit-log-maxbackup": "2",
            },
            "extraVolumes": [{"name": "audit", "hostPath": _INSIDE, "mountPath": _INSIDE, "pathType": "Directory"}],
        },
    }
    node = {
        "role": "control-plane",
        "image": NODE_IMAGE,
        "extraPortMappings": [{"containerPort": 80, "hostPort": port, "listenAddress": "127.0.0.1"}],
        "extraMounts": [{"hostPath": str(audit), "containerPath": _INSIDE}],
        "kubeadmConfigPatches": [json.dumps(patch)],
    }
    return {"kind": "Cluster", "apiVersion": "kind.x-k8s.io/v1alpha4", "nodes": [node]}


class Docker:
    """Builds images with the Docker engine."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths

    def ensure(self, image: Image) -> str:
        """Build the image where its inputs have changed; returns their digest."""
        digest = images.digest(image, "docker", self._paths)
        if not succeeds(["docker", "image", "inspect", self._tag(image, digest)]):
            context = image.context(self._paths) if image.context else self._paths.repository
            argv: list[Word] = ["docker", "build", "--file", image.dockerfile, "--tag", self._tag(image, digest)]
            with step(f"building the image {image.reference}"):
                run([*argv, context], env={"DOCKER_BUILDKIT": "1"}, log=self._paths.cache / "logs" / "docker.log")
        return digest

    @contextmanager
    def archive(self, image: Image, digest: str) -> Iterator[Path]:
        """The image as a docker-archive file, for as long as the caller needs it."""
        run(["docker", "tag", self._tag(image, digest), image.reference])
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "image.tar"
            run(["docker", "save", "--output", file, image.reference])
            yield file

    def _tag(self, image: Image, digest: str) -> str:
        return f"hoa-connect/{image.name}:dev-{digest}"

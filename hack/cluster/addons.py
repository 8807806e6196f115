"""What the node needs beside Kubernetes itself: DNS, metrics, the ingress, storage, and the mail catcher."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from hack.cluster import images
from hack.cluster.images import Image
from hack.cluster.kubectl import Kubectl
from hack.cluster.paths import Paths
from hack.cluster.provider import Provider
from hack.cluster.shell import ClusterError, step

_WAIT = "120s"


def wanted_images(provider: Provider, paths: Paths) -> list[Image]:
    """Images of the addons. kind brings DNS and the pause container itself."""
    common = images.program_images(paths, ("metrics-server", "traefik"))
    if provider.name == "native":
        return [images.pause_image(paths), *images.program_images(paths, ("coredns",)), *common]
    return common


def manifests(provider: Provider, paths: Paths) -> list[Path]:
    """Manifests of the addons."""
    folder = paths.repository / "hack" / "manifests"
    own = sorted((folder / provider.name).glob("*.yaml"))
    return [*own, *sorted(folder.glob("*.yaml"))]


def ensure(provider: Provider, kubectl: Kubectl, paths: Paths, digests: Mapping[str, str]) -> None:
    """Apply all addons and wait until each serves. `digests` are of the images, by name."""
    with step("applying the addons (DNS, metrics, ingress, storage, mail catcher)"):
        kubectl.apply(stdin=_filled(manifests(provider, paths), digests))
    with step("waiting for the addons"):
        for namespace, deployment in deployments(provider):
            if not kubectl.answers(
                "rollout", "status", f"deployment/{deployment}", "-n", namespace, f"--timeout={_WAIT}"
            ):
                raise ClusterError(
                    f"The addon {deployment} is not ready after {_WAIT}:\n{_why(kubectl, namespace)}",
                    f"Look at it: make logs C={deployment}, or kubectl -n {namespace} describe pods",
                )


def _why(kubectl: Kubectl, namespace: str) -> str:
    """Its pods and claims, and what the cluster complained about."""
    found = kubectl("get", "pods,persistentvolumeclaims", "-n", namespace)
    return f"{found}\n{kubectl('get', 'events', '-n', namespace, '--field-selector=type=Warning')}"


def _filled(files: Sequence[Path], digests: Mapping[str, str]) -> str:
    """The manifests with the images' digests, so that pods are replaced when their image was, which keeps its name."""
    text = "\n---\n".join(file.read_text() for file in files)
    for name, digest in digests.items():
        text = text.replace(f"digest-of-{name}", digest)
    return text


def deployments(provider: Provider) -> list[tuple[str, str]]:
    """Namespace and name of every addon that runs as a Deployment."""
    own = [("kube-system", "coredns")] if provider.name == "native" else []
    return [*own, ("kube-system", "metrics-server"), ("ingress", "traefik"), ("hoa-connect-dev", "mailcatcher")]

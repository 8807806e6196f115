"""HOA Connect itself: the chart and the sample tenants."""

import hashlib
import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from hack.cluster import tools
from hack.cluster.kubectl import Kubectl, Object
from hack.cluster.paths import Paths
from hack.cluster.provider import Provider
from hack.cluster.shell import ClusterError, Word, run, say, step

NAMESPACE = "hoa-connect"
RELEASE = "hoa-connect"
TENANT_SECONDS = 300.0
_UNFINISHED = f"owner=helm,name={RELEASE},status in (pending-install,pending-upgrade,pending-rollback,uninstalling)"
_DEPLOYMENTS = ("hoa-connect-operator", "hoa-connect-app", "hoa-connect-worker")


def ensure(provider: Provider, kubectl: Kubectl, paths: Paths, port: int, digests: Mapping[str, str]) -> None:
    """Install or upgrade the release, unless exactly this one is installed already."""
    values = _values(provider, paths)
    argv = _helm(paths, values, port, digests)
    key = _digest(paths, values, argv)
    mark = paths.state / "release"
    if mark.is_file() and mark.read_text() == key and _deployed(paths):
        return
    forget_unfinished(kubectl)
    with step("installing the chart"):
        run(argv, env={"KUBECONFIG": str(paths.kubeconfig)}, log=paths.logs / "helm.log")
    _restart_dedicated(kubectl)
    mark.write_text(key)


def forget_unfinished(kubectl: Kubectl, namespace: str = NAMESPACE) -> None:
    """Forget the revision of a Helm that was killed: Helm refuses to go on after it, and needs only those before."""
    names = [item["metadata"]["name"] for item in kubectl.list("secrets", namespace, selector=_UNFINISHED)]
    if names:
        say(f"An earlier run was cut short while Helm worked; forgetting its revision ({', '.join(names)}).")
        kubectl("delete", "secrets", f"--namespace={namespace}", "--ignore-not-found", *names)


def await_workloads(kubectl: Kubectl) -> None:
    """Wait until everything the chart runs is ready, saying what is awaited."""
    with step("waiting for operator, app, worker and Postgres"):
        for workload in ("statefulset/hoa-connect-postgres", *(f"deployment/{name}" for name in _DEPLOYMENTS)):
            if not kubectl.answers("rollout", "status", workload, "-n", NAMESPACE, "--timeout=180s"):
                raise ClusterError(
                    f"{workload} is not ready after 180 s:\n{_why(kubectl)}",
                    f"Look at it: make logs C={workload.partition('/hoa-connect-')[2]}, or kubectl -n {NAMESPACE} describe pods",
                )


def sample_tenants(paths: Paths) -> list[Path]:
    """Manifests of the sample tenants; install.yaml beside them is the chart rendered."""
    return [file for file in sorted((paths.repository / "manifests").glob("*.yaml")) if file.name != "install.yaml"]


def ensure_tenants(kubectl: Kubectl, paths: Paths) -> tuple[list[Object], bool]:
    """Apply the sample tenants and wait until each is Ready; returns them, and whether any had to be waited for."""
    files = sample_tenants(paths)
    names = [line.split("/")[1].split()[0] for line in kubectl.apply(*files, namespace=NAMESPACE).splitlines()]
    with step(f"waiting for the tenants {', '.join(names)}"):
        return _await_ready(kubectl, names)


def pending(tenant: Object) -> str:
    """What a tenant still waits for, in its own conditions' words; empty when it is Ready."""
    conditions = {item["type"]: item for item in tenant.get("status", {}).get("conditions", ())}
    ready = conditions.get("Ready", {})
    observed = tenant.get("status", {}).get("observedGeneration") == tenant["metadata"]["generation"]
    if ready.get("status") == "True" and observed:
        return ""
    if not conditions:
        return "the operator has not looked at it yet"
    waiting = [
        item for name, item in conditions.items() if item["status"] != "True" and name not in ("Ready", "Stalled")
    ]
    first = waiting[0] if waiting and conditions.get("Stalled", {}).get("status") != "True" else ready or waiting[0]
    return f"{first['type']}: {first.get('reason', '')}: {first.get('message', '')}"


def _await_ready(kubectl: Kubectl, names: list[str]) -> tuple[list[Object], bool]:
    deadline = time.monotonic() + TENANT_SECONDS
    said: dict[str, str] = {}
    waited = False
    while True:
        tenants = [item for item in kubectl.list("hoatenants", NAMESPACE) if item["metadata"]["name"] in names]
        waiting = {item["metadata"]["name"]: pending(item) for item in tenants}
        for name, what in waiting.items():
            if said.get(name) != what:
                say(f"    {name}: {what or 'Ready'}")
        said |= waiting
        if len(tenants) == len(names) and not any(waiting.values()):
            return tenants, waited
        waited = True
        if time.monotonic() > deadline:
            late = ", ".join(name for name, what in waiting.items() if what)
            raise ClusterError(
                f"Not Ready after {TENANT_SECONDS:.0f} s: {late or 'the sample tenants'}.",
                "Look at one: kubectl -n hoa-connect describe hoat NAME; at the operator: make logs C=operator",
            )
        time.sleep(0.5)


def _values(provider: Provider, paths: Paths) -> list[Path]:
    folder = paths.repository / "hack"
    own = folder / f"values-{provider.name}.yaml"
    return [folder / "values-local.yaml", *([own] if own.is_file() else [])]


def _helm(paths: Paths, values: list[Path], port: int, digests: Mapping[str, str]) -> list[Word]:
    """The helm command. The images' digests are annotations, so that pods are replaced when their image is."""
    argv: list[Word] = [tools.ensure("helm", paths) / "helm", "upgrade", "--install", RELEASE]
    argv += [paths.repository / "charts" / "hoa-connect", f"--namespace={NAMESPACE}", "--create-namespace"]
    for file in values:
        argv += ["--values", file]
    argv.append(f"--set=ingress.port={port}")
    for part, image in (("operator", "operator"), ("app", "app"), ("worker", "app"), ("postgres", "postgres")):
        if image in digests:
            argv.append(f"--set-string={part}.podAnnotations.hoaconnect\\.com/image={digests[image]}")
    return [*argv, "--timeout=5m"]


def _digest(paths: Paths, values: list[Path], argv: list[Word]) -> str:
    key = hashlib.sha256("\0".join(map(str, argv)).encode())
    chart = paths.repository / "charts" / "hoa-connect"
    for file in [*values, *_files(chart), *_files(paths.repository / "crds")]:
        key.update(file.read_bytes())
    return key.hexdigest()


def _files(folder: Path) -> Iterator[Path]:
    return (file for file in sorted(folder.rglob("*")) if file.is_file())


def _deployed(paths: Paths) -> bool:
    argv: list[Word] = [tools.ensure("helm", paths) / "helm", "list", f"--namespace={NAMESPACE}", "--output=json"]
    releases = json.loads(run(argv, env={"KUBECONFIG": str(paths.kubeconfig)}))
    return any(item["name"] == RELEASE and item["status"] == "deployed" for item in releases)


def _restart_dedicated(kubectl: Kubectl) -> None:
    """Tenants with Deployments of their own run the app's image too, which keeps its name when it changes."""
    if kubectl.list("deployments", NAMESPACE, selector="hoaconnect.com/tenant"):
        kubectl("rollout", "restart", "deployment", "-n", NAMESPACE, "--selector=hoaconnect.com/tenant")


def _why(kubectl: Kubectl) -> str:
    """The pods, and the last words of each that is not ready."""
    lines = [kubectl("get", "pods", "-n", NAMESPACE)]
    for pod in kubectl.list("pods", NAMESPACE):
        for container in pod.get("status", {}).get("containerStatuses", ()):
            if container["ready"] or container["state"].get("terminated", {}).get("reason") == "Completed":
                continue
            argv = ["logs", pod["metadata"]["name"], "-n", NAMESPACE, "-c", container["name"], "--tail=5"]
            if container["restartCount"]:
                argv.append("--previous")
            if kubectl.answers(*argv):
                lines.append(f"{pod['metadata']['name']}:\n{kubectl(*argv)}")
    return "\n".join(lines)

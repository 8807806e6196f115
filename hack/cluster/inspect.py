"""The verbs that only look: status, logs, env."""

import shlex
from pathlib import Path

from hack.cluster import addons, chart, provider, tools
from hack.cluster.kubectl import Kubectl
from hack.cluster.paths import Paths
from hack.cluster.shell import ClusterError, say

_TAIL = 200


def status(paths: Paths) -> None:
    """Print the node's parts, the pods, and the tenants."""
    cluster, _ = provider.choose(paths)
    if not cluster.running:
        say("There is no local cluster. Start it: make up")
        return
    print(f"Local cluster: {cluster.name}")
    for name, alive in cluster.components().items():
        print(f"  {name:26} {'runs' if alive else 'DOES NOT RUN (make up starts it again)'}")
    kubectl = Kubectl(paths)
    if not kubectl.answers("get", "--raw=/readyz"):
        raise ClusterError(
            "The API server does not answer.", "Start it again: make up; its log: make logs C=kube-apiserver"
        )
    print()
    print(kubectl("get", "nodes,pods", "--all-namespaces"))
    if kubectl.answers("get", "crd", "hoatenants.hoaconnect.com"):
        print(kubectl("get", "hoatenants", f"--namespace={chart.NAMESPACE}"))


def logs(paths: Paths, component: str) -> None:
    """Print the end of one component's log; without a name, say which there are."""
    cluster, _ = provider.choose(paths)
    own, pods = _files(paths), _workloads(cluster)
    if component in own:
        lines = own[component].read_text(errors="replace").splitlines()
        print("\n".join(lines[-_TAIL:]))
    elif component in pods:
        namespace, workload = pods[component]
        print(Kubectl(paths)("logs", workload, "-n", namespace, f"--tail={_TAIL}", "--all-pods", "--prefix"))
    else:
        what = f"There is no component {component!r}." if component else "Name a component: make logs C=NAME"
        raise ClusterError(what, f"There are: {', '.join(sorted([*own, *pods]))}.")


def env(paths: Paths) -> None:
    """Print shell lines that make kubectl and helm work on the local cluster."""
    folders = [tools.ensure_kubectl(paths), tools.ensure("helm", paths)]
    print(f"export KUBECONFIG={shlex.quote(str(paths.kubeconfig))}")
    print(f"export PATH={shlex.quote(':'.join(map(str, folders)))}:$PATH")


def _files(paths: Paths) -> dict[str, Path]:
    return {file.stem: file for file in paths.logs.glob("*.log")}


def _workloads(cluster: provider.Provider) -> dict[str, tuple[str, str]]:
    """Every component that runs as pods: its namespace and workload."""
    found = {name: (namespace, f"deployment/{name}") for namespace, name in addons.deployments(cluster)}
    for part in ("operator", "app", "worker"):
        found[part] = (chart.NAMESPACE, f"deployment/{chart.RELEASE}-{part}")
    found["postgres"] = (chart.NAMESPACE, f"statefulset/{chart.RELEASE}-postgres")
    return found

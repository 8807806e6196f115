"""containerd, the kubelet and kube-proxy: their command lines and configuration."""

import json
from pathlib import Path

from hack.cluster import debian
from hack.cluster.node import layout
from hack.cluster.node.layout import Layout
from hack.cluster.shell import Word

CONTAINERD_SOCKET = "/run/containerd/containerd.sock"
"""In the node's own /run, so it never meets a containerd of the host."""

PAUSE_IMAGE = "docker.io/hoa-connect/pause:dev"

_CONTAINERD = """\
version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs",
  "io.containerd.tracing.processor.v1.otlp",
  "io.containerd.internal.v1.tracing",
]

[grpc]
  address = "{socket}"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  # A pause container asks for a negative OOM score, which a machine without CAP_SYS_RESOURCE refuses.
  restrict_oom_score_adj = true

  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"

    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"

  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{config}/cni"
"""


def configure(node: Layout) -> None:
    """Write the files that the command lines below name."""
    (node.config / "cni").mkdir(exist_ok=True)
    (node.config / "cni" / "10-hoa-connect.conflist").write_text(json.dumps(_cni(), indent=2))
    text = _CONTAINERD.format(socket=CONTAINERD_SOCKET, pause=PAUSE_IMAGE, config=node.config)
    (node.config / "containerd.toml").write_text(text)
    # Empty: pods ask the cluster's DNS only, never the machine's resolver.
    (node.config / "resolv.conf").write_text("")
    (node.config / "kubelet.json").write_text(json.dumps(_kubelet(node), indent=2))
    (node.config / "kube-proxy.json").write_text(json.dumps(_kube_proxy(node), indent=2))


def containerd(node: Layout) -> list[Word]:
    """The container runtime."""
    return [debian.program("containerd"), f"--config={node.config}/containerd.toml", "--log-level=warn"]


def kubelet(programs: Path, node: Layout) -> list[Word]:
    """The node's agent."""
    return [
        programs / "kubelet",
        f"--config={node.config}/kubelet.json",
        f"--kubeconfig={node.config}/kubelet.kubeconfig",
        f"--hostname-override={layout.NAME}",
        f"--node-ip={layout.NODE_ADDRESS}",
    ]


def kube_proxy(programs: Path, node: Layout) -> list[Word]:
    """The rules behind every Service, in the node's own iptables."""
    return [programs / "kube-proxy", f"--config={node.config}/kube-proxy.json"]


def _cni() -> dict[str, object]:
    """A link per pod (no bridge, which would need a kernel module more) and host ports."""
    return {
        "cniVersion": "0.4.0",
        "name": layout.NAME,
        "plugins": [
            {
                "type": "ptp",
                "ipMasq": True,
                "ipam": {
                    "type": "host-local",
                    "ranges": [[{"subnet": layout.POD_RANGE}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": True}},
        ],
    }


def _kubelet(node: Layout) -> dict[str, object]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {"x509": {"clientCAFile": f"{node.pki}/ca.crt"}},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{layout.NAME}",
        "clusterDNS": [layout.DNS_SERVICE],
        "clusterDomain": "cluster.local",
        "containerRuntimeEndpoint": f"unix://{CONTAINERD_SOCKET}",
        "enforceNodeAllocatable": [],
        # A developer's disk is often nearly full; nothing is evicted and no loaded image is collected for that.
        "evictionHard": {"memory.available": "0%", "nodefs.available": "0%", "imagefs.available": "0%"},
        "imageGCHighThresholdPercent": 100,
        "failSwapOn": False,
        "oomScoreAdj": 0,
        "resolvConf": f"{node.config}/resolv.conf",
        "serializeImagePulls": False,
        "tlsCertFile": f"{node.pki}/kubelet-server.crt",
        "tlsPrivateKeyFile": f"{node.pki}/kubelet-server.key",
    }


def _kube_proxy(node: Layout) -> dict[str, object]:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "iptables",
        "clientConnection": {"kubeconfig": f"{node.config}/kube-proxy.kubeconfig"},
        "clusterCIDR": layout.POD_RANGE,
        # The limits on tracked connections belong to the host's kernel: leave them.
        "conntrack": {"maxPerCore": 0, "min": 0},
        "hostnameOverride": layout.NAME,
    }

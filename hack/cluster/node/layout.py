"""Names, addresses and folders of the native node."""

from dataclasses import dataclass
from pathlib import Path

from hack.cluster.paths import Paths

NAME = "hoa-connect"
"""The node's name, and that of its network namespace, its cgroup and its CNI network."""

HOST_ADDRESS = "10.231.0.1"
NODE_ADDRESS = "10.231.0.2"
HOST_LINK = "hoa-host"
NODE_LINK = "eth0"
POD_RANGE = "10.244.0.0/24"
SERVICE_RANGE = "10.96.0.0/16"
API_SERVICE = "10.96.0.1"
DNS_SERVICE = "10.96.0.10"
API_URL = f"https://{NODE_ADDRESS}:6443"
NETNS = Path("/run/netns") / NAME


@dataclass(frozen=True)
class Layout:
    """Folders of the node below the cluster's state folder."""

    root: Path

    @classmethod
    def of(cls, paths: Paths) -> "Layout":
        """The node of these paths."""
        return cls(paths.state / "node")

    @property
    def pki(self) -> Path:
        """Keys and certificates."""
        return self.root / "pki"

    @property
    def config(self) -> Path:
        """Configuration files and kubeconfigs of the components."""
        return self.root / "config"

    @property
    def var(self) -> Path:
        """What the node sees as /var: containers, volumes, pod logs."""
        return self.root / "var"

    @property
    def processes(self) -> Path:
        """One record per process: its id and start time."""
        return self.root / "processes"

    @property
    def volumes(self) -> Path:
        """Seen from the host, where persistent volumes live; the node sees it below its /var."""
        return self.var / "lib" / "volumes"

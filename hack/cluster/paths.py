"""Where the local cluster keeps things: all of it outside the checkout, so that a fresh clone finds its tools again."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Paths:
    """The folders that hack reads and writes.

    `cache` holds what is expensive and keyed by its inputs (tools, images, wheels); it outlives the cluster.
    `state` holds what belongs to the running cluster; `down` removes it.
    """

    repository: Path
    cache: Path
    state: Path

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> "Paths":
        """Follow the XDG base directories, as other command-line programs do."""
        env = os.environ if environ is None else environ
        home = Path(env.get("HOME") or Path.home())
        cache = Path(env.get("XDG_CACHE_HOME") or home / ".cache")
        state = Path(env.get("XDG_STATE_HOME") or home / ".local" / "state")
        return cls(REPOSITORY, cache / "hoa-connect", state / "hoa-connect" / "cluster")

    @property
    def scratch(self) -> Path:
        """Folders of one command only; whoever holds the cluster's lock may clear it."""
        return self.cache / "scratch"

    @property
    def kubeconfig(self) -> Path:
        """The cluster's admin kubeconfig."""
        return self.state / "kubeconfig"

    @property
    def logs(self) -> Path:
        """One log file per process of the node, and per long step of `up`."""
        return self.state / "logs"

    @property
    def audit_log(self) -> Path:
        """The API server's audit log: one JSON line per write, metadata only."""
        return self.state / "audit" / "audit.log"

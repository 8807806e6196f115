"""The namespaces the node lives in: made, entered, and taken away whole."""

import os
import shutil
import signal
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from hack.cluster import debian
from hack.cluster.node import layout, processes
from hack.cluster.node.layout import Layout
from hack.cluster.paths import Paths
from hack.cluster.shell import ClusterError, Word, run, succeeds


class Sandbox:
    """One init process with its own PIDs, mounts and network, in which the node's processes are started."""

    def __init__(self, paths: Paths) -> None:
        self._logs = paths.logs
        self._node = Layout.of(paths)
        self._record = self._node.processes / "init.json"

    @property
    def running(self) -> bool:
        """Whether the init is there, and with it everything below."""
        return processes.load(self._record) is not None

    def ensure(self) -> bool:
        """Make the namespaces where they are not there; returns whether they are new."""
        if self.running:
            return False
        self.remove()
        _check_folders(self._node)
        _make_network()
        for folder in ("lib/volumes", "log", "tmp"):
            (self._node.var / folder).mkdir(parents=True, exist_ok=True)
        if not (self._node.var / "run").is_symlink():
            (self._node.var / "run").symlink_to("/run")
        inside: list[Word] = [
            "unshare",
            "--mount",
            "--ipc",
            "--pid",
            "--fork",
            "--mount-proc",
            debian.program("catatonit"),
            "-P",
        ]
        wrapper = processes.start(["nsenter", f"--net={layout.NETNS}", *inside], self._logs / "init.log")
        init = processes.only_child(wrapper)
        processes.save(self._record, init)
        # The node's own /run and /var: what its programs leave there goes away with it, and never meets the host's.
        self.enter(["mount", "-t", "tmpfs", "-o", "mode=755", "node-run", "/run"])
        self.enter(["mount", "--bind", self._node.var, "/var"])
        for cgroup in _cgroup_roots():
            cgroup.mkdir(exist_ok=True)
        return True

    def enter(self, argv: Sequence[Word]) -> str:
        """Run a command inside the node, to its end."""
        return run([*self._prefix(), *argv])

    def start(self, name: str, argv: Sequence[Word], digest: str, *, host_network: bool = False) -> None:
        """Start one of the node's processes, unless it runs with this very configuration."""
        file = self._node.processes / f"{name}.json"
        record = processes.load(file)
        if record is not None and record.digest == digest:
            return
        processes.stop(file)
        wrapper = processes.start([*self._prefix(host_network=host_network), *argv], self._logs / f"{name}.log")
        processes.save(file, processes.only_child(wrapper), digest)

    def remove(self) -> None:
        """Take everything away: processes, mounts, network and cgroups. Safe at any point, any number of times."""
        record = processes.load(self._record)
        # An init whose record was never written (a command killed at the wrong moment) is known by its namespace.
        _end({*_members(layout.NETNS), *([record.pid] if record else [])})
        shutil.rmtree(self._node.processes, ignore_errors=True)
        _remove_network()
        for cgroup in _cgroup_roots():
            _remove_cgroup(cgroup)

    def _prefix(self, *, host_network: bool = False) -> list[Word]:
        record = processes.load(self._record)
        if record is None:
            raise ClusterError("The node is not running.", "Start it: make up")
        network = [] if host_network else ["--net"]
        return ["nsenter", f"--target={record.pid}", "--mount", "--ipc", "--pid", *network]


def _end(pids: set[int]) -> None:
    """Kill these processes and wait until the kernel has let go of them: an init goes last, after all below it."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    processes.wait(lambda: not any(map(processes.exists, pids)), 30, "the node's processes end")


def _members(netns: Path) -> list[int]:
    """Processes in this network namespace."""
    try:
        wanted = netns.stat()
    except OSError:
        return []
    found = []
    for link in Path("/proc").glob("[0-9]*/ns/net"):
        with suppress(OSError):
            if (link.stat().st_dev, link.stat().st_ino) == (wanted.st_dev, wanted.st_ino):
                found.append(int(link.parts[2]))
    return found


def _make_network() -> None:
    """A network namespace joined to the host by a pair of links; the host's own rules stay as they are."""
    run(["ip", "netns", "add", layout.NAME])
    inside = ["nsenter", f"--net={layout.NETNS}"]
    run(["ip", "link", "add", layout.HOST_LINK, "type", "veth", "peer", "name", layout.NODE_LINK, "netns", layout.NAME])
    run(["ip", "address", "add", f"{layout.HOST_ADDRESS}/24", "dev", layout.HOST_LINK])
    run(["ip", "link", "set", layout.HOST_LINK, "up"])
    run([*inside, "ip", "link", "set", "lo", "up"])
    run([*inside, "ip", "address", "add", f"{layout.NODE_ADDRESS}/24", "dev", layout.NODE_LINK])
    run([*inside, "ip", "link", "set", layout.NODE_LINK, "up"])
    run([*inside, "ip", "route", "add", "default", "via", layout.HOST_ADDRESS])
    run([*inside, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"])


def _remove_network() -> None:
    if layout.NETNS.exists():
        run(["ip", "netns", "delete", layout.NAME])
    # The kernel takes the host's end away with the namespace, in its own time; whoever is first, it goes.
    succeeds(["ip", "link", "delete", layout.HOST_LINK])
    link = Path("/sys/class/net") / layout.HOST_LINK
    processes.wait(lambda: not link.exists(), 10, f"the link {layout.HOST_LINK} goes")
    # The first `ip netns add` on a machine mounts the folder of the names; the last name takes it along.
    names = layout.NETNS.parent
    if names.is_dir() and not any(names.iterdir()):
        succeeds(["umount", names])
        with suppress(OSError):
            names.rmdir()


def _check_folders(node: Layout) -> None:
    """The node has its own /var and /run, so what it needs from the host must lie elsewhere."""
    for part in ("/var", "/run", "/proc", "/sys"):
        if node.root.resolve().is_relative_to(part):
            hint = "Set XDG_STATE_HOME and XDG_CACHE_HOME to folders elsewhere, for example /srv/hoa-connect."
            raise ClusterError(f"The cluster's state folder {node.root} lies in {part}.", hint)


def _cgroup_roots() -> list[Path]:
    """The node's cgroup in every hierarchy: one with cgroup v2, about a dozen with v1."""
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    return [Path(fields[1]) / layout.NAME for fields in mounts if fields[2] in ("cgroup", "cgroup2")]


def _remove_cgroup(top: Path) -> None:
    if not top.is_dir():
        return
    for folder, _, _ in os.walk(top, topdown=False):
        processes.wait(partial(_rmdir, folder), 10, f"the processes in {folder} end")


def _rmdir(folder: str) -> bool:
    try:
        Path(folder).rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True

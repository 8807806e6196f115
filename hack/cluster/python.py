"""Python packages for hack itself and for the images: installed from hash-locked lists into folders of the cache."""

import hashlib
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from hack.cluster import debian
from hack.cluster.paths import Paths
from hack.cluster.shell import Word, run, step, succeeds


def site_folder(paths: Paths, name: str, locks: Sequence[Path], options: Sequence[str] = ()) -> Path:
    """Where `ensure_site` puts the packages of these lock files: keyed by all that decides their content."""
    content = b"".join(lock.read_bytes() for lock in locks) + "\0".join(options).encode()
    return paths.cache / "sites" / f"{name}-{hashlib.sha256(content).hexdigest()[:16]}" / "packages"


def ensure_site(paths: Paths, name: str, locks: Sequence[Path], options: Sequence[str] = ()) -> Path:
    """A folder with the packages of the lock files, as `sys.path` wants it; installed where it is not there yet."""
    folder = site_folder(paths, name, locks, options)
    if folder.is_dir():
        return folder
    pip = _ensure_pip(paths)
    work = _workspace(folder)
    try:
        with step(f"installing the Python packages of {', '.join(lock.name for lock in locks)}"):
            argv: list[Word] = [pip, "-m", "pip", "install", "--quiet", "--no-compile", "--disable-pip-version-check"]
            argv += ["--require-hashes", "--no-deps", "--target", work, *options]
            for lock in locks:
                argv += ["-r", lock]
            run(argv, log=paths.cache / "logs" / "pip.log")
        work.rename(folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return folder


def _ensure_pip(paths: Paths) -> Path:
    """A pip of our own: the system's may be missing, or refuse to install outside the distribution's packages."""
    folder = paths.cache / "venv" / f"pip-{sys.version_info.major}.{sys.version_info.minor}"
    program = folder / "bin" / "python3"
    if not succeeds([program, "-m", "pip", "--version"]):
        if not succeeds([sys.executable, "-c", "import ensurepip, venv"]):
            debian.ensure("python3-venv")
        shutil.rmtree(folder, ignore_errors=True)
        run([sys.executable, "-m", "venv", folder], log=paths.cache / "logs" / "pip.log")
    return program


def _workspace(folder: Path) -> Path:
    folder.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=".part-", dir=folder.parent))
    work.chmod(0o755)
    return work

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


def site_folder(paths: Paths, name: str, lock: Path, options: Sequence[str] = ()) -> Path:
    """Where `ensure_site` puts the packages of `lock`: keyed by all that decides their content."""
    key = hashlib.sha256(lock.read_bytes() + "\0".join(options).encode()).hexdigest()[:16]
    return paths.cache / "sites" / f"{name}-{key}"


def ensure_site(paths: Paths, name: str, lock: Path, options: Sequence[str] = ()) -> Path:
    """A folder with the packages of `lock`, as `sys.path` wants it; installed only where it is not there yet."""
    folder = site_folder(paths, name, lock, options)
    if folder.is_dir():
        return folder
    pip = _ensure_pip(paths)
    work = _workspace(folder)
    try:
        with step(f"installing the Python packages of {lock.relative_to(paths.repository)}"):
            argv: list[Word] = [pip, "-m", "pip", "install", "--quiet", "--no-compile", "--disable-pip-version-check"]
            argv += ["--require-hashes", "--no-deps", "--target", work, *options, "-r", lock]
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
    work = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    work.chmod(0o755)
    return work

"""What a team would pick instead: each peer is a small application in a folder of its own, with its own locked packages."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from hack.cluster.paths import Paths

FOLDER: Final = Path(__file__).resolve().parent


def ensure(name: str) -> Path:
    """Return the python of a peer, with exactly the packages of its `requirements.txt`; installed once and kept."""
    lock = FOLDER / name / "requirements.txt"
    digest = hashlib.sha256(lock.read_bytes() + sys.version.encode()).hexdigest()[:16]
    home = Paths.from_env().cache / "peers" / f"{name}-{digest}"
    python = home / "bin" / "python"
    if python.exists():
        return python
    home.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=home.parent))
    try:
        _install(scratch, lock)
        # Its programs name the folder it was made in, so they are started as `python -m`, which does not mind a move.
        scratch.rename(home)
    except OSError:
        if not python.exists():  # else somebody else was faster
            raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return python


def _install(home: Path, lock: Path) -> None:
    uv = [sys.executable, "-m", "uv"]
    python = str(home / "bin" / "python")
    subprocess.run([*uv, "venv", "--quiet", "--allow-existing", "--python", sys.executable, str(home)], check=True)
    install = [*uv, "pip", "install", "--quiet", "--require-hashes", "--python", python]
    subprocess.run([*install, "-r", str(lock)], check=True)

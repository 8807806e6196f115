"""Where the programs are that tests need and Python packages do not bring, such as kube-apiserver and helm."""

from __future__ import annotations

import functools
import shutil
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]


class MissingProgramError(Exception):
    """A program that the tests need is not installed."""


@functools.cache
def program(name: str, tool: str, configured: str | None = None) -> Path:
    """Return a program: from the configured folder, from PATH, or as hack/ builds it under the name ``tool``."""
    if configured and (found := Path(configured) / name).exists():
        return found
    if on_path := shutil.which(name):
        return Path(on_path)
    asked = subprocess.run(
        [sys.executable, "-m", "hack.cluster", "tools", tool],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    lines = asked.stdout.strip().splitlines()
    if asked.returncode or not lines:
        raise MissingProgramError(f"{name} is missing and hack/ could not build it. {asked.stderr.strip()}")
    return Path(lines[-1]) / name

"""Starts of programs, timed: to their end, or until they are of use; by the clock and by what they used of a processor."""

from __future__ import annotations

import os
import subprocess
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench import cpu
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tests.processes import Process


@dataclass(frozen=True)
class Ran:
    """What one run took, in seconds: by the clock, and of a processor."""

    seconds: float
    cpu: float


def ran(command: Sequence[str], env: Mapping[str, str]) -> Ran:
    """Run a program to its end; it must end well."""
    started = time.perf_counter()
    process = subprocess.Popen(command, env=dict(env), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert process.stdout is not None
    said = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stdout.close()
    assert process.returncode == 0, said.decode(errors="replace")
    return Ran(seconds, usage.ru_utime + usage.ru_stime)


def started(process: Process, useful: Callable[[], bool], every: float = 0.002) -> Ran:
    """Start a program, note when it was first of use, and end it."""
    began = time.perf_counter()
    process.start()

    def look() -> bool:
        found = useful()
        assert found or process.running, f"{process.name} ended while starting\n{process.tail()}"
        return found

    try:
        until(look, lambda: f"{process.name} to be of use\n{process.tail()}", 60.0, every)
        return Ran(time.perf_counter() - began, cpu.seconds(process.pid))
    finally:
        process.stop()


def resident_mebibytes(pid: int) -> float:
    """Return what a running process holds in memory."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1024**2


def answer(url: str) -> str | None:
    """Return what an address says with 200, or None."""
    try:
        with urllib.request.urlopen(url, timeout=2) as response:
            return str(response.read().decode()) if response.status == 200 else None
    except (OSError, urllib.error.URLError):
        return None

"""Processes that outlive this command, known by id and start time, so that we never end somebody else's."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

from hack.cluster.shell import ClusterError, environment

T = TypeVar("T")

_PARENT, _STARTED = 1, 19
"""Positions in /proc/<pid>/stat after the closing parenthesis of the program's name."""


@dataclass(frozen=True)
class Record:
    """One process we started: `digest` tells whether it runs with today's configuration."""

    pid: int
    started: int
    boot: str
    digest: str = ""

    @property
    def alive(self) -> bool:
        """Whether this very process still runs (not another one that got its number)."""
        return self.boot == _boot() and _stat(self.pid)[_STARTED : _STARTED + 1] == [str(self.started)]


def load(file: Path) -> Record | None:
    """The record in `file`, if there is one and its process still runs."""
    try:
        record = Record(**json.loads(file.read_text()))
    except (OSError, ValueError, TypeError):
        return None
    return record if record.alive else None


def save(file: Path, pid: int, digest: str = "") -> Record:
    """Write down a process that has just been started."""
    stat = _stat(pid)
    if not stat:
        raise ClusterError(f"{file.stem} ended as soon as it was started.", f"Read its log: make logs C={file.stem}")
    record = Record(pid, int(stat[_STARTED]), _boot(), digest)
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_suffix(".part")
    part.write_text(json.dumps(asdict(record)))
    part.rename(file)
    return record


def start(argv: Sequence[str | Path], log: Path) -> int:
    """Start a detached process with its output in `log`; returns its id."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        process = subprocess.Popen(
            [str(word) for word in argv],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd="/",
            env=environment({"NOTIFY_SOCKET": None}),
            start_new_session=True,
        )
    # Never waited for: this command ends long before the process does.
    process.returncode = 0
    return process.pid


def only_child(parent: int) -> int:
    """The child that a wrapper such as nsenter forks: the process that matters."""
    return wait(lambda: next(iter(children(parent)), None), 10, f"process {parent} starts its child")


def children(parent: int) -> list[int]:
    """Ids of all processes whose parent is `parent`."""
    numbers = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return [pid for pid in numbers if _stat(pid)[_PARENT : _PARENT + 1] == [str(parent)]]


def exists(pid: int) -> bool:
    """Whether there is such a process, other than a corpse."""
    return bool(_stat(pid))


def stop(file: Path, grace: float = 10.0) -> None:
    """End the recorded process: asked first, then forced. Nothing happens if it is gone."""
    record = load(file)
    for number, patience in ((signal.SIGTERM, grace), (signal.SIGKILL, 10.0)):
        if record is None or not record.alive:
            break
        os.kill(record.pid, number)
        _settle(record, patience)
    file.unlink(missing_ok=True)


def wait(look: Callable[[], T | None], seconds: float, what: str, hint: str = "") -> T:
    """Look until there is an answer; say what was awaited when it never came."""
    deadline = time.monotonic() + seconds
    while True:
        answer = look()
        if answer is not None and answer is not False:
            return answer
        if time.monotonic() > deadline:
            raise ClusterError(f"Waited {seconds:.0f} s in vain: {what}.", hint)
        time.sleep(0.1)


def _settle(record: Record, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while record.alive and time.monotonic() < deadline:
        time.sleep(0.02)


def _stat(pid: int) -> list[str]:
    """Fields of /proc/<pid>/stat after the name; empty when there is no such process or only its corpse."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return []
    fields = text.rpartition(")")[2].split()
    return [] if fields[0] in "ZX" else fields


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()

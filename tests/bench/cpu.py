"""How much of a processor a program and its children have used: what a request costs, however busy the machine is."""

from __future__ import annotations

import os
from pathlib import Path


def seconds(pid: int) -> float:
    """Return the processor time of a process and of all its living descendants."""
    return sum(_own(each) for each in family(pid))


def seconds_with_ended(pid: int) -> float:
    """Return the same, and what those took that descended from it and have ended."""
    return sum(_own(each, ended=True) for each in family(pid))


def family(pid: int) -> list[int]:
    """Return a process and all that descend from it; what ends meanwhile is left out."""
    found, waiting = [], [pid]
    while waiting:
        each = waiting.pop()
        try:
            lists = [task.joinpath("children").read_text() for task in Path(f"/proc/{each}/task").iterdir()]
        except OSError:
            continue
        found.append(each)
        waiting += [int(child) for line in lists for child in line.split()]
    return found


def _own(pid: int, *, ended: bool = False) -> float:
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    # utime and stime, then those of the children it has waited for.
    return sum(map(int, after_name[11 : 15 if ended else 13])) / os.sysconf("SC_CLK_TCK")

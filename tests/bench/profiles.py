"""Where a Python server's time goes: its stack, looked at from outside two hundred times a second while it works (py-spy)."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_RATE: Final = 200
_PLACE: Final = re.compile(r"\(([^()]+?)(?::\d+)?\)$")


@dataclass
class Profile:
    """The share of the samples that were in each package, the largest first; empty until it is taken."""

    shares: Mapping[str, float]

    def words(self, most: int = 7) -> str:
        """Say where the time went."""
        first = list(self.shares.items())[:most]
        return ", ".join(f"{package} {100 * share:.0f} %" for package, share in first)


@contextmanager
def taken(pid: int, folder: Path) -> Iterator[Profile]:
    """Look at a process meanwhile."""
    raw, profile = folder / f"profile-{pid}", Profile({})
    program = Path(sys.executable).with_name("py-spy")
    command = [str(program), "record", "--rate", str(_RATE), "--format", "raw", "--output", str(raw), "--pid", str(pid)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as looking:
        try:
            yield profile
        finally:
            looking.send_signal(signal.SIGINT)
            _, said = looking.communicate(timeout=60)
    assert raw.exists(), f"no profile was taken: {said.decode(errors='replace')}"
    profile.shares = shares(raw.read_text().splitlines())


def shares(stacks: Sequence[str]) -> dict[str, float]:
    """Return each package's share of the samples, by where the innermost frame is: `outer (file:line);inner (file:line) count`."""
    found: Counter[str] = Counter()
    for stack in stacks:
        frames, _, count = stack.rpartition(" ")
        found[package_of(frames.rpartition(";")[2])] += int(count)
    return {package: count / found.total() for package, count in found.most_common()}


def package_of(frame: str) -> str:
    """Return whose code a frame is; of Python's own packages, the module's name."""
    place = _PLACE.search(frame)
    if place is None or place[1].startswith("<"):
        return "Python"
    path = Path(place[1])
    if path.suffix in (".html", ".txt"):
        return "templates"
    return path.parts[0] if len(path.parts) > 1 else path.stem

"""Programs that tests start: each with a log of its own, waited for until it answers, and ended by its pid."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

LOG_LINES_SHOWN = 30


def free_port() -> int:
    """Return a loopback port that nothing listens on right now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class Process:
    """A child process of the test run, in a process group of its own, with stdout and stderr in one log file."""

    name: str
    command: Sequence[str]
    log: Path
    env: Mapping[str, str] | None = None
    cwd: Path | None = None
    popen: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def start(self) -> Process:
        """Start it; a second start after a stop appends to the same log."""
        with self.log.open("ab") as log:
            self.popen = subprocess.Popen(
                list(self.command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=None if self.env is None else dict(self.env),
                cwd=self.cwd,
                start_new_session=True,
            )
        return self

    @property
    def pid(self) -> int:
        """Its process id; it must have been started."""
        assert self.popen is not None, f"{self.name} was not started"
        return self.popen.pid

    @property
    def running(self) -> bool:
        """Whether it still runs."""
        return self.popen is not None and self.popen.poll() is None

    def wait_until(self, answers: Callable[[], bool], timeout: float = 60.0) -> None:
        """Wait until ``answers`` is true; a process that ends first fails at once, with the end of its log."""

        def look() -> bool:
            answered = answers()
            assert answered or self.running, f"{self.name} ended while starting\n{self.tail()}"
            return answered

        until(look, lambda: f"an answer of {self.name}\n{self.tail()}", timeout, 0.05)

    def wait(self, timeout: float = 30.0) -> int:
        """Wait for its end and return the exit code."""
        assert self.popen is not None, f"{self.name} was not started"
        return self.popen.wait(timeout)

    def send(self, sig: signal.Signals) -> None:
        """Send a signal to it and to the children it made."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, sig)

    def stop(self, grace: float = 10.0) -> None:
        """End it politely, then by force."""
        if not self.running:
            return
        self.send(signal.SIGCONT)
        self.send(signal.SIGTERM)
        try:
            self.wait(grace)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End it at once, as a crash would."""
        if self.running:
            self.send(signal.SIGKILL)
            self.wait()

    def tail(self, lines: int = LOG_LINES_SHOWN) -> str:
        """Return the end of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

"""Starts Python programs in milliseconds: a process that has imported everything forks one child per request.

The operator's imports cost more than a second of one core, and these tests start it hundreds of times. The zygote
imports them once and stays single-threaded, with no event loop; a child takes its environment, folder and log, becomes
the leader of a process group, and runs the module as ``python -m`` does. SIGKILL ends a real process.

    zygote = Zygote("hoa_operator.__main__", folder, [REPOSITORY / "operator"]).start()
    process = zygote.process("operator-0", log, env, folder)      # a tests.processes.Process, not started

Another ``path`` runs another copy of the program.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.processes import Process
from tests.programs import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class ForkedProcess(Process):
    """A child of a zygote, with all that a ``Process`` can do."""

    def __init__(self, zygote: Zygote, name: str, arguments: Sequence[str], log: Path) -> None:
        super().__init__(name, [zygote.module, *arguments], log)
        self._zygote = zygote
        self._told: socket.socket | None = None
        self._pid = 0
        self._code: int | None = None
        self._lock = threading.Lock()

    def start(self) -> ForkedProcess:
        """Fork it."""
        with self._lock:
            self._close()
            told, self._pid = self._zygote.fork(
                {
                    "arguments": list(self.command[1:]),
                    "env": dict(os.environ if self.env is None else self.env),
                    "cwd": str(self.cwd or os.getcwd()),  # noqa: PTH109 - what a child would inherit
                    "log": str(self.log),
                }
            )
            self._told, self._code = told, None
        return self

    @property
    def pid(self) -> int:
        """Its process id; it must have been started."""
        assert self._pid, f"{self.name} was not started"
        return self._pid

    @property
    def running(self) -> bool:
        """Whether it still runs."""
        return self._pid != 0 and self._ended(0.0) is None

    def wait(self, timeout: float = 30.0) -> int:
        """Wait for its end and return the exit code."""
        code = self._ended(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(self.name, timeout)
        return code

    def _ended(self, timeout: float) -> int | None:
        """Return the exit code (negative: the signal), or None if it still runs after ``timeout`` s."""
        with self._lock:
            if self._code is None and self._told is not None:
                self._told.settimeout(timeout or 0.000001)
                try:
                    self._code = json.loads(_line(self._told))["code"]
                except TimeoutError:
                    return None
                self._close()
            return self._code

    def _close(self) -> None:
        if self._told is not None:
            self._told.close()
            self._told = None


class Zygote:
    """``path`` holds the import roots, in order; ``more`` names modules that the program imports only later."""

    def __init__(self, module: str, folder: Path, path: Sequence[Path], more: Sequence[str] = ()) -> None:
        self.module = module
        self.path = [str(entry) for entry in path]
        self._address = str(folder / f"{module}.socket")
        imports = [module, *more]
        self._process = Process(
            f"zygote of {module}",
            [sys.executable, "-m", "tests.forking", self._address, *imports],
            folder / f"{module}.zygote.log",
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": os.pathsep.join([*self.path, str(REPOSITORY)]),
                "PYTHONDONTWRITEBYTECODE": "1",
                "PYTHONUNBUFFERED": "1",
            },
        )

    def start(self) -> Zygote:
        """Import everything and return when it is ready to fork."""
        Path(self._address).unlink(missing_ok=True)  # of one before it in the same folder
        self._process.start()
        self._process.wait_until(lambda: os.path.exists(self._address))  # noqa: PTH110
        return self

    def stop(self) -> None:
        """End it and every child of it."""
        self._process.stop()

    def runs(self, command: Sequence[str], env: Mapping[str, str]) -> bool:
        """Whether a command is this zygote's program, from the same files."""
        same = env.get("PYTHONPATH") == os.pathsep.join(self.path)
        return same and list(command[:3]) == [sys.executable, "-m", self.module]

    def process(
        self, name: str, log: Path, env: Mapping[str, str], cwd: Path, arguments: Sequence[str] = ()
    ) -> ForkedProcess:
        """Return a child that is not started yet."""
        process = ForkedProcess(self, name, arguments, log)
        process.env, process.cwd = env, cwd
        return process

    def fork(self, request: dict[str, Any]) -> tuple[socket.socket, int]:
        """Fork a child; return the socket that will say how it ended, and its pid."""
        told = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            told.connect(self._address)
            told.sendall(json.dumps(request).encode() + b"\n")
            told.settimeout(30.0)
            return told, int(json.loads(_line(told))["pid"])
        except BaseException:
            told.close()
            raise


def _line(told: socket.socket) -> bytes:
    """Read one line; a zygote that ended says what SIGKILL would have."""
    line = b""
    while not line.endswith(b"\n"):
        try:
            got = told.recv(1)
        except BlockingIOError as error:
            raise TimeoutError from error
        if not got:
            return json.dumps({"code": -signal.SIGKILL}).encode()
        line += got
    return line

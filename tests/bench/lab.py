"""What every question of `make bench` works with: how much there is to do, and servers that end with it."""

from __future__ import annotations

import os
import signal
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from tests.fix_postgres import SETTINGS, PostgresServer
from tests.processes import Process

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

#: A Postgres as it would serve: what is committed is on disk. Memory as for a machine of 24 GiB that others share.
SERVING: Final = {
    **{
        name: value
        for name, value in SETTINGS.items()
        if name not in ("fsync", "full_page_writes", "synchronous_commit")
    },
    "shared_buffers": "2GB",
    "effective_cache_size": "8GB",
    "maintenance_work_mem": "256MB",
    "max_wal_size": "8GB",
    "log_statement": "none",
}
#: The server that is measured has a core to itself, however many processes it is; Postgres and the load share the other.
SERVER_CORE: Final = 0
LOAD_CORE: Final = 1


def on_core(core: int, command: Sequence[str]) -> list[str]:
    """Hold a command and its children to one core, on machines that have several."""
    return ["taskset", "-c", str(core), *command] if (os.cpu_count() or 1) > 1 else list(command)


@dataclass
class Lab:
    """One run. `smoke` only shows that everything works: small, short, once, and its times mean nothing."""

    folder: Path
    smoke: bool = False
    stack: ExitStack = field(default_factory=ExitStack)

    @property
    def rounds(self) -> int:
        """How many alternating rounds each contestant has after its warm-up."""
        return 1 if self.smoke else 5

    @property
    def seconds(self) -> int:
        """How long one round of a load takes."""
        return 1 if self.smoke else 8

    def size(self, whole: int, smoke: int) -> int:
        """Return how many of something there are to be."""
        return smoke if self.smoke else whole

    def postgres(self, settings: Mapping[str, str] = SERVING, core: int | None = None) -> PostgresServer:
        """Start a Postgres of the question's own."""
        server = PostgresServer.create(settings)
        if core is not None:
            server.process.command = on_core(core, server.process.command)
        self.stack.callback(_discard, server)
        return server.start()

    def start(
        self,
        name: str,
        command: Sequence[str],
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        core: int | None = None,
    ) -> Process:
        """Start a program that ends with the question; it is not waited for."""
        held = list(command) if core is None else on_core(core, command)
        process = Process(name, held, self.folder / f"{name}.log", env, cwd).start()
        self.stack.callback(process.stop)
        return process


def _discard(server: PostgresServer) -> None:
    """End a server that nobody needs again, without writing gigabytes down first."""
    if server.process.running:
        os.kill(server.process.pid, signal.SIGQUIT)
        server.process.wait(60)
    server.destroy()

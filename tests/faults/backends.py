"""A Postgres that can be hurt: filled up, frozen in the middle of a statement, killed with all its processes.

Its data lie on a disk of their own that is as small as the test says, its write-ahead log outside of it, so that a full
disk refuses data and nothing else. Mounting that disk needs root.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg

from tests.fix_postgres import PostgresServer
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

DISK_MEGABYTES = 700
CONNECTIONS = 60


@dataclass
class Backends:
    """One Postgres server on a small disk, its sessions and its processes."""

    server: PostgresServer
    frozen: set[int] = field(default_factory=set)

    @classmethod
    @contextlib.contextmanager
    def on_a_small_disk(cls) -> Iterator[Backends]:
        """Make and start a server whose data lie on a disk of DISK_MEGABYTES; afterwards nothing of it is left."""
        assert os.geteuid() == 0, "a small disk is mounted for this test, which only root may do"
        server = PostgresServer.create()
        data = server.folder / "data"
        _onto_tmpfs(data, server.folder / "wal")
        settings = {"max_connections": CONNECTIONS, "max_prepared_transactions": 4, "log_line_prefix": "%m [%p] %a "}
        server.process.command = [
            *server.process.command,
            *(part for name, value in settings.items() for part in ("-c", f"{name}={value}")),
        ]
        backends = cls(server.start())
        try:
            yield backends
        finally:
            backends.thaw()
            server.process.stop()
            subprocess.run(["umount", str(data)], check=True)
            shutil.rmtree(server.folder)

    @property
    def data(self) -> Path:
        """The data folder."""
        return self.server.folder / "data"

    def session(self, dbname: str = "postgres", **more: Any) -> psycopg.Connection[Any]:
        """Open a session as superuser; statements are committed at once."""
        return psycopg.connect(self.server.access.dsn(dbname), autocommit=True, **more)

    def ask(self, query: str, *values: Any, dbname: str = "postgres") -> list[tuple[Any, ...]]:
        """Return the rows of one query of the superuser."""
        with self.session(dbname) as session:
            return session.execute(query.encode(), values or None).fetchall()

    def run(self, *statements: str, dbname: str = "postgres") -> None:
        """Run statements of the superuser."""
        with self.session(dbname) as session:
            for statement in statements:
                session.execute(statement)

    def running(self, start: str) -> list[int]:
        """Return the processes that run a statement which begins so."""
        found = self.ask(
            "SELECT pid FROM pg_stat_activity WHERE state = 'active' AND starts_with(query, %s)"
            " AND pid <> pg_backend_pid()",
            start,
        )
        return [pid for (pid,) in found]

    def caught(self, start: str, seconds: float = 30.0) -> int:
        """Wait until a statement that begins so runs, and return its process."""
        return until(lambda: self.running(start), f"a session that runs {start}", seconds, 0.02)[0]

    def checkpointer(self) -> int:
        """Return the process that writes checkpoints, which a DROP DATABASE waits for in its middle."""
        return int(self.ask("SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'")[0][0])

    def freeze(self, pid: int) -> None:
        """Stop a process of the server where it stands."""
        os.kill(pid, signal.SIGSTOP)
        self.frozen.add(pid)

    def thaw(self) -> None:
        """Let everything frozen go on."""
        for pid in self.frozen:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        self.frozen.clear()

    def crash(self) -> None:
        """Kill the server and every process it made, as a power cut does; `server.start` recovers it."""
        crash(self.server)
        self.frozen.clear()

    def folders(self) -> dict[str, int]:
        """Return how many bytes lie in the folder of each database, by its oid."""
        found = {}
        for folder in (self.data / "base").iterdir():
            with contextlib.suppress(FileNotFoundError):
                found[folder.name] = sum(file.stat().st_size for file in folder.iterdir())
        return found

    def fill_disk(self) -> Path:
        """Take all the room there is; return the file to remove."""
        ballast = self.data / "ballast"
        with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(bytes(1 << 16)):
                pass
        assert os.statvfs(self.data).f_bavail == 0
        return ballast

    def take_all_connections(self, besides: str) -> list[psycopg.Connection[Any]]:
        """Hold every connection there is, the superuser's reserve too; sessions named `besides` are ended for it."""
        first = self.session()
        first.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name LIKE %s", [besides]
        )
        held = [first]
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                held.append(self.session())
            except psycopg.OperationalError as error:
                if "too many clients" not in str(error):
                    raise
                return held
        raise AssertionError(f"{len(held)} connections and no end")


def crash(server: PostgresServer) -> None:
    """Kill a server and every process it made: each leads a process group of its own, and one at work would go on."""
    postmaster = server.process
    os.kill(postmaster.pid, signal.SIGSTOP)  # nothing new is made while its processes are counted
    own = Path(f"/proc/{postmaster.pid}/task/{postmaster.pid}/children").read_text().split()
    for pid in map(int, own):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    postmaster.kill()
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in own), "the server's processes to end", 20, 0.02)


def _onto_tmpfs(data: Path, wal: Path) -> None:
    """Move a data folder onto a disk of its own, its write-ahead log to `wal`."""
    shutil.move(data / "pg_wal", wal)
    moved = data.with_name("data-before")
    data.rename(moved)
    data.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MEGABYTES}m", "tmpfs", str(data)], check=True)
    subprocess.run(["cp", "-a", f"{moved}/.", str(data)], check=True)
    shutil.rmtree(moved)
    (data / "pg_wal").symlink_to(wal)
    owner = moved.parent.stat()
    for path in (data, data / "pg_wal"):
        os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)
    data.chmod(0o700)

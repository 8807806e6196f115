"""Fixture: a real Postgres for the run, made by initdb in a temporary folder, or the one named by ``--test-dsn``."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tests.processes import Process, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "300",
    "shared_buffers": "64MB",
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "log_min_messages": "warning",
    "log_statement": "ddl",
    "password_encryption": "scram-sha-256",
    "jit": "off",  # compiling a query takes longer than running any of these
}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the run use a Postgres that is already there."""
    parser.addoption(
        "--test-dsn", default=None, help="superuser's connection string of a Postgres to use instead of a private one"
    )


@dataclass(frozen=True)
class PostgresAccess:
    """Where a Postgres listens, and its superuser."""

    host: str
    port: int
    username: str
    password: str

    def dsn(self, dbname: str = "postgres") -> str:
        """Return the superuser's connection string to a database."""
        return make_conninfo(
            host=self.host,
            port=self.port,
            user=self.username,
            password=self.password,
            dbname=dbname,
            connect_timeout=5,
        )

    def answers(self) -> bool:
        """Whether a connection succeeds now."""
        try:
            psycopg.connect(self.dsn()).close()
        except psycopg.OperationalError:
            return False
        return True


@dataclass
class PostgresServer:
    """A private server in its own folder, which can be stopped and started to see what others make of it."""

    folder: Path
    bin: Path
    access: PostgresAccess
    process: Process = field(init=False)

    @classmethod
    def create(cls, settings: Mapping[str, str] = SETTINGS) -> PostgresServer:
        """Run initdb in a new temporary folder; the server is not started yet."""
        folder = Path(tempfile.mkdtemp(prefix="hoa-connect-postgres-"))
        password = secrets.token_urlsafe(12)
        server = cls(folder, postgres_bin(), PostgresAccess("127.0.0.1", free_port(), "postgres", password))
        (folder / "password").write_text(password)
        if os.geteuid() == 0:
            user = pwd.getpwnam("postgres")
            for path in (folder, folder / "password"):
                os.chown(path, user.pw_uid, user.pw_gid)
        server._initdb()
        command = [str(server.bin / "postgres"), "-D", str(folder / "data"), "-p", str(server.access.port)]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        server.process = Process("postgres", [*_as_postgres(), *command], folder / "postgres.log", cwd=folder)
        return server

    def start(self) -> PostgresServer:
        """Start it and return when it answers."""
        self.process.start()
        self.process.wait_until(self.access.answers)
        return self

    def stop(self) -> None:
        """Stop it at once, as a failed machine would; ``start`` recovers it."""
        self.process.kill()

    def destroy(self) -> None:
        """Stop it and remove its folder."""
        self.process.stop()
        shutil.rmtree(self.folder)

    def _initdb(self) -> None:
        done = subprocess.run(
            [
                *_as_postgres(),
                str(self.bin / "initdb"),
                f"--pgdata={self.folder / 'data'}",
                f"--pwfile={self.folder / 'password'}",
                "--username=postgres",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--locale=C.UTF-8",
                "--no-sync",
            ],
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr


def postgres_bin() -> Path:
    """Return the folder of the newest installed Postgres server's programs."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    assert versions, "initdb is missing: install the package postgresql (15 or newer), or name a server by --test-dsn"
    return versions[-1].parent


def _as_postgres() -> list[str]:
    if os.geteuid() != 0:
        return []
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]


@pytest.fixture(scope="session")
def postgres(request: pytest.FixtureRequest) -> Iterator[PostgresAccess]:
    """The Postgres of the run. Tests keep to databases and roles of their own."""
    dsn = request.config.getoption("--test-dsn")
    if dsn:
        given = conninfo_to_dict(dsn)
        yield PostgresAccess(
            str(given.get("host", "127.0.0.1")),
            int(given.get("port") or 5432),
            str(given.get("user", "postgres")),
            str(given.get("password") or ""),
        )
        return
    server = PostgresServer.create().start()
    yield server.access
    server.destroy()


@pytest.fixture
def own_postgres() -> Iterator[PostgresServer]:
    """A Postgres for one test, which may stop, fill or break it."""
    server = PostgresServer.create().start()
    yield server
    server.destroy()

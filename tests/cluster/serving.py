"""The real app, of any build, as a process over an installation's registry; and somebody signed in who keeps asking it."""

from __future__ import annotations

import contextlib
import os
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import httpx
import psycopg

from hoa_app.identity.passwords import HASHER
from tests.cluster.platform import BASE_DOMAIN, RELEASE
from tests.processes import Process, free_port
from tests.rounds import Rounds
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.cluster.platform import Platform

PASSWORD: Final = "correct horse battery"
#: What only somebody signed in may read: the app asks the tenant's database each time.
READ: Final = "/api/v1/communities"


@dataclass(frozen=True)
class App:
    """One pod of the app."""

    process: Process
    port: int

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"


@contextlib.contextmanager
def serving(platform: Platform, source: Path, name: str) -> Iterator[App]:
    """Run the app of a build until the end, with the registry and the keys as its pods have them mounted."""
    port = free_port()
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(source / "app"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "HOA_REGISTRY_DIR": str(platform.folder / f"{RELEASE}-registry-reader"),
        "HOA_SEALING_KEYS_FILE": str(platform.folder / f"{RELEASE}-sealing-keys" / "keys"),
        "HOA_STORAGE_URL": f"file://{platform.folder / 'files'}",
        "HOA_BASE_DOMAIN": BASE_DOMAIN,
        "HOA_HOST": "127.0.0.1",
        "HOA_PORT": str(port),
        "HOA_METRICS_PORT": "0",
    }
    command = [sys.executable, "-m", "hoa_app"]
    process = Process(name, command, platform.folder / f"{name}.log", environment, platform.folder).start()
    app = App(process, port)
    try:
        process.wait_until(lambda: _is_ready(app))
        yield app
    finally:
        process.stop()


def _is_ready(app: App) -> bool:
    try:
        return httpx.get(f"{app.url}/readyz", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def signed_in(platform: Platform, app: App, body: Mapping[str, Any]) -> dict[str, str]:
    """Make an owner of a tenant (its HOATenant is given) and sign them in; return the headers of their requests."""
    status, name = body["status"], body["metadata"]["name"]
    email = f"owner@{name}.example"
    with psycopg.connect(platform.postgres.dsn(status["database"]["name"])) as connection:
        connection.execute(
            "INSERT INTO users (tenant_id, email, name, role, password_hash) VALUES (%s, %s, 'Olive Owner', 'owner', %s)",
            [status["tenantID"], email, HASHER.hash(PASSWORD)],
        )
    host = {"Host": f"{name}.{BASE_DOMAIN}"}
    answer = httpx.post(f"{app.url}/api/v1/session", json={"email": email, "password": PASSWORD}, headers=host)
    assert answer.status_code == 201, answer.text
    return {**host, "Authorization": f"Bearer {answer.json()['token']}"}


@dataclass
class Reader(Rounds):
    """Asks every app one request after the other, about twenty a second in all; ``answered`` counts by the app's name."""

    pause = 0.05

    apps: list[App]
    headers: Mapping[str, str]
    answered: dict[str, int] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    #: What was under way when the operator ended the tenant's sessions, in an app that does not ask once more.
    cut_off: list[str] = field(default_factory=list)

    def go_round(self) -> None:
        """Ask each app once."""
        for app in self.apps:
            name = app.process.name
            try:
                answer = self._client.get(f"{app.url}{READ}", headers=self.headers)
            except httpx.HTTPError as error:
                self.failures.append(f"{name}: {error!r}")
                continue
            if answer.status_code == 200:
                self.answered[name] = self.answered.get(name, 0) + 1
            else:
                self.failures.append(f"{name}: {answer.status_code} {answer.text[:200]}")

    def more(self, count: int = 20) -> None:
        """Return when each app has answered so often again, or something failed."""
        wanted = {app.process.name: self.answered.get(app.process.name, 0) + count for app in self.apps}
        until(
            lambda: self.failures or all(self.answered.get(name, 0) >= least for name, least in wanted.items()),
            lambda: f"{wanted} answers: {self.answered}",
            60,
        )

    def excuse(self) -> None:
        """Call what failed until now cut off."""
        self.cut_off, self.failures = self.cut_off + self.failures, []

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold connections to the apps."""
        with httpx.Client(timeout=20) as self._client:
            yield

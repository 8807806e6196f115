"""Servers that answer the same questions from the same rows: the app, the bare libraries, and the peers."""

from __future__ import annotations

import base64
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

import httpx

import hoa_app
from hoa_app.db.proof import PLANNING
from tests.bench.lab import SERVER_CORE
from tests.bench.openloop import Ask
from tests.contract.app.platform import ROOT
from tests.processes import Process, free_port

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.bench.lab import Lab
    from tests.bench.neighbourhood import Neighbourhood, SignedIn

#: What each of them may use of the tenant's database; the app as its pods do.
CONNECTIONS: Final = 5


@dataclass(frozen=True)
class Contestant:
    """One server that runs; `browsers` are the headers of everyone who is signed in."""

    name: str
    port: int
    host: str
    browsers: Sequence[Mapping[str, str]]
    process: Process

    def ask(self, path: str, browser: int = 0, method: str = "GET", body: Any = None) -> Ask:
        """Return a request of one of the people who are signed in."""
        headers = {"Host": self.host, **self.browsers[browser % len(self.browsers)]}
        sent = None
        if body is not None:
            form = not path.startswith("/api/")
            headers["Content-Type"] = "application/x-www-form-urlencoded" if form else "application/json"
            sent = (urlencode(body) if form else json.dumps(body)).encode()
        return Ask(f"http://127.0.0.1:{self.port}{path}", headers, method, sent)

    def answer(self, ask: Ask) -> httpx.Response:
        """Send one request and return what came of it."""
        return httpx.request(ask.method, ask.url, headers=dict(ask.headers), content=ask.body, timeout=30)

    def wait(self) -> Contestant:
        """Return when it answers."""

        def answers() -> bool:
            try:
                return self.answer(self.ask("/people")).status_code < 500
            except httpx.TransportError:
                return False

        self.process.wait_until(answers)
        return self


def start_ours(lab: Lab, home: Neighbourhood, core: int | None = SERVER_CORE, **environment: str) -> Contestant:
    """Start the app as its container does."""
    port = free_port()
    env = {
        **inherited(),
        **home.tenant.platform.environment(HOA_PORT=str(port), HOA_METRICS_PORT=str(free_port()), **environment),
        "HOA_HOST": "127.0.0.1",
        "PYTHONPATH": str(ROOT / "app"),
    }
    process = lab.start("ours", [sys.executable, "-m", "hoa_app"], env, core=core)
    browsers = [browser_of(one) for one in home.staff]
    return Contestant("ours", port, home.tenant.host, browsers, process).wait()


def browser_of(one: SignedIn) -> dict[str, str]:
    """Return what a browser sends to ours with each request, and what its forms carry."""
    return {"Cookie": f"hoa_session={one.minted.token}", "X-CSRF-Token": one.csrf}


def start_bare(lab: Lab, home: Neighbourhood) -> Contestant:
    """Start a handler that knows one database and asks of a session what the app asks."""
    port = free_port()
    tenant = home.tenant
    env = {
        **inherited(),
        "PYTHONPATH": str(ROOT),
        "PORT": str(port),
        "DSN": f"{tenant.dsn('app')} options='-c default_transaction_read_only=on -c app.current_tenant={tenant.id} {PLANNING}'",
        "POOL_SIZE": str(CONNECTIONS),
        "TEMPLATES_OF": str(Path(hoa_app.__file__).parent),
    }
    process = lab.start("bare", [sys.executable, "-m", "tests.bench.peers.bare"], env, core=SERVER_CORE)
    browsers = [{"Cookie": f"session={secret_of(one)}"} for one in home.staff]
    return Contestant("bare", port, tenant.host, browsers, process).wait()


def start_refusing(lab: Lab) -> Contestant:
    """Start what only refuses, on the core of what is measured."""
    port = free_port()
    env = {**inherited(), "PYTHONPATH": str(ROOT), "PORT": str(port)}
    process = lab.start("refusing", [sys.executable, "-m", "tests.bench.peers.refusing"], env, core=SERVER_CORE)
    return Contestant("refusing", port, "refusing.example", [{}], process).wait()


def inherited() -> dict[str, str]:
    """Return what every program is told of this machine, and nothing else."""
    return {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}


def secret_of(one: SignedIn) -> str:
    """Return what the token proves itself by, whose hash is the key of the session's row."""
    payload = one.minted.token.split(".")[1]
    return str(json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["jti"])

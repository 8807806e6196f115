"""The app from outside: clients that behave like a browser (cookies, hidden form fields) or like a program (a token)."""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import httpx

from hoa_app.identity.passwords import HASHER
from hoa_app.identity.tokens import hash_secret

if TYPE_CHECKING:
    from collections.abc import Callable

    from hoa_app.services import Services
    from tests.contract.app.platform import MadeTenant

PASSWORD = "correct horse battery"
HASHED = HASHER.hash(PASSWORD)
HIDDEN = re.compile(r'name="csrf_token" value="([0-9a-f]{64})"')


@dataclass
class Site:
    """The running app."""

    app: Any
    clients: list[httpx.AsyncClient] = field(default_factory=list)

    @property
    def services(self) -> Services:
        found: Services = self.app.state.services
        return found

    def client(self, host: str, peer: str = "192.0.2.7", **headers: str) -> httpx.AsyncClient:
        """A client of one host, coming from `peer`."""
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False, client=(peer, 40000))
        made = httpx.AsyncClient(transport=transport, base_url=f"http://{host}", headers=headers, timeout=20)
        self.clients.append(made)
        return made

    def browser(self, tenant: MadeTenant, peer: str = "192.0.2.7") -> Browser:
        """Nobody signed in yet."""
        return Browser(self.client(tenant.host, peer, accept="text/html"), tenant)

    async def signed_in(self, tenant: MadeTenant, email: str) -> Browser:
        """A browser with a session."""
        browser = self.browser(tenant)
        answer = await browser.sign_in(email)
        assert answer.status_code == 303, answer.text
        return browser

    async def program(self, tenant: MadeTenant, email: str) -> httpx.AsyncClient:
        """A program with a bearer token."""
        client = self.client(tenant.host)
        answer = await client.post("/api/v1/session", json={"email": email, "password": PASSWORD})
        assert answer.status_code == 201, answer.text
        client.headers["authorization"] = f"Bearer {answer.json()['token']}"
        return client

    async def close(self) -> None:
        for client in self.clients:
            await client.aclose()


@dataclass
class Browser:
    """Posts forms the way a browser does: from the page they are on."""

    client: httpx.AsyncClient
    tenant: MadeTenant

    async def get(self, path: str) -> httpx.Response:
        return await self.client.get(path)

    async def token(self, page: str) -> str:
        """The hidden field of a page's form."""
        answer = await self.client.get(page)
        found = HIDDEN.search(answer.text)
        assert found, answer.text
        return found[1]

    async def post(self, path: str, data: dict[str, str], page: str | None = None) -> httpx.Response:
        fields = {"csrf_token": await self.token(page or path), **data}
        return await self.client.post(path, data=fields)

    async def sign_in(self, email: str, password: str = PASSWORD, following: str = "/") -> httpx.Response:
        return await self.post("/sign-in", {"email": email, "password": password, "next": following})


def add_user(tenant: MadeTenant, role: str, email: str | None = None) -> str:
    """A user with the well-known password; returns the address."""
    address = email or f"{role}@{tenant.slug}.example"
    with tenant.as_admin() as connection:
        connection.execute(
            "INSERT INTO users (email, name, role, password_hash) VALUES (%s, %s, %s, %s)"
            " ON CONFLICT (tenant_id, lower(email)) DO NOTHING",
            (address, f"{role.title()} of {tenant.slug}", role, HASHED),
        )
    return address


def invite(tenant: MadeTenant, email: str, role: str = "manager", token: str = "an-invitation-token") -> UUID:
    """An open invitation whose link is known to the test."""
    with tenant.as_admin() as connection:
        row = connection.execute(
            "INSERT INTO invitations (email, name, role, token_hash) VALUES (%s, 'Ina Invited', %s, %s) RETURNING id",
            (email, role, hash_secret(token)),
        ).fetchone()
    assert row is not None
    found: UUID = row[0]
    return found


async def eventually(what: Callable[[], bool], seconds: float = 15.0) -> None:
    """Return as soon as `what` holds."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it did not come true in time"
        await asyncio.sleep(0.01)


async def ask_for_reset(site: Site, tenant: MadeTenant, email: str) -> str:
    """Say that a password is forgotten; return the page that answers, without the address."""
    answer = await site.browser(tenant).post("/forgot-password", {"email": email})
    assert answer.status_code == 200
    return answer.text.replace(email, "")


def minted_reset(tenant: MadeTenant, email: str) -> str:
    """Make the link's token as the worker does when the mail leaves."""
    token = uuid4().hex
    with tenant.as_admin() as connection:
        connection.execute(
            "UPDATE password_resets SET token_hash = %s WHERE user_id = (SELECT id FROM users WHERE email = %s)",
            (hash_secret(token), email),
        )
    return token

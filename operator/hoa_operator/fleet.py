"""One open door per HOADatabaseServer: opened with the login of its admin Secret, opened anew when that changes.

A server that just failed is not asked again for a few seconds, so that hundreds of tenants on a dead server cost one
timeout, not hundreds.
"""

from __future__ import annotations

import asyncio
import base64
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from hoa_operator.errors import UserError, WorldError
from hoa_operator.kinds import SECRET
from hoa_operator.postgres import AdminLogin, PostgresServer, ServerAddress

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from hoa_operator.kube import Kube
    from hoa_operator.servers import DatabaseServer

_LOGIN_TRUSTED_SECONDS: Final = 60.0
_PAUSE_SECONDS: Final = 5.0
_DOWN: Final = frozenset(
    {"ServerUnreachable", "ServerSilent", "ServerNameUnknown", "ServerRestarting", "AdminLoginRefused", "TlsFailed"}
)


@dataclass(frozen=True)
class Opening:
    """How doors are opened: by whom, for which installation, and what is asked before every step."""

    identity: str
    installation: str
    guard: Callable[[], Awaitable[None]]


@dataclass
class _Door:
    login: AdminLogin
    server: PostgresServer
    read_at: float


class Fleet:
    """The doors to all servers."""

    def __init__(self, kube: Kube, opening: Opening, clock: Callable[[], float]) -> None:
        self._kube = kube
        self._opening = opening
        self._clock = clock
        self._doors: dict[str, _Door] = {}
        self._down: dict[str, tuple[float, WorldError]] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    @asynccontextmanager
    async def door(self, server: DatabaseServer, *, afresh: bool = False) -> AsyncIterator[PostgresServer]:
        """Lend the door to a server; with `afresh` read its login again and ask it even if it just failed."""
        if not afresh:
            self._refuse_if_down(server.name)
        try:
            opened = await self._open(server, afresh=afresh)
            yield opened
        except WorldError as error:
            if error.reason in _DOWN:
                self._down[server.name] = (self._clock() + _PAUSE_SECONDS, error)
                self._distrust(server.name)
            raise
        self._down.pop(server.name, None)

    async def close(self) -> None:
        """Close every door."""
        for door in self._doors.values():
            await door.server.close()
        self._doors.clear()

    async def forget(self, name: str) -> None:
        """Close the door of a server that is no more."""
        door = self._doors.pop(name, None)
        if door is not None:
            await door.server.close()

    def _refuse_if_down(self, name: str) -> None:
        until, error = self._down.get(name, (0.0, None))
        if error is not None and self._clock() < until:
            raise WorldError(error.reason, error.message, retry_after=error.retry_after)

    def _distrust(self, name: str) -> None:
        if name in self._doors:
            self._doors[name].read_at = float("-inf")

    async def _open(self, server: DatabaseServer, *, afresh: bool) -> PostgresServer:
        async with self._locks.setdefault(server.name, asyncio.Lock()):
            door = self._doors.get(server.name)
            address = ServerAddress(server.host, server.port, server.sslmode)
            fresh = door is not None and self._clock() < door.read_at + _LOGIN_TRUSTED_SECONDS and not afresh
            if door is not None and fresh and door.login.address == address:
                return door.server
            login = await read_login(self._kube, server)
            if door is not None and door.login == login:
                door.read_at = self._clock()
                return door.server
            return await self._replace(server.name, login)

    async def _replace(self, name: str, login: AdminLogin) -> PostgresServer:
        await self.forget(name)
        opening = self._opening
        server = PostgresServer(
            login, identity=opening.identity, installation=opening.installation, guard=opening.guard
        )
        await server.evict_others()
        self._doors[name] = _Door(login, server, self._clock())
        return server


async def read_login(kube: Kube, server: DatabaseServer) -> AdminLogin:
    """Return the login that a server's admin Secret holds."""
    secret = await kube.get(SECRET, server.admin_secret)
    what = f"Secret {server.admin_secret} (spec.adminSecretName of HOADatabaseServer {server.name})"
    if secret is None:
        raise UserError("AdminSecretMissing", f"{what} does not exist; make it with the keys username and password")
    try:
        username, password = (base64.b64decode(secret["data"][key]).decode() for key in ("username", "password"))
    except (KeyError, ValueError) as error:
        raise UserError("AdminSecretInvalid", f"{what} lacks the keys username and password; add them") from error
    return AdminLogin(ServerAddress(server.host, server.port, server.sslmode), username, password)

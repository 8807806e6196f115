"""Admin connections to one server: few, bounded, kept warm, and never trusted after an error.

A connection that saw any exception is closed, which also frees its advisory locks; a stopped server costs a deadline, not a hang.
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import psycopg
from psycopg.rows import DictRow, dict_row

from hoa_operator.postgres import names
from hoa_operator.postgres.failures import explained

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from hoa_operator.postgres.model import AdminLogin

Connection = psycopg.AsyncConnection[DictRow]
Guard = Callable[[], Awaitable[None]]

_OPTIONS: Final = "-c statement_timeout=120s -c lock_timeout=15s -c idle_in_transaction_session_timeout=60s"
_KEEPALIVE: Final[dict[str, Any]] = {
    "keepalives": 1,
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}


def parameters(login: AdminLogin, application: str, dbname: str) -> dict[str, Any]:
    """Return libpq parameters of an admin connection to `dbname`."""
    return {
        "host": login.address.host,
        "port": login.address.port,
        "sslmode": login.address.sslmode,
        "user": login.username,
        "password": login.password,
        "dbname": dbname,
        "application_name": application,
        "connect_timeout": 5,
        "options": _OPTIONS,
        **_KEEPALIVE,
    }


class Connections:
    """Sessions on one server. `limit` bounds maintenance sessions; each may hold one more inside a tenant's database.

    With `read_only` the server itself refuses whatever would change something. `guard` raises where another leads. It is
    asked when a session is open and before it writes: what was open before another took the lead is ended by that one, and
    what is opened later hears of it here.
    """

    def __init__(
        self,
        login: AdminLogin,
        application: str,
        *,
        limit: int = 4,
        deadline: float = 150.0,
        guard: Guard | None = None,
        read_only: bool = False,
    ) -> None:
        self.login = login
        self._read_only = read_only
        self._guard = guard
        self._application = application
        self._deadline = deadline
        self._slots = asyncio.Semaphore(limit)
        self._idle: list[Connection] = []
        self._closed = False

    @asynccontextmanager
    async def maintenance(self) -> AsyncIterator[Connection]:
        """Lend an autocommit session on the maintenance database."""
        dbname = self.login.maintenance_db
        with explained(self.login.address, dbname):
            async with self._slots, asyncio.timeout(self._deadline):
                connection = await self._warm() or await self._connect(dbname)
                try:
                    yield connection
                except BaseException:
                    await connection.close()
                    raise
                await self._give_back(connection)

    @asynccontextmanager
    async def guarded(self) -> AsyncIterator[Connection]:
        """Lend a maintenance session for a write that needs no lock."""
        async with self.maintenance() as connection:
            await self._assure()
            yield connection

    @asynccontextmanager
    async def within(self, dbname: str) -> AsyncIterator[Connection]:
        """Lend an autocommit session inside `dbname`, closed afterwards: an idle one would block renames and drops.

        Its search_path leaves out what the database's owner may have put there to be run with the admin's rights.
        """
        with explained(self.login.address, dbname):
            async with asyncio.timeout(self._deadline):
                connection = await self._connect(dbname)
                try:
                    await self._assure()
                    await connection.execute("SET search_path = pg_catalog, pg_temp")
                    yield connection
                finally:
                    await connection.close()

    @asynccontextmanager
    async def locked(self, scope: str, name: str) -> AsyncIterator[Connection]:
        """Lend a maintenance session that holds the advisory lock of (`scope`, `name`): steps of two leaders never interleave."""
        key = names.lock_key(scope, name)
        async with self.maintenance() as connection:
            await connection.execute("SELECT pg_advisory_lock(%s)", [key])
            await self._assure()
            yield connection
            await connection.execute("SELECT pg_advisory_unlock(%s)", [key])

    async def close(self) -> None:
        """Close idle sessions; those lent out close when they come back."""
        self._closed = True
        while self._idle:
            await self._idle.pop().close()

    async def _assure(self) -> None:
        if self._guard is not None:
            await self._guard()

    async def _connect(self, dbname: str) -> Connection:
        given = parameters(self.login, self._application, dbname)
        if self._read_only:
            given["options"] += " -c default_transaction_read_only=on"
        return await psycopg.AsyncConnection.connect(**given, autocommit=True, row_factory=dict_row)

    async def _warm(self) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if await _usable(connection):
                return connection
        return None

    async def _give_back(self, connection: Connection) -> None:
        if (
            self._closed
            or connection.broken
            or connection.pgconn.transaction_status != psycopg.pq.TransactionStatus.IDLE
        ):
            await connection.close()
        else:
            self._idle.append(connection)


async def _usable(connection: Connection) -> bool:
    """Notice, without a round trip, that the server spoke to an idle session, which it does only to end it; then close it."""
    if not connection.closed:
        spoken = select.poll()
        spoken.register(connection.fileno(), select.POLLIN)
        if not spoken.poll(0):
            return True
    await connection.close()
    return False

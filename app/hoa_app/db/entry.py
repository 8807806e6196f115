"""One tenant's open pool, and what is known of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from psycopg import OperationalError
from psycopg_pool import AsyncConnectionPool

from hoa_app.db import proof
from hoa_app.db.session import TenantConnection
from hoa_app.tenancy.tenant import Tenant


@dataclass(eq=False)
class Entry:
    """One open pool. `size` is what it may use, `granted` what the tenant may have in all pods, `leased` what requests hold or
    wait for now, `lent` what they hold, `filled` when `leased` was last as much as it may use, `proved` the connection that was
    opened first, until the pool takes it, `refused` why it got none when it last asked Postgres for one, if it got none."""

    tenant: Tenant
    pool: AsyncConnectionPool[TenantConnection]
    proved: list[TenantConnection]
    granted: int
    size: int = 1
    leased: int = 0
    lent: int = 0
    refused: Exception | None = None
    opened: float = field(default_factory=time.monotonic)
    used: float = field(default_factory=time.monotonic)
    filled: float = 0.0

    @property
    def starving(self) -> bool:
        """Whether it has no connection at all, or somebody waits in vain for more than it has."""
        known = self.pool.get_stats()
        in_vain = self.refused is not None and known["requests_waiting"] and not known["pool_available"]
        return not self.alive or bool(in_vain)

    @property
    def alive(self) -> bool:
        """Whether there is any connection. The pool knows only how many it wants."""
        return bool(self.proved or self.lent or self.pool.get_stats()["pool_available"])

    async def close(self) -> None:
        """Close what is idle now, and what is lent when it comes back. Whoever waits is told (PoolClosed)."""
        await self.pool.close(timeout=5)
        for connection in self.proved:
            await connection.close()


@dataclass(slots=True, eq=False)
class Lease:
    """A connection that is lent, until it is given back."""

    connection: TenantConnection
    _entry: Entry

    def __post_init__(self) -> None:
        self._entry.lent += 1

    async def give_back(self) -> None:
        """Let others have it."""
        try:
            await self._entry.pool.putconn(self.connection)
        finally:
            self._entry.lent -= 1
            self._entry.leased -= 1


@dataclass(frozen=True)
class Opening:
    """How pools are opened: how long they wait, what they run their work with, and whom they tell that they get no connection."""

    wait_seconds: float
    idle_seconds: float
    spawn: Callable[[Coroutine[Any, Any, None]], object]
    lost: Callable[[Entry], None]

    def entry(self, tenant: Tenant, parameters: dict[str, Any], proved: TenantConnection) -> Entry:
        """A pool, not open yet, whose first connection is the one that was proved."""

        async def configure(connection: TenantConnection) -> None:
            entry.refused = None
            if connection is not proved:
                await proof.check_identity(connection, tenant.id)

        async def check(connection: TenantConnection) -> None:
            """Without a round trip: a server that went away has closed the socket, and reading it says so."""
            try:
                # Twice: the first takes what the server said in the end, the second finds that there is no more.
                connection.pgconn.consume_input()
                connection.pgconn.consume_input()
            except OperationalError:
                # The others went with it: replaced now, they do not fail one request each.
                self.spawn(pool.drain())
                raise

        def refused(error: Exception) -> None:
            again, entry.refused = entry.refused is not None, error
            if (proof.is_full(error) and not entry.alive) or (proof.is_taken(error) and again):
                self.lost(entry)

        pool: AsyncConnectionPool[TenantConnection] = AsyncConnectionPool(
            kwargs={**parameters, "opened": (opened := [proved]), "refused": refused},
            connection_class=TenantConnection,
            min_size=0,
            max_size=1,
            open=False,
            configure=configure,
            check=check,
            name=tenant.slug,
            timeout=self.wait_seconds,
            max_idle=self.idle_seconds,
            reconnect_timeout=self.wait_seconds,
            num_workers=1,
        )
        entry = Entry(tenant, pool, opened, tenant.limits.database_connections)
        return entry

"""A tenant's database as a request sees it: `async with request.state.db.transaction() as tx`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any

from psycopg import AsyncConnection, Error, OperationalError
from psycopg.rows import DictRow, dict_row

from hoa_app.problems import Problem, unavailable

if TYPE_CHECKING:
    from hoa_app.db.entry import Lease
    from hoa_app.db.pools import Pools
    from hoa_app.tenancy.tenant import Tenant

Tx = AsyncConnection[DictRow]


class TenantConnection(AsyncConnection[DictRow]):
    """A pooled connection that remembers whether the transaction in it gave the worker something to do."""

    wakes_worker: bool = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.row_factory = dict_row
        # Sessions are read-only by default (see pools); a writing transaction says READ WRITE.
        self._read_only = False

    @classmethod
    async def connect(  # type: ignore[override]
        cls,
        conninfo: str = "",
        *,
        opened: list[TenantConnection] | None = None,
        refused: Callable[[Exception], None] | None = None,
        **kwargs: Any,
    ) -> TenantConnection:
        """Connect, or take one of those that were `opened` before. A pool does not say why it got none: `refused` is told."""
        if opened:
            return opened.pop()
        try:
            return await super().connect(conninfo, **kwargs)
        except (Error, OSError) as error:
            if refused is not None:
                refused(error)
            raise


class TenantDatabase:
    """The only door from a request, a job or a check to the tenant's tables."""

    __slots__ = ("_kept", "_pools", "tenant")

    def __init__(self, pools: Pools, tenant: Tenant) -> None:
        self._pools = pools
        self._kept: Lease | None = None
        self.tenant = tenant

    def transaction(self, *, readonly: bool = False, bookkeeping: bool = False) -> AbstractAsyncContextManager[Tx]:
        """Lend a connection; commit at the end of the block, roll back when it raises.

        `readonly` sends no BEGIN at all: under READ COMMITTED every statement has its own snapshot anyway, and each
        request saves two round trips. The session itself refuses writes there.
        `bookkeeping` marks the few writes (sessions, the outbox's own state) that a tenant in state ReadOnly still makes;
        the database lets through those that `BOOKKEEPING` in hoa_app.grants names.
        """
        return _Reading(self) if readonly else self._writing(bookkeeping=bookkeeping)

    def glance(self) -> AbstractAsyncContextManager[Tx]:
        """Read, and keep the connection for the transaction that follows at once, which saves asking the pool again.

        Nobody waits for it in vain: if this task comes to wait for anything before that, the connection goes back.
        """
        return _Reading(self, keeps=True)

    @asynccontextmanager
    async def _writing(self, *, bookkeeping: bool) -> AsyncIterator[Tx]:
        if not bookkeeping and self.tenant.state == "ReadOnly":
            raise read_only_problem()
        async with _Reading(self) as connection:
            connection.wakes_worker = False
            async with connection.transaction():
                yield connection
            if connection.wakes_worker:
                self._pools.wake_worker(self.tenant)

    async def borrow(self) -> Lease:
        """Take what was kept, or a connection of the pool."""
        kept, self._kept = self._kept, None
        return kept or await self._pools.lend(self.tenant)

    def keep(self, lease: Lease) -> None:
        """Hold a connection until the loop does something else."""
        self._kept = lease
        asyncio.get_running_loop().call_soon(self._let_go, lease)

    def _let_go(self, lease: Lease) -> None:
        if self._kept is lease:
            self._kept = None
            self._pools.give_back_soon(lease)


class _Reading:
    """One connection for a block. A class, because every request comes through here twice."""

    __slots__ = ("_database", "_keeps", "_lease")

    def __init__(self, database: TenantDatabase, *, keeps: bool = False) -> None:
        self._database = database
        self._keeps = keeps

    async def __aenter__(self) -> TenantConnection:
        self._lease = await self._database.borrow()
        return self._lease.connection

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._keeps and kind is None:
            self._database.keep(self._lease)
        else:
            await self._lease.give_back()


def read_only_problem() -> Problem:
    """What a write says while the operator holds the tenant in state ReadOnly."""
    return Problem(
        403,
        "This portal is read-only for now",
        "You can look at everything, but nothing can be changed until your provider lifts the restriction.",
    )


def database_away(error: OperationalError | None = None) -> Problem:
    """503 for a database that cannot be reached; the cause goes to the log, not to the person."""
    problem = unavailable("The database is not reachable right now. Nothing was changed.")
    problem.__cause__ = error
    return problem

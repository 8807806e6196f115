"""A tenant's database as a request sees it: `async with request.state.db.transaction() as tx`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from psycopg import AsyncConnection, OperationalError
from psycopg.rows import DictRow, dict_row

from hoa_app.problems import Problem, unavailable

if TYPE_CHECKING:
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


class TenantDatabase:
    """The only door from a request, a job or a check to the tenant's tables."""

    __slots__ = ("_pools", "tenant")

    def __init__(self, pools: Pools, tenant: Tenant) -> None:
        self._pools = pools
        self.tenant = tenant

    @asynccontextmanager
    async def transaction(self, *, readonly: bool = False, bookkeeping: bool = False) -> AsyncIterator[Tx]:
        """Lend a connection; commit at the end of the block, roll back when it raises.

        `readonly` sends no BEGIN at all: under READ COMMITTED every statement has its own snapshot anyway, and each
        request saves two round trips. The session itself refuses writes there.
        `bookkeeping` marks the few writes (sessions, the outbox's own state) that a tenant in state ReadOnly still makes;
        the database lets through those that `BOOKKEEPING` in hoa_app.grants names.
        """
        if not readonly and not bookkeeping and self.tenant.state == "ReadOnly":
            raise read_only_problem()
        async with self._pools.lease(self.tenant) as connection:
            if readonly:
                yield connection
                return
            connection.wakes_worker = False
            async with connection.transaction():
                yield connection
            if connection.wakes_worker:
                self._pools.wake_worker(self.tenant)


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

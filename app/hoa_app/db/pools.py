"""A small pool per tenant: opened on first use, proved to be that tenant's, capped, and closed again when idle."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import psycopg
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from hoa_app.db import proof
from hoa_app.db.demand import Demand
from hoa_app.db.session import TenantConnection
from hoa_app.logs import get_logger
from hoa_app.metrics import Metrics
from hoa_app.migrations import serving
from hoa_app.problems import unavailable, upgrading
from hoa_app.tenancy.tenant import Database, Tenant

CROWDED = 4
SETTLED_SECONDS = 2.0
RETRY_SECONDS = 1.0
REFUSED_SECONDS = 30.0

log = get_logger()


@dataclass(frozen=True)
class PoolLimits:
    """How many connections this process may use, and how long it waits for one."""

    max_total: int = 100
    idle_seconds: float = 120.0
    tenant_share: float = 0.5
    wait_seconds: float = 5.0
    connect_seconds: int = 5

    def share(self, granted: int, pods: int) -> int:
        """The most connections of one tenant that this process uses: its tier grants them to all pods together."""
        part = math.floor(granted * min(self.tenant_share, 1 / pods) + 1e-9)
        return max(1, min(self.max_total, part))


@dataclass(eq=False)
class _Entry:
    """One open pool. `size` is what it may use, `granted` what the tenant may have in all pods, `leased` what requests hold or
    wait for now, `filled` when that was last as much as it may use, `proved` the connection that was opened first, until the
    pool takes it."""

    tenant_id: UUID
    database: Database
    pool: AsyncConnectionPool[TenantConnection]
    size: int
    granted: int
    proved: list[TenantConnection]
    leased: int = 0
    opened: float = field(default_factory=time.monotonic)
    used: float = field(default_factory=time.monotonic)
    filled: float = 0.0


@dataclass(slots=True, eq=False)
class Lease:
    """A connection that is lent, until it is given back."""

    connection: TenantConnection
    _entry: _Entry

    async def give_back(self) -> None:
        """Let others have it."""
        try:
            await self._entry.pool.putconn(self.connection)
        finally:
            self._entry.leased -= 1


class Pools:
    """Every tenant's pool in this process. The sum of their sizes never passes `max_total`."""

    def __init__(self, limits: PoolLimits, metrics: Metrics, application_name: str = "hoa-app") -> None:
        self._limits = limits
        self._metrics = metrics
        self._application_name = application_name
        self._entries: dict[UUID, _Entry] = {}
        self._opening: dict[UUID, asyncio.Lock] = {}
        self._failed: dict[UUID, tuple[float, Database, Exception]] = {}
        self._newest: dict[UUID, Tenant] = {}
        self._demand = Demand()
        self._tasks: set[asyncio.Task[None]] = set()
        self._pods = 1
        self.on_wake: Callable[[Tenant], None] = lambda _tenant: None
        self.on_full: Callable[[Tenant], None] = lambda _tenant: None

    async def lend(self, tenant: Tenant) -> Lease:
        """Lend a connection in autocommit; raises the 503 problem when there is none to be had, or the schema not ours.

        A request keeps the tenant it began with. If the registry says something newer of it meanwhile, such as another
        login, the connection is by that: else old and new requests would close each other's pool in turn.
        """
        tenant = self._newest.get(tenant.id, tenant)
        if serving.is_too_old(tenant.schema_revision):
            raise upgrading()
        self._demand.note(tenant.id)
        entry = self._entries.get(tenant.id)
        while entry is None or entry.database != tenant.database:
            await self._open(tenant)
            tenant = self._newest.get(tenant.id, tenant)
            # Looked up again, because it may have been evicted while it opened.
            entry = self._entries.get(tenant.id)
        entry.leased += 1
        entry.used = time.monotonic()
        try:
            if entry.leased >= entry.size:
                entry.filled = entry.used
                if entry.leased > entry.size:
                    await self._grow(entry)
            return Lease(await self._get(entry, tenant), entry)
        except BaseException:
            entry.leased -= 1
            raise

    def give_back_soon(self, lease: Lease) -> None:
        """Take a connection back from where nothing can be awaited."""
        self._spawn(lease.give_back())

    def wake_worker(self, tenant: Tenant) -> None:
        """Called after a commit that left rows in the outbox."""
        self.on_wake(tenant)

    def shared_by(self, pods: int) -> None:
        """Take note of how many pods serve the same tenants, this one included: what is too much for one of so many is closed,
        without failing requests in flight, and opened anew as it is asked for."""
        self._pods = max(1, pods)
        for entry in [entry for entry in self._entries.values() if entry.size > self._share(entry)]:
            self._retire(entry, "shared")

    def give_way(self, tenant_id: UUID) -> None:
        """Close this tenant's pool, because another pod gets no connection: what is asked for next is opened one by one."""
        entry = self._entries.get(tenant_id)
        if entry is None or entry.proved or (entry.leased and time.monotonic() - entry.opened < SETTLED_SECONDS):
            return
        self._retire(entry, "gave way")

    def opened(self) -> list[UUID]:
        """Tenants whose pool is open."""
        return list(self._entries)

    @property
    def reserved(self) -> int:
        """Connections that the open pools may use together."""
        return sum(entry.size for entry in self._entries.values())

    async def housekeep(self) -> None:
        """Close idle pools, for ever; run as a task."""
        while True:
            await asyncio.sleep(max(0.05, self._limits.idle_seconds / 4))
            horizon = time.monotonic() - self._limits.idle_seconds
            for entry in [entry for entry in self._entries.values() if not entry.leased and entry.used < horizon]:
                self._retire(entry, "idle")

    def forget(self, tenant_id: UUID, tenant: Tenant | None) -> None:
        """The registry's row changed: what no longer matches it is closed, without failing requests in flight."""
        self._failed.pop(tenant_id, None)
        if tenant is None:
            self._newest.pop(tenant_id, None)
            self._demand.forget(tenant_id)
        else:
            self._newest[tenant_id] = tenant
        if tenant is not None and serving.is_too_old(tenant.schema_revision):
            log.error("tenant not served", tenant=tenant.id_text, error=_too_old(tenant))
        entry = self._entries.get(tenant_id)
        if entry is None:
            return
        if tenant is None or tenant.database != entry.database:
            self._retire(entry, "replaced")
            return
        entry.granted = tenant.limits.database_connections

    async def close(self) -> None:
        """Close everything."""
        for entry in list(self._entries.values()):
            self._retire(entry, "shutdown")
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _get(self, entry: _Entry, tenant: Tenant) -> TenantConnection:
        try:
            return await entry.pool.getconn(timeout=self._limits.wait_seconds)
        except PoolTimeout:
            self._metrics.pool_errors.labels(tenant.id_text, "timeout").inc()
            raise unavailable("The database is busy or away. Nothing was changed.", retry_after=2) from None

    async def _open(self, tenant: Tenant) -> None:
        lock = self._opening.setdefault(tenant.id, asyncio.Lock())
        async with lock:
            tenant = self._newest.get(tenant.id, tenant)
            entry = self._entries.get(tenant.id)
            if entry is not None and entry.database == tenant.database:
                return
            self._raise_recent_failure(tenant)
            if entry is not None:
                self._retire(entry, "replaced")
            try:
                waiting = proof.Waiting(self._limits.wait_seconds, lambda: self.on_full(tenant))
                proved = await proof.prove(tenant, self._parameters(tenant), waiting)
            except (psycopg.Error, OSError, proof.IdentityMismatchError, proof.SchemaNotServedError) as error:
                raise self._refuse(tenant, error) from error
            try:
                await self._reserve(tenant)
            except BaseException:
                await proved.close()
                raise
            await self._start(tenant, proved)

    def _raise_recent_failure(self, tenant: Tenant) -> None:
        failed = self._failed.get(tenant.id)
        if failed is not None and failed[1] == tenant.database and time.monotonic() < failed[0]:
            raise proof.problem_of(failed[2]) from failed[2]

    def _refuse(self, tenant: Tenant, error: Exception) -> Exception:
        mismatch = isinstance(error, proof.IdentityMismatchError | psycopg.errors.InsufficientPrivilege)
        seconds = REFUSED_SECONDS if mismatch or isinstance(error, proof.SchemaNotServedError) else RETRY_SECONDS
        self._failed[tenant.id] = (time.monotonic() + seconds, tenant.database, error)
        if mismatch:
            self._metrics.isolation_refusals.labels("database", tenant.id_text).inc()
            log.critical("database is not this tenant's", alert=True, tenant=tenant.id_text, error=str(error))
        elif isinstance(error, proof.SchemaNotServedError):
            # No failure of the database: the alert for it is the operator's, which compares schema and app, too.
            log.error("tenant not served", tenant=tenant.id_text, error=str(error))
        else:
            reason = "full" if proof.is_full(error) else "connect"
            self._metrics.pool_errors.labels(tenant.id_text, reason).inc()
            log.warning("database is not reachable", tenant=tenant.id_text, error=proof.first_line(error))
        return proof.problem_of(error)

    async def _reserve(self, tenant: Tenant) -> None:
        """Find room for a connection: what is free, else what the idle pool gives up that is wanted least."""
        deadline = time.monotonic() + self._limits.wait_seconds
        while self.reserved >= self._limits.max_total:
            idle = self._least_wanted()
            if idle is not None:
                self._retire(idle, "evicted")
                continue
            left = deadline - time.monotonic()
            if left <= 0:
                self._metrics.pool_errors.labels(tenant.id_text, "process_full").inc()
                raise unavailable("Every database connection is in use.", retry_after=2)
            await asyncio.sleep(min(0.02, left))

    def _least_wanted(self) -> _Entry | None:
        """The idle pool that is worth least: one that grew and is too large now, else that of who asks least."""
        # Not one that was opened a moment ago: who asked for it is about to take its connection.
        idle = [entry for entry in self._entries.values() if not entry.leased and not entry.proved]
        horizon = time.monotonic() - SETTLED_SECONDS
        too_large = [entry for entry in idle if entry.size > 1 and entry.filled < horizon]
        if too_large:
            return max(too_large, key=lambda entry: entry.size)
        return min(idle, key=lambda entry: self._demand.of(entry.tenant_id) / entry.size, default=None)

    async def _start(self, tenant: Tenant, proved: TenantConnection) -> None:
        async def configure(connection: TenantConnection) -> None:
            if connection is not proved:
                await proof.check_identity(connection, tenant.id)

        async def check(connection: TenantConnection) -> None:
            """Without a round trip: a server that went away has closed the socket, and reading it says so."""
            try:
                # Twice: the first takes what the server said in the end, the second finds that there is no more.
                connection.pgconn.consume_input()
                connection.pgconn.consume_input()
            except psycopg.OperationalError:
                # The others went with it: replaced now, they do not fail one request each.
                self._spawn(pool.drain())
                raise

        pool: AsyncConnectionPool[TenantConnection] = AsyncConnectionPool(
            kwargs={**self._parameters(tenant), "opened": (opened := [proved])},
            connection_class=TenantConnection,
            min_size=0,
            max_size=1,
            open=False,
            configure=configure,
            check=check,
            name=tenant.slug,
            timeout=self._limits.wait_seconds,
            max_idle=self._limits.idle_seconds,
            reconnect_timeout=self._limits.wait_seconds,
            num_workers=1,
        )
        entry = _Entry(tenant.id, tenant.database, pool, 1, tenant.limits.database_connections, opened)
        # Entered before the first await: the room is taken, and nobody else takes it meanwhile.
        self._entries[tenant.id] = entry
        await pool.open()
        self._failed.pop(tenant.id, None)
        self._metrics.pool_events.labels("opened").inc()
        self._count()

    async def _grow(self, entry: _Entry) -> None:
        """Give a busy tenant one more; another's only if it is crowded, and wanted more for each of what it has."""
        if entry.size >= self._share(entry):
            return
        if self.reserved >= self._limits.max_total:
            idle = self._least_wanted() if entry.leased > CROWDED * entry.size else None
            if idle is None or self._demand.of(entry.tenant_id) / entry.size <= self._demand.of(idle.tenant_id):
                return
            self._retire(idle, "evicted")
        entry.size += 1
        await entry.pool.resize(0, entry.size)
        self._count()

    def _share(self, entry: _Entry) -> int:
        return self._limits.share(entry.granted, self._pods)

    def _retire(self, entry: _Entry, event: str) -> None:
        if self._entries.get(entry.tenant_id) is entry:
            del self._entries[entry.tenant_id]
        self._metrics.pool_events.labels(event).inc()
        self._count()
        self._spawn(self._drain(entry))

    async def _drain(self, entry: _Entry) -> None:
        """Close once the requests that hold or await one of its connections are done."""
        deadline = time.monotonic() + 60
        while entry.leased and time.monotonic() < deadline:  # noqa: ASYNC110 - an Event would cost every request
            await asyncio.sleep(0.02)
        await entry.pool.close(timeout=5)
        for connection in entry.proved:
            await connection.close()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _parameters(self, tenant: Tenant) -> dict[str, Any]:
        return proof.parameters(tenant, self._application_name, self._limits.connect_seconds)

    def _count(self) -> None:
        self._metrics.pools.set(len(self._entries))
        self._metrics.pool_capacity.set(self.reserved)


def _too_old(tenant: Tenant) -> str:
    return (
        f"the database is at {tenant.schema_revision}, this app serves {serving.OLDEST_SERVED} and later; its migration is "
        "still to come or has failed (condition SchemaCurrent of the HOATenant)"
    )

"""A small pool per tenant: opened on first use, proved to be that tenant's, capped, and closed again when idle."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg
from psycopg_pool import PoolClosed, PoolTimeout

from hoa_app.db import proof
from hoa_app.db.demand import Demand
from hoa_app.db.entry import Entry, Lease, Opening
from hoa_app.db.session import TenantConnection
from hoa_app.db.turn import Turn
from hoa_app.logs import get_logger
from hoa_app.metrics import Metrics
from hoa_app.migrations import serving
from hoa_app.problems import unavailable, upgrading
from hoa_app.tenancy.tenant import Database, Tenant

CROWDED = 4
SETTLED_SECONDS = 2.0
TURN_SECONDS = 0.5
AFTER_OTHERS_SECONDS = 0.2
LAST_REQUEST_SECONDS = 1.0
#: A connection that one request gives to the next counts nowhere for a moment.
HANDED_OVER_SECONDS = 0.02
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


class Pools:
    """Every tenant's pool in this process. The sum of their sizes never passes `max_total`."""

    def __init__(self, limits: PoolLimits, metrics: Metrics, application_name: str = "hoa-app") -> None:
        self._limits = limits
        self._metrics = metrics
        self._application_name = application_name
        self._entries: dict[UUID, Entry] = {}
        self._opening: dict[UUID, Turn] = {}
        self._failed: dict[UUID, tuple[float, Database, Exception]] = {}
        self._newest: dict[UUID, Tenant] = {}
        self._crowded: dict[UUID, float] = {}
        self._stepped_back: dict[UUID, asyncio.Task[None]] = {}
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
        until = time.monotonic() + self._limits.wait_seconds
        while True:
            entry = self._entries.get(tenant.id)
            if entry is None or entry.tenant.database != tenant.database:
                await self._open(tenant, until)
                tenant = self._newest.get(tenant.id, tenant)
                # Looked up again, because it may have been evicted while it opened.
            elif (lease := await self._lease(entry, until)) is not None:
                return lease

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
        self._crowded[tenant_id] = time.monotonic()
        entry = self._entries.get(tenant_id)
        if entry is None or entry.proved or (entry.leased and time.monotonic() - entry.opened < TURN_SECONDS):
            return
        self._retire(entry, "gave way")
        self._stepped_back[tenant_id] = self._spawn(_step_back(entry))

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
            self._crowded.pop(tenant_id, None)
            self._stepped_back.pop(tenant_id, None)
            self._newest.pop(tenant_id, None)
            self._demand.forget(tenant_id)
        else:
            self._newest[tenant_id] = tenant
        if tenant is not None and serving.is_too_old(tenant.schema_revision):
            log.error("tenant not served", tenant=tenant.id_text, error=_too_old(tenant))
        entry = self._entries.get(tenant_id)
        if entry is None:
            return
        if tenant is None or tenant.database != entry.tenant.database:
            self._retire(entry, "replaced")
            return
        entry.granted = tenant.limits.database_connections

    async def close(self) -> None:
        """Close everything."""
        while self._entries or self._tasks:
            for entry in list(self._entries.values()):
                self._retire(entry, "shutdown")
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _lease(self, entry: Entry, until: float) -> Lease | None:
        """Wait for a connection of this pool; None if it was closed meanwhile."""
        lease = None
        entry.leased += 1
        entry.used = time.monotonic()
        try:
            if entry.leased >= entry.size:
                entry.filled = entry.used
                if entry.leased > entry.size:
                    await self._grow(entry)
            lease = Lease(await entry.pool.getconn(timeout=_left(until)), entry)
        except PoolClosed:
            return None
        except PoolTimeout:
            raise self._timed_out(entry) from entry.refused
        finally:
            if lease is None:
                entry.leased -= 1
        return lease

    def _timed_out(self, entry: Entry) -> Exception:
        reason = proof.reason_of(entry.refused) if entry.refused else "timeout"
        self._metrics.pool_errors.labels(entry.tenant.id_text, reason).inc()
        if entry.refused and reason == "full":
            return proof.problem_of(entry.refused)
        return unavailable("The database is busy or away. Nothing was changed.", retry_after=2)

    async def _open(self, tenant: Tenant, until: float) -> None:
        turn = self._opening.setdefault(tenant.id, Turn())
        async with turn.by(until):
            tenant = self._newest.get(tenant.id, tenant)
            entry = self._entries.get(tenant.id)
            if entry is not None and entry.tenant.database == tenant.database:
                return
            self._raise_recent_failure(tenant)
            if entry is not None:
                self._retire(entry, "replaced")
            if stepped_back := self._stepped_back.pop(tenant.id, None):
                await asyncio.wait([stepped_back], timeout=_left(until))
            try:
                waiting = proof.Waiting(until, turn.first, lambda: self.on_full(tenant))
                proved = await proof.prove(tenant, self._parameters(tenant), waiting)
            except (psycopg.Error, OSError, proof.IdentityMismatchError, proof.SchemaNotServedError) as error:
                raise self._refuse(tenant, error) from error
            try:
                await self._reserve(tenant, until)
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
        # Not where its own pods have all: it was this request that waited too long, and the next one may be in time.
        if not proof.is_taken(error):
            self._failed[tenant.id] = (time.monotonic() + seconds, tenant.database, error)
        if mismatch:
            self._metrics.isolation_refusals.labels("database", tenant.id_text).inc()
            log.critical("database is not this tenant's", alert=True, tenant=tenant.id_text, error=str(error))
        elif isinstance(error, proof.SchemaNotServedError):
            # No failure of the database: the alert for it is the operator's, which compares schema and app, too.
            log.error("tenant not served", tenant=tenant.id_text, error=str(error))
        else:
            self._metrics.pool_errors.labels(tenant.id_text, proof.reason_of(error)).inc()
            log.warning("database is not reachable", tenant=tenant.id_text, error=proof.first_line(error))
        return proof.problem_of(error)

    async def _reserve(self, tenant: Tenant, until: float) -> None:
        """Find room for a connection: what is free, else what the idle pool gives up that is wanted least."""
        while self.reserved >= self._limits.max_total:
            idle = self._least_wanted()
            if idle is not None:
                self._retire(idle, "evicted")
                continue
            left = until - time.monotonic()
            if left <= 0:
                self._metrics.pool_errors.labels(tenant.id_text, "process_full").inc()
                raise unavailable("Every database connection is in use.", retry_after=2)
            await asyncio.sleep(min(0.02, left))

    def _least_wanted(self) -> Entry | None:
        """The idle pool that is worth least: one that grew and is too large now, else that of who asks least."""
        # Not one that was opened a moment ago: who asked for it is about to take its connection.
        idle = [entry for entry in self._entries.values() if not entry.leased and not entry.proved]
        horizon = time.monotonic() - SETTLED_SECONDS
        too_large = [entry for entry in idle if entry.size > 1 and entry.filled < horizon]
        if too_large:
            return max(too_large, key=lambda entry: entry.size)
        return min(idle, key=lambda entry: self._demand.of(entry.tenant.id) / entry.size, default=None)

    async def _start(self, tenant: Tenant, proved: TenantConnection) -> None:
        opening = Opening(self._limits.wait_seconds, self._limits.idle_seconds, self._spawn, self._lost)
        entry = opening.entry(tenant, self._parameters(tenant), proved)
        # Entered before the first await: the room is taken, and nobody else takes it meanwhile.
        self._entries[tenant.id] = entry
        await entry.pool.open()
        self._failed.pop(tenant.id, None)
        self._metrics.pool_events.labels("opened").inc()
        self._count()

    async def _grow(self, entry: Entry) -> None:
        """Give a busy tenant one more; another's only if it is crowded, and wanted more for each of what it has."""
        crowded = time.monotonic() - self._crowded.get(entry.tenant.id, -math.inf) < SETTLED_SECONDS
        if crowded or entry.size >= self._share(entry):
            return
        if self.reserved >= self._limits.max_total:
            idle = self._least_wanted() if entry.leased > CROWDED * entry.size else None
            if idle is None or self._demand.of(entry.tenant.id) / entry.size <= self._demand.of(idle.tenant.id):
                return
            self._retire(idle, "evicted")
        entry.size += 1
        await entry.pool.resize(0, entry.size)
        self._count()

    def _share(self, entry: Entry) -> int:
        return self._limits.share(entry.granted, self._pods)

    def _retire(self, entry: Entry, event: str) -> None:
        """Close a pool: what requests hold when they are done, the rest now. Who waits for one of it opens another."""
        if self._entries.get(entry.tenant.id) is not entry:
            return
        del self._entries[entry.tenant.id]
        self._metrics.pool_events.labels(event).inc()
        self._count()
        self._spawn(entry.close())

    def _lost(self, entry: Entry) -> None:
        """There is no connection for it: who opens it anew waits for one, and tells those that hold them."""

        async def lose() -> None:
            await asyncio.sleep(HANDED_OVER_SECONDS)
            if entry.starving:
                self._retire(entry, "lost")

        self._spawn(lose())

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _parameters(self, tenant: Tenant) -> dict[str, Any]:
        return proof.parameters(tenant, self._application_name, self._limits.connect_seconds)

    def _count(self) -> None:
        self._metrics.pools.set(len(self._entries))
        self._metrics.pool_capacity.set(self.reserved)


async def _step_back(entry: Entry) -> None:
    """Leave it to the pod that asked for it to take what was given up, once it is free."""
    until = time.monotonic() + LAST_REQUEST_SECONDS
    while entry.lent and time.monotonic() < until:  # noqa: ASYNC110 - an Event would cost every request
        await asyncio.sleep(0.02)
    await asyncio.sleep(AFTER_OTHERS_SECONDS)


def _left(until: float) -> float:
    """How long to wait yet; at least long enough to take what is there."""
    return max(0.1, until - time.monotonic())


def _too_old(tenant: Tenant) -> str:
    return (
        f"the database is at {tenant.schema_revision}, this app serves {serving.OLDEST_SERVED} and later; its migration is "
        "still to come or has failed (condition SchemaCurrent of the HOATenant)"
    )

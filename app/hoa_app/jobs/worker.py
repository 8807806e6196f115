"""Which tenant's outbox is looked at when: every tenant in turn, one row a turn, so that none can hold up another."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from uuid import UUID

from hoa_app.jobs.outcome import backoff, jitter
from hoa_app.logs import get_logger

if TYPE_CHECKING:
    from hoa_app.jobs.rows import Rows
    from hoa_app.tenancy.tenant import Tenant

log = get_logger()
WORKED_STATES = frozenset({"Active", "ReadOnly"})
UNREACHABLE_BASE_SECONDS = 1.0
UNREACHABLE_CAP_SECONDS = 60.0
TIDY_SECONDS = 600.0


class Worker:
    """A queue in which a tenant stands at most once, and `concurrency` lanes that serve whoever is first in it."""

    def __init__(
        self,
        rows: Rows,
        *,
        concurrency: int = 8,
        sweep_seconds: float = 30.0,
        only_tenant: str | None = None,
        grace_seconds: float = 25.0,
    ) -> None:
        self._rows = rows
        self._registry = rows.services.registry
        self._grace_seconds = grace_seconds
        self._concurrency = concurrency
        self._sweep_seconds = sweep_seconds
        self._only = only_tenant
        self._known: set[UUID] = set()
        self._queue: deque[UUID] = deque()
        self._arrived = asyncio.Event()
        self._queued: set[UUID] = set()
        self._served: set[UUID] = set()
        self._again: set[UUID] = set()
        self._timers: dict[UUID, asyncio.TimerHandle] = {}
        self._failures: dict[UUID, tuple[int, float]] = {}
        self._tidied: dict[UUID, float] = {}
        self._stopping = asyncio.Event()
        self._swept_at = time.monotonic()

    @property
    def alive(self) -> bool:
        """Whether the sweep still comes round; if not, only a restart helps."""
        return time.monotonic() - self._swept_at < 3 * self._sweep_seconds + 30

    def stop(self) -> None:
        """Take no further row; `run` returns when those in hand are done."""
        self._stopping.set()
        self._arrived.set()

    async def run(self) -> None:
        """Sweep and serve until stopped, or until one of its own tasks breaks, which it raises."""
        lanes = [asyncio.create_task(self._lane(), name=f"lane-{n}") for n in range(self._concurrency)]
        sweeps = asyncio.create_task(self._sweep_forever(), name="sweeps")
        stopping = asyncio.create_task(self._stopping.wait(), name="stopping")
        tasks: list[asyncio.Task[Any]] = [*lanes, sweeps, stopping]
        try:
            ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in ended:
                task.result()
            await asyncio.wait(lanes, timeout=self._grace_seconds)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for timer in self._timers.values():
                timer.cancel()

    def sweep(self) -> None:
        """Look at every tenant, whatever was or was not notified."""
        self._swept_at = time.monotonic()
        self._rows.services.metrics.worker_swept.set_to_current_time()
        current = {tenant.id for tenant in self._registry.tenants() if self._works_for(tenant)}
        for gone in self._known - current:
            self._forget(gone)
        self._known = current
        for tenant_id in current:
            self.wake(tenant_id)

    def _forget(self, tenant_id: UUID) -> None:
        self._failures.pop(tenant_id, None)
        self._tidied.pop(tenant_id, None)
        metrics = self._rows.services.metrics
        for family in (metrics.outbox_queued, metrics.outbox_lag, metrics.outbox_dead):
            with suppress(KeyError):
                family.remove(str(tenant_id))

    def wake(self, tenant_id: UUID) -> None:
        """Look at one tenant soon. One that cannot be reached keeps its pause, however often it is woken."""
        not_before = self._failures.get(tenant_id, (0, 0.0))[1]
        if (pause := not_before - time.monotonic()) > 0:
            self._wake_later(tenant_id, pause)
        elif tenant_id in self._served:
            self._again.add(tenant_id)
        elif tenant_id not in self._queued:
            self._queued.add(tenant_id)
            self._queue.append(tenant_id)
            self._arrived.set()

    def _works_for(self, tenant: Tenant) -> bool:
        return tenant.state in WORKED_STATES and self._only in (None, tenant.slug)

    def _wake_later(self, tenant_id: UUID, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        at = loop.time() + seconds
        if (timer := self._timers.get(tenant_id)) is not None:
            if not timer.cancelled() and timer.when() <= at:
                return
            timer.cancel()
        self._timers[tenant_id] = loop.call_at(at, self._timer_rang, tenant_id)

    def _timer_rang(self, tenant_id: UUID) -> None:
        self._timers.pop(tenant_id, None)
        self.wake(tenant_id)

    async def _sweep_forever(self) -> None:
        while True:
            try:
                self.sweep()
            except Exception:
                log.exception("the sweep failed; the next one follows")
            await asyncio.sleep(jitter(self._sweep_seconds))

    async def _lane(self) -> None:
        while not self._stopping.is_set():
            if not self._queue:
                self._arrived.clear()
                await self._arrived.wait()
                continue
            tenant_id = self._queue.popleft()
            self._queued.discard(tenant_id)
            tenant = self._find(tenant_id)
            if tenant is not None:
                await self._serve(tenant)

    def _find(self, tenant_id: UUID) -> Tenant | None:
        """The tenant as the registry has it now: state, password and limits may have changed since the sweep."""
        tenant = self._registry.get(tenant_id)
        return tenant if tenant is not None and self._works_for(tenant) else None

    async def _serve(self, tenant: Tenant) -> None:
        self._served.add(tenant.id)
        self._again.discard(tenant.id)
        try:
            more = await self._turn(tenant)
        except Exception as error:
            self._unreachable(tenant, error)
            more = False
        else:
            self._failures.pop(tenant.id, None)
        finally:
            self._served.discard(tenant.id)
        if more or tenant.id in self._again:
            self.wake(tenant.id)

    async def _turn(self, tenant: Tenant) -> bool:
        """One row at most; True when there may be another one due."""
        due_in = await self._rows.peek(tenant)
        if due_in is not None and due_in <= 0:
            return await self._rows.do_one(tenant)
        if due_in is not None and due_in < self._sweep_seconds:
            self._wake_later(tenant.id, due_in)
        if time.monotonic() - self._tidied.get(tenant.id, -TIDY_SECONDS) >= TIDY_SECONDS:
            more = await self._rows.tidy(tenant)
            self._tidied[tenant.id] = time.monotonic()
            return more
        return False

    def _unreachable(self, tenant: Tenant, error: Exception) -> None:
        count = self._failures.get(tenant.id, (0, 0.0))[0]
        pause = jitter(backoff(count, UNREACHABLE_BASE_SECONDS, UNREACHABLE_CAP_SECONDS))
        self._failures[tenant.id] = (count + 1, time.monotonic() + pause)
        log.warning("tenant not served", tenant=tenant.id_text, error=type(error).__name__, pause=round(pause, 1))
        self._wake_later(tenant.id, pause)

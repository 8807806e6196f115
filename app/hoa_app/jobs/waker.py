"""Telling the workers, over the registry, that a tenant's outbox has something: best effort, they sweep anyway."""

from __future__ import annotations

import asyncio
from uuid import UUID

import psycopg

from hoa_app.logs import get_logger
from hoa_app.tenancy.registry import Registry
from hoa_app.tenancy.tenant import Tenant

log = get_logger()


class Waker:
    """Collects tenants and notifies once for each, off the request's path."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._waiting: set[UUID] = set()
        self._wanted = asyncio.Event()

    def wake(self, tenant: Tenant) -> None:
        """After a commit; never blocks and never fails."""
        self._waiting.add(tenant.id)
        self._wanted.set()

    async def run(self) -> None:
        """Send, for ever; run as a task."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            for tenant_id in list(self._waiting):
                self._waiting.discard(tenant_id)
                try:
                    await self._registry.execute("SELECT pg_notify('hoa_outbox', %s)", (str(tenant_id),))
                except (psycopg.Error, OSError, TimeoutError) as error:
                    log.info("worker not woken; it sweeps", error=type(error).__name__)
                except Exception:
                    log.exception("worker not woken; it sweeps")

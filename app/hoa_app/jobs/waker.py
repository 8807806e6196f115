"""Telling other pods, over the registry, of a tenant: that its outbox has something for the workers, or that no connection of
its is left. Best effort: workers sweep anyway, and who waits for a connection says so again."""

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

    def __init__(self, registry: Registry, channel: str = "hoa_outbox") -> None:
        self._registry = registry
        self._channel = channel
        self._waiting: set[UUID] = set()
        self._wanted = asyncio.Event()

    def wake(self, tenant: Tenant) -> None:
        """After a commit, or while something is waited for; never blocks and never fails."""
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
                    await self._registry.execute("SELECT pg_notify(%s, %s)", (self._channel, str(tenant_id)))
                except (psycopg.Error, OSError, TimeoutError) as error:
                    log.info("other pods not told", channel=self._channel, error=type(error).__name__)
                except Exception:
                    log.exception("other pods not told", channel=self._channel)

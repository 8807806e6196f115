"""Files of tenants that are gone: their database was dropped, and what the object store has of them goes after it.

The operator puts on record whose database it has dropped, and only that counts (docs/contract.md, section 1). Whom the
registry merely does not know keeps every file: it may have been lost, or restored from an early copy.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING
from uuid import UUID

from hoa_app.jobs.outcome import jitter
from hoa_app.logs import get_logger

if TYPE_CHECKING:
    from hoa_app.services import Services

LOOK_SECONDS = 300.0
AGAIN_SECONDS = 86_400.0
MOST_REMOVED = 1000
log = get_logger()


def due(recorded: Iterable[UUID], cleared: Mapping[UUID, float], now: float) -> list[UUID]:
    """Whose files are to be looked for: everyone on record, but for who had none left within the last day."""
    return [one for one in recorded if one not in cleared or now - cleared[one] >= AGAIN_SECONDS]


class DroppedFiles:
    """Looks every few minutes; removes so many files at a look, so that a mistake elsewhere stays a small one."""

    def __init__(self, services: Services) -> None:
        self._registry = services.registry
        self._storage = services.storage
        self._removed = services.metrics.dropped_files
        self._cleared: dict[UUID, float] = {}

    async def run(self) -> None:
        """Look, for ever; run as a task. Whatever goes wrong is tried again at the next look."""
        await self._registry.loaded.wait()
        while True:
            try:
                await self.look()
            except Exception as error:
                log.warning("files of dropped tenants not looked for", error=type(error).__name__)
            await asyncio.sleep(jitter(LOOK_SECONDS))

    async def look(self) -> None:
        """Remove what is on record now; one tenant's files that cannot be removed hold up nobody else's."""
        recorded, left = await self._registry.dropped(), MOST_REMOVED
        for tenant_id in due(recorded, self._cleared, time.monotonic()):
            try:
                # Asked anew: a look may take long, and who has a row again keeps everything.
                if tenant_id not in await self._registry.dropped():
                    continue
                removed = await self._storage.remove_all(tenant_id, left)
            except Exception as error:
                log.warning("files of a dropped tenant not removed", tenant=str(tenant_id), error=type(error).__name__)
                continue
            self._note(tenant_id, removed)
            left -= removed
            if left == 0:
                return
            self._cleared[tenant_id] = time.monotonic()

    def _note(self, tenant_id: UUID, removed: int) -> None:
        if removed:
            self._removed.inc(removed)
            log.info("files of a dropped tenant removed", tenant=str(tenant_id), removed=removed)

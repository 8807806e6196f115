"""How large a tenant's database is, asked of Postgres at most once a minute per process: counting its files takes a while."""

from __future__ import annotations

import time
from collections.abc import Callable
from uuid import UUID

from psycopg.rows import scalar_row

from hoa_app.db.session import Tx

LASTS_SECONDS = 60.0


class DatabaseSizes:
    """The last measured size of each tenant's database, in bytes."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: dict[UUID, tuple[float, int]] = {}

    async def of(self, tenant_id: UUID, tx: Tx) -> int:
        """The size of the database that ``tx`` is in; a minute old at most."""
        known = self._known.get(tenant_id)
        if known is None or self._clock() >= known[0] + LASTS_SECONDS:
            known = self._known[tenant_id] = (self._clock(), await _measured(tx))
        return known[1]

    def forget(self, tenant_id: UUID, *_: object) -> None:
        """The registry's row changed: the tenant may lie elsewhere, or be gone."""
        self._known.pop(tenant_id, None)


async def _measured(tx: Tx) -> int:
    async with tx.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute("SELECT pg_database_size(current_database())")
        return int(await cursor.fetchone() or 0)

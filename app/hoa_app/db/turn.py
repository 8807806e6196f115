"""One at a time, for as long as each has."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from hoa_app.problems import unavailable


class Turn:
    """A lock that is waited for until a request's own time is up, and knows whose is up first."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._times: list[float] = []

    def first(self) -> float:
        """When the time of the first of all who have or await the turn is up, by time.monotonic."""
        return min(self._times)

    @asynccontextmanager
    async def by(self, until: float) -> AsyncIterator[None]:
        """Have the turn; raises the 503 problem if it does not come in time."""
        self._times.append(until)
        try:
            await self._acquire(until)
            try:
                yield
            finally:
                self._lock.release()
        finally:
            self._times.remove(until)

    async def _acquire(self, until: float) -> None:
        try:
            async with asyncio.timeout(max(0.0, until - time.monotonic())):
                await self._lock.acquire()
        except TimeoutError:
            raise unavailable("Every database connection is in use.", retry_after=2) from None

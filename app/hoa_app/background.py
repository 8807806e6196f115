"""Work that runs beside the requests for as long as the process does: one of its tasks that ends is a reason to restart."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Any

from hoa_app.logs import get_logger

log = get_logger()


class Background:
    """Tasks by name; `ended` names those that are no longer running though they should be."""

    def __init__(self) -> None:
        self._tasks: dict[str, asyncio.Task[None]] = {}

    @property
    def ended(self) -> list[str]:
        """What only a restart brings back."""
        return [name for name, task in self._tasks.items() if task.done()]

    @asynccontextmanager
    async def running(self, works: Mapping[str, Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
        """Run them all while the block lasts."""
        for name, work in works.items():
            task = self._tasks[name] = asyncio.create_task(work, name=name)
            task.add_done_callback(_say)
        tasks = list(self._tasks.values())
        try:
            yield
        finally:
            self._tasks.clear()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def _say(task: asyncio.Task[None]) -> None:
    if not task.cancelled():
        log.critical("a background task has ended", task=task.get_name(), exc_info=task.exception())

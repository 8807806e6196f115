"""Heavy work beside the event loop, one piece at a time in a process, and the companies take turns.

Of each company only one piece stands in the common queue; its others wait for that one. So nobody waits longer for
whoever sends much than for whoever sends little.
"""

import asyncio
from collections.abc import Callable
from typing import TypeVar, TypeVarTuple
from uuid import UUID
from weakref import WeakValueDictionary

import anyio.to_thread
from anyio import CapacityLimiter
from anyio.lowlevel import RunVar

Result = TypeVar("Result")
Args = TypeVarTuple("Args")


class Turns:
    """The queue for one kind of work."""

    def __init__(self, name: str) -> None:
        self._queue: RunVar[tuple[CapacityLimiter, WeakValueDictionary[UUID, asyncio.Lock]]] = RunVar(name)

    async def run(self, tenant_id: UUID, work: Callable[[*Args], Result], *args: *Args) -> Result:
        """Call ``work`` in a thread, when it is this company's turn."""
        try:
            limiter, own = self._queue.get()
        except LookupError:
            limiter, own = CapacityLimiter(1), WeakValueDictionary()
            self._queue.set((limiter, own))
        lock = own.setdefault(tenant_id, asyncio.Lock())
        async with lock:
            return await anyio.to_thread.run_sync(work, *args, limiter=limiter)

"""The work queue: one at a time per key, bounded per lane and in all, retried with capped backoff and jitter.

A lane is what can hang as one, in practice a database server: a hung server fills its own lane and nobody else's,
because every lane may always have one key at work. Interactive work (a person changed something) goes before routine
work (resync).
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

if TYPE_CHECKING:
    from random import Random

Key = TypeVar("Key", bound=Hashable)
_FIRST_DELAY: Final = 0.5
#: Who waits, by lane, each with the number of their coming.
_Lines = dict[str, deque[tuple[int, Key]]]


@dataclass(frozen=True)
class Limits:
    """How much at once, and how long retries may be apart (seconds)."""

    total: int
    per_lane: int
    max_backoff: float = 300.0


def backoff(failures: int, limit: float, random: Random) -> float:
    """Return the seconds to wait after `failures` failures in a row: doubling, capped, and spread by half."""
    ceiling = min(limit, _FIRST_DELAY * 2.0 ** min(failures, 32))
    return ceiling * (0.5 + random.random() / 2)


class WorkQueue(Generic[Key]):
    """Runs `work(key)` for every key added; a key added while it is at work runs once more afterwards."""

    def __init__(self, work: Callable[[Key], Awaitable[None]], lane: Callable[[Key], str], limits: Limits) -> None:
        self._work = work
        self._lane = lane
        self._limits = limits
        self._ready: tuple[_Lines[Key], _Lines[Key]] = ({}, {})
        self._queued: dict[Key, bool] = {}
        self._again: dict[Key, bool] = {}
        self._running: dict[Key, asyncio.Task[None]] = {}
        self._busy: Counter[str] = Counter()
        self._delayed: list[tuple[float, int, Key]] = []
        self._due: dict[Key, float] = {}
        self._order = itertools.count()
        self._timer: asyncio.TimerHandle | None = None
        self._open = False

    def start(self) -> None:
        """Begin to work; keys may be added before."""
        self._open = True
        self._dispatch()

    async def drain(self, seconds: float) -> bool:
        """Start nothing more and wait for what is at work; tell whether all of it finished in time."""
        self._open = False
        if self._timer is not None:
            self._timer.cancel()
        if not self._running:
            return True
        _, pending = await asyncio.wait(set(self._running.values()), timeout=seconds)
        for task in pending:
            task.cancel()
        if pending:
            await asyncio.wait(pending, timeout=1.0)
        return not pending

    def add(self, key: Key, *, urgent: bool = True) -> None:
        """Have `key` worked on as soon as possible. An earlier or more urgent request for it is kept."""
        self._due.pop(key, None)
        if key in self._running:
            self._again[key] = self._again.get(key, False) or urgent
            return
        if key in self._queued and (self._queued[key] or not urgent):
            return
        self._queued[key] = urgent
        line = self._ready[0 if urgent else 1].setdefault(self._lane(key), deque())
        line.append((next(self._order), key))
        self._dispatch()

    def add_after(self, key: Key, delay: float) -> None:
        """Have `key` worked on after `delay` seconds unless it is before; the earliest of several times holds."""
        if key in self._queued or key in self._again:
            return
        at = asyncio.get_running_loop().time() + max(delay, 0.0)
        if key in self._due and self._due[key] <= at:
            return
        self._due[key] = at
        if len(self._delayed) > 2 * len(self._due) + 100:  # most of them have been worked on meanwhile, or are gone
            self._delayed = [entry for entry in self._delayed if self._due.get(entry[2]) == entry[0]]
            heapq.heapify(self._delayed)
        heapq.heappush(self._delayed, (at, next(self._order), key))
        self._arm()

    def forget(self, key: Key) -> None:
        """Drop a time set for `key`."""
        self._due.pop(key, None)

    @property
    def depth(self) -> int:
        """Return how many keys wait for a worker."""
        return len(self._queued)

    @property
    def running(self) -> int:
        """Return how many keys are at work."""
        return len(self._running)

    @property
    def tasks(self) -> set[asyncio.Task[Any]]:
        """Return the tasks at work now."""
        return set(self._running.values())

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._delayed:
            self._timer = asyncio.get_running_loop().call_at(self._delayed[0][0], self._ripen)

    def _ripen(self) -> None:
        now = asyncio.get_running_loop().time()
        while self._delayed and self._delayed[0][0] <= now:
            at, _, key = heapq.heappop(self._delayed)
            if self._due.get(key) == at:
                self.add(key, urgent=False)
        self._arm()

    def _dispatch(self) -> None:
        if not self._open:
            return
        for urgent, lines in ((True, self._ready[0]), (False, self._ready[1])):
            while (lane := self._next(lines, urgent=urgent)) is not None:
                self._begin(lines[lane].popleft()[1], lane)

    def _next(self, lines: _Lines[Key], *, urgent: bool) -> str | None:
        """Return the lane of whoever came first of those that may start: what waits behind them is not walked over."""
        best = None
        for lane, line in list(lines.items()):
            while line and self._queued.get(line[0][1]) != urgent:
                line.popleft()  # promoted to the other line, or started from there
            if not line:
                del lines[lane]
            elif self._may_start(lane) and (best is None or line[0][0] < lines[best][0][0]):
                best = lane
        return best

    def _may_start(self, lane: str) -> bool:
        busy = self._busy[lane]
        return busy == 0 or (busy < self._limits.per_lane and len(self._running) < self._limits.total)

    def _begin(self, key: Key, lane: str) -> None:
        del self._queued[key]
        self._busy[lane] += 1
        self._running[key] = asyncio.create_task(self._run(key, lane), name=f"reconcile {key}")

    async def _run(self, key: Key, lane: str) -> None:
        try:
            await self._work(key)
        finally:
            del self._running[key]
            self._busy[lane] -= 1
            if not self._busy[lane]:
                del self._busy[lane]
            if key in self._again:
                self.add(key, urgent=self._again.pop(key))
            self._dispatch()

"""A few of each tenant's requests at a time, so that a rush of one stands in line behind itself and not in front of everybody
(docs/adr/0019-a-rush-stands-in-line.md)."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

#: One at work in this process and one in Postgres, while others want either. Of the largest, whose pages keep Postgres for
#: longer, so many as are a twentieth of what they may have under way.
AMONG_OTHERS: Final = 2
_SHARE: Final = 20
#: Whoever comes first when one tenant had the process to itself waits behind so many.
ALONE: Final = 16
#: For how long a process is shared once two tenants were seen in it.
SHARED_SECONDS: Final = 1.0
#: Most requests are done long before. Who waits for something else, such as a slow database or the rest of an upload, keeps
#: nobody from the processor, and gives the place up.
LONG_SECONDS: Final = 0.25


class Lines:
    """Everybody's line in this process. `waited` is told the seconds that each who had to wait did."""

    def __init__(self, waited: Callable[[float], None]) -> None:
        self.waited = waited
        self._lines: dict[str, Line] = {}
        self._last = ""
        self._shared_until = 0.0

    def place(self, key: str, granted: int) -> Place:
        """A place for a block, in the line of `key`, who may have `granted` requests under way."""
        return Place(self, key, max(AMONG_OTHERS, granted // _SHARE))

    def waiting(self, key: str) -> int:
        """How many wait in the line of `key`."""
        line = self._lines.get(key)
        return len(line.waiting) if line is not None else 0

    def join(self, key: str, few: int, now: float) -> Line:
        """The line of `key`, of whom a request has come, after those were let in for whom there is room."""
        if key != self._last:
            if self._last:
                self._shared_until = now + SHARED_SECONDS
            self._last = key
        line = self._lines.get(key)
        if line is None:
            line = self._lines[key] = Line()
        line.admit(self.room(few, now))
        return line

    def room(self, few: int, now: float) -> int:
        """How many of one tenant may be abreast, of whom a `few` may among others."""
        return few if now < self._shared_until else max(few, ALONE)

    def leave(self, key: str, few: int, line: Line, now: float) -> None:
        """One of those abreast is done, or long: let in who waits."""
        line.abreast -= 1
        line.admit(self.room(few, now))
        if not line.abreast:
            self._lines.pop(key, None)


class Line:
    """One tenant's requests: those that are `abreast`, and those that wait, first come first served."""

    __slots__ = ("abreast", "waiting")

    def __init__(self) -> None:
        self.abreast = 0
        self.waiting: deque[asyncio.Future[None]] = deque()

    def admit(self, room: int) -> None:
        """Let in as many of those who wait as there is room for."""
        while self.waiting and self.abreast < room:
            waiter = self.waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                self.abreast += 1


class Place:
    """Taken at the beginning of the block; given up at its end or once it is long. A class, because every request takes one."""

    __slots__ = ("_few", "_key", "_line", "_lines", "_loop", "_timer")

    def __init__(self, lines: Lines, key: str, few: int) -> None:
        self._lines = lines
        self._key = key
        self._few = few

    async def __aenter__(self) -> None:
        loop = self._loop = asyncio.get_running_loop()
        now = loop.time()
        line = self._line = self._lines.join(self._key, self._few, now)
        if line.abreast < self._lines.room(self._few, now):
            line.abreast += 1
        else:
            await self._wait()
            self._lines.waited(loop.time() - now)
        self._timer: asyncio.TimerHandle | None = loop.call_later(LONG_SECONDS, self._give_up)

    async def __aexit__(self, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._give_up()

    async def _wait(self) -> None:
        waiter = self._loop.create_future()
        self._line.waiting.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self._leave()
            raise

    def _give_up(self) -> None:
        self._timer = None
        self._leave()

    def _leave(self) -> None:
        self._lines.leave(self._key, self._few, self._line, self._loop.time())

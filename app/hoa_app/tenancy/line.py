"""A few of each tenant's requests at a time, so that a rush of one stands in line behind itself and not in front of everybody
(docs/adr/0019-a-rush-stands-in-line.md)."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final

from hoa_app.tenancy.pace import AT_ONCE

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
#: Seconds for which who cannot begin waits, as long as for a connection.
PATIENCE: Final = 5.0


class Lines:
    """Everybody's line in this process. `waited` is told the seconds that each who had to wait did."""

    def __init__(self, waited: Callable[[float], None]) -> None:
        self.waited = waited
        self._lines: dict[str, Line] = {}
        self._last = ""
        self._shared_until = 0.0

    def place(self, key: str, granted: int, refusal: Callable[[], Exception]) -> Place:
        """A place for a block, in the line of `key`, who may have `granted` requests under way. Entering raises what `refusal`
        returns where there is no place in the line either, or none came free in time."""
        return Place(self, key, granted, refusal)

    def join(self, key: str, granted: int, now: float) -> Line:
        """The line of `key`, of whom a request has come, after those were let in for whom there is room."""
        if key != self._last:
            if self._last:
                self._shared_until = now + SHARED_SECONDS
            self._last = key
        line = self._lines.get(key)
        if line is None:
            line = self._lines[key] = Line()
        self._admit(line, granted, now)
        return line

    def leave(self, key: str, line: Line, granted: int, now: float) -> None:
        """Let in who waits, after somebody is done or was long; forget a line in which nobody is left."""
        self._admit(line, granted, now)
        if not line.inside:
            self._lines.pop(key, None)

    def _admit(self, line: Line, granted: int, now: float) -> None:
        few = max(AMONG_OTHERS, granted // _SHARE)
        line.room = few if now < self._shared_until else max(few, ALONE)
        line.granted = granted
        line.admit()


class Line:
    """One tenant's requests: those that are `inside`, of them those that are `abreast`, not being long yet, and those that wait,
    first come first served."""

    __slots__ = ("abreast", "granted", "inside", "room", "waiting")

    def __init__(self) -> None:
        self.abreast = 0
        self.inside = 0
        self.room = 0
        self.granted = 0
        self.waiting: deque[asyncio.Future[None]] = deque()

    @property
    def is_free(self) -> bool:
        """Whether one more may begin."""
        return self.abreast < self.room and self.inside < self.granted

    def enter(self) -> None:
        """One more begins."""
        self.abreast += 1
        self.inside += 1

    def admit(self) -> None:
        """Let in as many of those who wait as there is room for."""
        while self.waiting and self.is_free:
            waiter = self.waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                self.enter()


class Place:
    """Taken at the beginning of the block and left at its end; once it is long, others may begin beside it. A class, because every
    request takes one."""

    __slots__ = ("_granted", "_key", "_line", "_lines", "_loop", "_refusal", "_timer")

    def __init__(self, lines: Lines, key: str, granted: int, refusal: Callable[[], Exception]) -> None:
        self._lines = lines
        self._key = key
        self._granted = granted
        self._refusal = refusal

    async def __aenter__(self) -> None:
        loop = self._loop = asyncio.get_running_loop()
        now = loop.time()
        line = self._line = self._lines.join(self._key, self._granted, now)
        if line.is_free:
            line.enter()
        else:
            await self._wait()
            self._lines.waited(loop.time() - now)
        self._timer: asyncio.TimerHandle | None = loop.call_later(LONG_SECONDS, self._give_up)

    async def __aexit__(self, *_: object) -> None:
        self._line.inside -= 1
        if self._timer is not None:
            self._timer.cancel()
            self._give_up()
        else:
            self._let_in()

    async def _wait(self) -> None:
        line = self._line
        if len(line.waiting) >= max(AT_ONCE, self._granted):
            raise self._refusal()
        waiter = self._loop.create_future()
        line.waiting.append(waiter)
        try:
            async with asyncio.timeout(PATIENCE):
                await waiter
        except (asyncio.CancelledError, TimeoutError) as error:
            if waiter.done() and not waiter.cancelled():
                line.inside -= 1
                self._give_up()
            else:
                waiter.cancel()
            if isinstance(error, TimeoutError):
                raise self._refusal() from None
            raise

    def _give_up(self) -> None:
        self._timer = None
        self._line.abreast -= 1
        self._let_in()

    def _let_in(self) -> None:
        self._lines.leave(self._key, self._line, self._granted, self._loop.time())

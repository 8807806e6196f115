"""Request bodies on their way in: held to a size, to a pace, and all of them together to what this process can hold."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from uuid import UUID

from starlette.types import Message, Receive

from hoa_app.problems import Problem, unavailable

KIBIBYTE = 1024
PLAIN_BYTES = 64 * KIBIBYTE
"""The most that anything but an upload may be, and how much is read before a request is worked on."""
FIRST_SECONDS = 10.0
SLOWEST_BYTES_PER_SECOND = 8 * KIBIBYTE
HELD_BYTES = 128 * KIBIBYTE * KIBIBYTE


class Intake:
    """How many bytes of bodies this process holds, and for whom: at most `room`, of one tenant at most half of it."""

    def __init__(self, largest: int, room: int = HELD_BYTES) -> None:
        self._room = max(room, 2 * largest)
        self._held: defaultdict[UUID, int] = defaultdict(int)
        self.total = 0

    def take(self, tenant_id: UUID, size: int) -> None:
        """Count bytes that have arrived; raises the 503 problem when there are too many."""
        if self.total + size > self._room or self._held[tenant_id] + size > self._room // 2:
            raise unavailable("Too much is being sent at once. Try again in a moment.", retry_after=5)
        self._held[tenant_id] += size
        self.total += size

    def give(self, tenant_id: UUID, size: int) -> None:
        """The request they came with is over."""
        self.total -= size
        self._held[tenant_id] -= size
        if not self._held[tenant_id]:
            del self._held[tenant_id]


class Body:
    """Wraps `receive`. `begin` reads the beginning; the app still receives everything, in order."""

    def __init__(self, receive: Receive, limit: int, content_length: str, intake: Intake, tenant_id: UUID) -> None:
        self._receive = receive
        self._limit = limit
        self._declared = int(content_length) if content_length.isdecimal() and len(content_length) < 16 else 0
        self._intake = intake
        self._tenant_id = tenant_id
        self._begun = time.monotonic()
        self._seen = 0
        self._held: list[Message] = []
        self.start = b""
        self.complete = False
        self.hold_to(limit)

    def hold_to(self, limit: int) -> None:
        """Let no more than `limit` bytes through; raises the 413 problem when there are, or will be, more."""
        self._limit = min(limit, self._limit)
        if max(self._declared, self._seen) > self._limit:
            raise self._too_large()

    async def begin(self) -> None:
        """Read the first 64 KiB into `start`, or all when there is less."""
        pieces: list[bytes] = []
        while not self.complete and self._seen < PLAIN_BYTES:
            message = await self._next()
            self._held.append(message)
            pieces.append(message.get("body", b""))
        self.start = b"".join(pieces)

    async def receive(self) -> Message:
        """The next message for the app."""
        return self._held.pop(0) if self._held else await self._next()

    def done(self) -> None:
        """The request is over: what it held is free."""
        self._intake.give(self._tenant_id, self._seen)
        self._seen = 0

    async def _next(self) -> Message:
        if self.complete:
            # What still comes is that the client went away; nobody knows when.
            return await self._receive()
        message = await self._in_time()
        self.complete = message["type"] != "http.request" or not message.get("more_body", False)
        size = len(message.get("body", b""))
        self._intake.take(self._tenant_id, size)
        self._seen += size
        self.hold_to(self._limit)
        return message

    async def _in_time(self) -> Message:
        spent = time.monotonic() - self._begun
        try:
            async with asyncio.timeout(max(0.0, FIRST_SECONDS + self._seen / SLOWEST_BYTES_PER_SECOND - spent)):
                return await self._receive()
        except TimeoutError:
            raise Problem(
                408,
                "It took too long to arrive",
                "What you sent did not arrive in time. Check your connection and send it again.",
                headers={"Connection": "close"},
            ) from None

    def _too_large(self) -> Problem:
        mebibyte = KIBIBYTE * KIBIBYTE
        most = f"{self._limit // mebibyte} MiB" if self._limit >= mebibyte else f"{self._limit // KIBIBYTE} KiB"
        return Problem(413, "Too large", f"At most {most} can be sent at once.", headers={"Connection": "close"})

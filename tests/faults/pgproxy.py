"""A proxy of Postgres' wire protocol, which records every statement and breaks those it is told to.

It knows what a statement is (a simple Query, or Parse to Sync), when the server has answered it whole (ReadyForQuery),
and holds the answer back until then: a fault at a statement strikes when the server has committed it and its client
knows nothing. Startup and SCRAM pass through; sslmode must be ``disable``.

    proxy = PgProxy(access.host, access.port, loop).start()
    proxy.rules.add(Rule(sql("CREATE DATABASE"), ReplyLost(hook=operator.kill_at_once)))
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.faults import pgwire
from tests.faults.effects import Answered, Drop, ReplyLost, Rules, passes
from tests.faults.pgwire import Frames, Session
from tests.faults.statement import Statement

if TYPE_CHECKING:
    from tests.faults.effects import Effect
    from tests.faults.loops import LoopThread

CHUNK = 65536


class PgProxy:
    """One proxy. ``journal`` holds every statement in the order it came; see ``Statement``."""

    def __init__(self, host: str, port: int, loop: LoopThread) -> None:
        self.journal: list[Statement] = []
        self.rules: Rules[Statement] = Rules()
        self.port = 0
        self.sessions = 0
        self._upstream = (host, port)
        self._loop = loop
        self._server: asyncio.Server
        self._open: set[_Link] = set()

    def start(self) -> PgProxy:
        """Listen on a free loopback port."""
        self._loop.call(self._start())
        return self

    def stop(self) -> None:
        """Close everything."""
        self._loop.call(self._stop())

    def writes(self, since: int = 0) -> list[Statement]:
        """Return the statements that changed something and were answered without an error, from number ``since`` on."""
        return [statement for statement in self.journal[since:] if statement.is_write and statement.done]

    def reset_sessions(self, application: str = "") -> int:
        """Reset every open session whose application's name contains this; return how many there were."""
        return self._loop.call(self._reset(application))

    async def _start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _stop(self) -> None:
        self._server.close()
        for link in list(self._open):
            link.reset()
        await self._server.wait_closed()

    async def _reset(self, application: str) -> int:
        chosen = [link for link in self._open if application in link.session.application]
        for link in chosen:
            link.reset()
        return len(chosen)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(asyncio.IncompleteReadError, OSError):
            packet = await _startup(reader, writer)
            upstream, server = await asyncio.open_connection(*self._upstream)
            with contextlib.closing(server):
                server.write((len(packet) + 4).to_bytes(4, "big") + packet)
                if pgwire.code_of(packet) == pgwire.CANCEL:
                    return
                self.sessions += 1
                link = _Link(self, Session.begun(self.sessions, packet[4:]), _Ends(writer, server))
                self._open.add(link)
                try:
                    await link.run(reader, upstream)
                finally:
                    self._open.discard(link)

    def enter(self, session: Session, text: str, *, carried_out: bool) -> Statement:
        """Write a statement into the journal."""
        entry = Statement(
            number=len(self.journal) + 1,
            session=session.number,
            database=session.database,
            user=session.user,
            application=session.application,
            text=text,
            carried_out=carried_out,
            at=time.monotonic(),
        )
        self.journal.append(entry)
        return entry


@dataclass(frozen=True)
class _Ends:
    client: asyncio.StreamWriter
    server: asyncio.StreamWriter


class _Link:
    """One client's session with the server. At most one statement is under way: libpq waits for each answer."""

    def __init__(self, proxy: PgProxy, session: Session, ends: _Ends) -> None:
        self.session = session
        self._proxy = proxy
        self._ends = ends
        self._pending: Statement | None = None
        self._effect: Effect | None = None
        self._held = bytearray()

    def reset(self) -> None:
        """End both sides at once."""
        self._ends.client.transport.abort()
        self._ends.server.transport.abort()

    async def run(self, client: asyncio.StreamReader, server: asyncio.StreamReader) -> None:
        """Carry frames both ways until one side ends."""
        ways = {
            asyncio.ensure_future(self._from_client(client)),
            asyncio.ensure_future(self._from_server(server)),
        }
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _from_client(self, reader: asyncio.StreamReader) -> None:
        frames = Frames()
        unit: list[bytes] = []
        while data := await reader.read(CHUNK):
            for kind, frame in frames.feed(data):
                if kind in pgwire.UNANSWERED:
                    self._ends.server.write(frame)
                    continue
                unit.append(frame)
                if kind in (pgwire.QUERY, pgwire.SYNC):
                    await self._send(unit)
                    unit = []
            await self._ends.server.drain()

    async def _send(self, unit: list[bytes]) -> None:
        text, carried_out = self.session.statement(unit)
        entry = self._proxy.enter(self.session, text, carried_out=carried_out)
        effect = self._proxy.rules.effect_on(entry)
        entry.effect = type(effect).__name__ if effect else ""
        if isinstance(effect, Drop):
            self.reset()
            return
        await passes(effect)
        self._pending, self._effect = entry, effect
        self._ends.server.write(b"".join(unit))

    async def _from_server(self, reader: asyncio.StreamReader) -> None:
        frames = Frames()
        while data := await reader.read(CHUNK):
            for kind, frame in frames.feed(data):
                self._take(kind, frame)
            await self._ends.client.drain()

    def _take(self, kind: bytes, frame: bytes) -> None:
        entry = self._pending
        self._held += frame
        if entry is not None and kind == pgwire.ERROR:
            entry.error = pgwire.sqlstate(frame)
        if entry is not None and kind not in (pgwire.READY, pgwire.COPY_IN, pgwire.COPY_BOTH) and not _fatal(frame):
            return
        if entry is not None and kind == pgwire.READY:
            entry.transaction = frame[5:6].decode()
            self._pending = None
            if isinstance(self._effect, ReplyLost):
                self._lose(self._effect)
                return
            if isinstance(self._effect, Answered):
                self._effect.hook()
        self._ends.client.write(bytes(self._held))
        self._held.clear()

    def _lose(self, effect: ReplyLost) -> None:
        if effect.hook:
            effect.hook()
        self.reset()


def _fatal(frame: bytes) -> bool:
    """Whether the server ends the session with these words, so that no ReadyForQuery follows."""
    return frame[:1] == pgwire.ERROR and any(part in (b"VFATAL", b"VPANIC") for part in frame[5:].split(b"\0"))


async def _startup(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    """Return the startup packet without its length; encryption is declined."""
    while True:
        length = int.from_bytes(await reader.readexactly(4), "big")
        packet = await reader.readexactly(length - 4)
        if pgwire.code_of(packet) not in (pgwire.SSL, pgwire.GSS):
            return packet
        writer.write(b"N")

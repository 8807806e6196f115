"""A wire between the operator and the API server that a test can disturb: bytes pass, wait, vanish, or find nobody."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from tests.processes import free_port

if TYPE_CHECKING:
    from tests.cluster.platform import Operator, Platform

CHUNK = 65536


class Wire:
    """Forwards one loopback port to another, TLS and all, in a thread of its own."""

    def __init__(self, target: int) -> None:
        self.port = free_port()
        self._target = target
        self._loop = asyncio.new_event_loop()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._connected = True
        self.held = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._silent: set[asyncio.StreamWriter] = set()
        self._thread = threading.Thread(target=self._run, name="wire", daemon=True)
        self._ready = threading.Event()

    def start(self) -> Wire:
        """Begin to forward."""
        self._thread.start()
        assert self._ready.wait(10), "the wire did not come up"
        return self

    def stop(self) -> None:
        """End, with every connection."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def hold(self) -> None:
        """Let what the operator sends wait, however long; nobody notices by the connection."""
        self._loop.call_soon_threadsafe(self._flowing.clear)

    def release(self) -> None:
        """Deliver what waited, and all that follows."""
        self._loop.call_soon_threadsafe(self._flowing.set)

    def go_silent(self) -> None:
        """Lose every byte of the connections there are, both ways, and tell nobody; new connections work."""
        self._loop.call_soon_threadsafe(lambda: self._silent.update(self._writers))

    def cut(self) -> None:
        """End every connection and take no new one, as where nobody listens."""
        self._loop.call_soon_threadsafe(self._cut)

    def mend(self) -> None:
        """Take connections again."""
        self._loop.call_soon_threadsafe(lambda: setattr(self, "_connected", True))

    def operator(self, platform: Platform, name: str, **settings: str) -> Operator:
        """Return an operator of the platform that reaches the API server by this wire only."""
        operator = platform.operator(name, **settings)
        env = dict(operator.process.env or {})
        config = yaml.safe_load(Path(env["KUBECONFIG"]).read_text())
        for cluster in config["clusters"]:
            cluster["cluster"]["server"] = f"https://127.0.0.1:{self.port}"
        path = platform.folder / f"{name}-by-wire.kubeconfig"
        path.write_text(yaml.safe_dump(config))
        operator.process.env = {**env, "KUBECONFIG": str(path)}
        return operator

    def _cut(self) -> None:
        self._connected = False
        for writer in self._writers:
            writer.transport.abort()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", self.port))
        self._ready.set()
        try:
            self._loop.run_forever()
        finally:
            server.close()
            for writer in self._writers:
                writer.transport.abort()
            tasks = asyncio.all_tasks(self._loop)
            for task in tasks:
                task.cancel()
            self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
            self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._connected:
            writer.transport.abort()
            return
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        ends = {writer, far_writer}
        self._writers |= ends
        try:
            await asyncio.gather(
                self._pass(reader, far_writer, outward=True), self._pass(far_reader, writer, outward=False)
            )
        finally:
            self._writers -= ends
            self._silent -= ends
            for end in ends:
                end.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, outward: bool) -> None:
        with contextlib.suppress(OSError):
            while chunk := await reader.read(CHUNK):
                if outward and not self._flowing.is_set():
                    self.held += len(chunk)
                    await self._flowing.wait()
                if writer in self._silent:
                    continue
                writer.write(chunk)
                await writer.drain()
        if writer not in self._silent:
            writer.transport.abort()

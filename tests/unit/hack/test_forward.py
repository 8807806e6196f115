"""The forwarder carries whole connections, each end closing when it likes."""

import asyncio
import sys
from collections.abc import AsyncIterator

import pytest

from hack.cluster.paths import REPOSITORY
from tests.processes import free_port


async def _shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer only when the other end has said everything."""
    writer.write((await reader.read()).upper())
    await writer.drain()
    writer.close()


@pytest.fixture
async def port() -> AsyncIterator[int]:
    """A forwarder to a server that shouts."""
    server = await asyncio.start_server(_shout, "127.0.0.1", 0)
    there, here = server.sockets[0].getsockname()[1], free_port()
    program = REPOSITORY / "hack" / "cluster" / "node" / "forward.py"
    argv = [sys.executable, str(program), f"127.0.0.1:{here}", f"127.0.0.1:{there}"]
    process = await asyncio.create_subprocess_exec(*argv)
    yield here
    process.kill()
    await process.wait()
    server.close()
    await server.wait_closed()


async def _connect(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    async with asyncio.timeout(10):
        while True:
            try:
                return await asyncio.open_connection("127.0.0.1", port)
            except ConnectionRefusedError:
                await asyncio.sleep(0.02)


async def test_a_closed_half_still_receives(port: int) -> None:
    reader, writer = await _connect(port)
    writer.write(b"x" * 300_000)
    writer.write_eof()
    assert await reader.read() == b"X" * 300_000
    writer.close()
    await writer.wait_closed()

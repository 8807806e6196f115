"""What a client can only say in bytes: addresses in absolute form, headers said twice, two requests in one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
import uvicorn

from hoa_app.ops import QuietServer
from tests.contract.app.conftest import serving
from tests.contract.isolation.canaries import DATA
from tests.never import never
from tests.processes import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.contract.app.platform import Platform
    from tests.contract.isolation.world import World

ANOTHERS = "what is shown is another company's"
SPELLINGS = {
    "absolute address of another tenant, own Host": "GET http://{other}/api/v1/people HTTP/1.1\r\nHost: {own}\r\n",
    "own absolute address, Host of another tenant": "GET http://{own}/api/v1/people HTTP/1.1\r\nHost: {other}\r\n",
    "absolute address of another tenant, no Host": "GET http://{other}/api/v1/people HTTP/1.0\r\n",
    "two Hosts, own first": "GET /api/v1/people HTTP/1.1\r\nHost: {own}\r\nHost: {other}\r\n",
    "two Hosts, own last": "GET /api/v1/people HTTP/1.1\r\nHost: {other}\r\nHost: {own}\r\n",
    "two Hosts in one": "GET /api/v1/people HTTP/1.1\r\nHost: {own}, {other}\r\n",
    "Host with a user": "GET /api/v1/people HTTP/1.1\r\nHost: {own}@{other}\r\n",
    "Host with a path": "GET /api/v1/people HTTP/1.1\r\nHost: {other}/{own}\r\n",
    "Host folded": "GET /api/v1/people HTTP/1.1\r\nHost: {own}\r\n {other}\r\n",
    "Host with a blank before the colon": "GET /api/v1/people HTTP/1.1\r\nHost : {other}\r\nHost: {own}\r\n",
    "address with another tenant's host inside": "GET //{other}/api/v1/people HTTP/1.1\r\nHost: {own}\r\n",
    "path that climbs": "GET /api/v1/../../{other}/api/v1/people HTTP/1.1\r\nHost: {own}\r\n",
    "authority form": "CONNECT {other}:80 HTTP/1.1\r\nHost: {own}\r\n",
}


@pytest_asyncio.fixture(scope="module")
async def port(place: Platform, world: World) -> AsyncIterator[int]:
    """The app behind the very server it has in production, on loopback."""
    async with serving(place) as site:
        chosen = free_port()
        config = uvicorn.Config(
            site.app, host="127.0.0.1", port=chosen, http="httptools", ws="none", access_log=False, log_config=None,
            proxy_headers=False, server_header=False, lifespan="off",
        )  # fmt: skip
        server = QuietServer(config)
        running = asyncio.create_task(server.serve())
        async with asyncio.timeout(20):
            while not server.started:  # noqa: ASYNC110 - the server sets no event
                await asyncio.sleep(0.01)
        yield chosen
        server.should_exit = True
        await running
    del world


async def say(port: int, request: str) -> bytes:
    """Send the bytes and read until the server hangs up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request.encode())
    async with asyncio.timeout(20):
        answer = await reader.read()
    writer.close()
    return answer


@pytest.mark.parametrize("spelling", SPELLINGS)
async def test_however_a_host_is_said_nobody_crosses(port: int, world: World, spelling: str) -> None:
    own, other = world.own, world.other
    for asker in (own, other):
        head = SPELLINGS[spelling].format(own=own.host, other=other.host)
        answer = await say(
            port, f"{head}Authorization: Bearer {asker.things[0]['bearer']}\r\nConnection: close\r\n\r\n"
        )
        assert answer.startswith(b"HTTP/1.1 "), answer
        never({one.tag for one in world.aviary.search(answer) if one.scope == DATA} - {asker.tag}, ANOTHERS)


async def test_the_host_header_alone_decides(port: int, world: World) -> None:
    """The control: said as it should be, the same question is answered."""
    for company in (world.own, world.other):
        bearer = f"Authorization: Bearer {company.things[0]['bearer']}"
        answer = await say(
            port, f"GET /api/v1/people HTTP/1.1\r\nHost: {company.host}\r\n{bearer}\r\nConnection: close\r\n\r\n"
        )
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert {one.tag for one in world.aviary.search(answer)} == {company.tag}


async def test_a_second_request_on_the_connection_brings_its_own_identity(port: int, world: World) -> None:
    """A proxy sends requests of many people over one connection: nothing of the first is left for the second."""
    own, other = world.own, world.other
    first = (
        f"GET /api/v1/people HTTP/1.1\r\nHost: {own.host}\r\nAuthorization: Bearer {own.things[0]['bearer']}\r\n\r\n"
    )
    second = f"GET /api/v1/people HTTP/1.1\r\nHost: {other.host}\r\nConnection: close\r\n\r\n"
    answer = await say(port, first + second)
    one, _, two = answer.partition(b"HTTP/1.1 401 ")
    assert {found.tag for found in world.aviary.search(one)} == {own.tag}
    assert two
    never(world.aviary.search(two), ANOTHERS)


async def test_a_request_hidden_in_anothers_body_is_not_answered(port: int, world: World) -> None:
    own, other = world.own, world.other
    hidden = f"GET /api/v1/people HTTP/1.1\r\nHost: {other.host}\r\nAuthorization: Bearer {other.things[0]['bearer']}\r\n\r\n"
    for framing in (
        f"Content-Length: {len(hidden)}\r\n",
        "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        f"Transfer-Encoding: chunked\r\nContent-Length: {len(hidden)}\r\n",
    ):
        head = f"POST /api/v1/session HTTP/1.1\r\nHost: {own.host}\r\nContent-Type: application/json\r\n{framing}Connection: close\r\n\r\n"
        body = hidden if "chunked" not in framing else f"0\r\n\r\n{hidden}"
        answer = await say(port, head + body)
        never({found.tag for found in world.aviary.search(answer) if found.scope == DATA}, f"{framing}: {ANOTHERS}")

"""An HTTP proxy between the operator and the API server, which records every request and breaks those it is told to.

Towards the operator it speaks plain HTTP/1.1 on loopback, towards kube-apiserver TLS; the bearer token passes through,
so the operator's own rights hold. Watches are streamed.

    proxy = ApiProxy(plane.url, plane.authority.certificate, loop).start()
    proxy.rules.add(Rule(api(verb="create", resource="jobs"), ReplyLost()))
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp import web

from tests.faults.apirequest import ApiRequest, parse
from tests.faults.effects import Answer, Drop, Duplicate, Expire, HalfOpen, ReplyLost, Rules, StaleList, passes

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.faults.effects import Effect
    from tests.faults.loops import LoopThread

HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "te", "upgrade", "host", "content-length"})
REASONS = {409: "Conflict", 410: "Expired", 422: "Invalid", 429: "TooManyRequests", 500: "InternalError"}
LONGEST_EVENT = 4 * 1024 * 1024


@dataclass(frozen=True)
class Reply:
    """An answer of the API server, whole."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass
class Stream:
    """A watch that is open now."""

    request: ApiRequest
    half_open: bool = False
    expiring: asyncio.Event = field(default_factory=asyncio.Event)


class ApiProxy:
    """One proxy. ``journal`` holds every request in the order it came; see ``ApiRequest``."""

    def __init__(self, upstream: str, authority: Path, loop: LoopThread) -> None:
        self.journal: list[ApiRequest] = []
        self.rules: Rules[ApiRequest] = Rules()
        self.port = 0
        self._upstream = upstream
        self._authority = authority
        self._loop = loop
        self._streams: list[Stream] = []
        self._lists: dict[tuple[str, str], tuple[dict[str, str], Reply]] = {}
        self._session: aiohttp.ClientSession
        self._runner: web.ServerRunner

    @property
    def url(self) -> str:
        """Where the operator finds "its API server"."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> ApiProxy:
        """Listen on a free loopback port."""
        self._loop.call(self._start())
        return self

    def stop(self) -> None:
        """Close everything."""
        self._loop.call(self._stop())

    def writes(self, since: int = 0) -> list[ApiRequest]:
        """Return the writes that the API server answered, from the journal's number ``since`` on; leases left out."""
        return [request for request in self.journal[since:] if request.is_write and request.status is not None]

    def remember_lists(self) -> None:
        """Ask anew for every list that was ever asked for: what ``StaleList`` returns is as old as now."""
        self._loop.call(self._remember())

    def expire_watches(self, resource: str = "") -> int:
        """End the open watches (of one resource, or all) with an ERROR event 410; return how many there were."""
        return self._loop.call(self._each_stream(resource, lambda stream: stream.expiring.set()))

    def freeze_watches(self, resource: str = "", *, frozen: bool = True) -> int:
        """Stop passing events of the open watches on, or go on (what came meanwhile is lost); return how many."""

        def freeze(stream: Stream) -> None:
            stream.half_open = frozen

        return self._loop.call(self._each_stream(resource, freeze))

    async def _each_stream(self, resource: str, act: Any) -> int:
        chosen = [stream for stream in self._streams if resource in ("", stream.request.resource)]
        for stream in chosen:
            act(stream)
        return len(chosen)

    async def _start(self) -> None:
        connector = aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=str(self._authority)), limit=0)
        self._session = aiohttp.ClientSession(
            connector=connector,
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=None),
            read_bufsize=LONGEST_EVENT,
        )
        # A watch ends with its client; a request that was sent is finished, as a server would.
        server = web.Server(self._handle, handler_cancellation=True, access_log=None)
        self._runner = web.ServerRunner(server, shutdown_timeout=0.5)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def _stop(self) -> None:
        for stream in self._streams:
            stream.expiring.set()
        await self._runner.cleanup()
        await self._session.close()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        entry = parse(len(self.journal) + 1, request, body, time.monotonic())
        self.journal.append(entry)
        effect = self.rules.effect_on(entry)
        entry.effect = type(effect).__name__ if effect else ""
        if isinstance(effect, Drop):
            return _reset(request)
        await passes(effect)
        if isinstance(effect, Answer):
            return _refusal(effect)
        if isinstance(effect, Expire) and entry.verb != "watch":
            return _refusal(Answer(410))
        if entry.verb == "watch":
            return await self._watch(request, entry, effect)
        return await self._once(request, entry, body, effect)

    async def _once(
        self, request: web.BaseRequest, entry: ApiRequest, body: bytes, effect: Effect | None
    ) -> web.StreamResponse:
        listed = (request.path_qs, request.headers.get("Accept", ""))
        reply = await self._forward(request, entry, body)
        if isinstance(effect, StaleList):
            old = self._lists[listed][1] if listed in self._lists else reply
            entry.effect = type(effect).__name__ if _items(old) != _items(reply) else ""
            return _passed_on(old)
        if isinstance(effect, Duplicate):
            reply = await self._forward(request, entry, body)
        if isinstance(effect, ReplyLost):
            if effect.hook:
                effect.hook()
            return _reset(request)
        if entry.verb == "list" and reply.status == 200:
            self._lists.setdefault(listed, (_headers(request.headers), reply))
        return _passed_on(reply)

    async def _forward(self, request: web.BaseRequest, entry: ApiRequest, body: bytes) -> Reply:
        """Send it; a client that goes away meanwhile does not stop what was sent."""

        async def send() -> Reply:
            reply = await self._ask(request.method, request.raw_path, _headers(request.headers), body)
            entry.status = reply.status
            entry.sent += 1
            return reply

        return await asyncio.shield(asyncio.ensure_future(send()))

    async def _ask(self, method: str, path: str, headers: Mapping[str, str], body: bytes = b"") -> Reply:
        url = f"{self._upstream}{path}"
        async with self._session.request(method, url, data=body or None, headers=headers) as answer:
            return Reply(answer.status, _headers(answer.headers), await answer.read())

    async def _remember(self) -> None:
        for (path, accept), (headers, _) in list(self._lists.items()):
            self._lists[path, accept] = (headers, await self._ask("GET", path, headers))

    async def _watch(self, request: web.BaseRequest, entry: ApiRequest, effect: Effect | None) -> web.StreamResponse:
        headers = {**_headers(request.headers), "Accept-Encoding": "identity"}
        async with self._session.get(f"{self._upstream}{request.raw_path}", headers=headers) as upstream:
            entry.status = upstream.status
            if isinstance(effect, ReplyLost):
                return _reset(request)
            if upstream.status != 200:
                return _passed_on(Reply(upstream.status, _headers(upstream.headers), await upstream.read()))
            response = web.StreamResponse(headers={"Content-Type": "application/json"})
            response.enable_chunked_encoding()
            await response.prepare(request)
            stream = Stream(entry, half_open=isinstance(effect, HalfOpen))
            if isinstance(effect, Expire):
                stream.expiring.set()
            self._streams.append(stream)
            try:
                await _pump(stream, upstream.content, response)
            finally:
                self._streams.remove(stream)
            return response


async def _pump(stream: Stream, source: aiohttp.StreamReader, sink: web.StreamResponse) -> None:
    """Pass events on, a line each, until the server ends the watch, it expires, or the client goes."""
    expiring = asyncio.ensure_future(stream.expiring.wait())
    try:
        while True:
            reading = asyncio.ensure_future(source.readline())
            try:
                await asyncio.wait({reading, expiring}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                reading.cancel() if not reading.done() else None
            if expiring.done():
                event = {"type": "ERROR", "object": _status(410, "too old resource version: 1 (2)")}
                await sink.write(json.dumps(event).encode() + b"\n")
                return
            line = reading.result()
            if not line:
                return
            if stream.half_open:
                stream.request.withheld += 1
            else:
                await sink.write(line)
    except (ConnectionResetError, aiohttp.ClientPayloadError):
        return  # the client is gone, or the server is
    finally:
        expiring.cancel()


def _items(reply: Reply) -> Any:
    """Return what a list holds; for what is none, such as a refusal, all of it."""
    try:
        return json.loads(reply.body)["items"]
    except (ValueError, KeyError):
        return reply.body


def _headers(given: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in given.items() if name.lower() not in HOP_BY_HOP}


def _passed_on(reply: Reply) -> web.Response:
    return web.Response(status=reply.status, headers=reply.headers, body=reply.body)


def _reset(request: web.BaseRequest) -> web.Response:
    """Close the client's connection with no word of an answer."""
    if request.transport is not None:
        with contextlib.suppress(RuntimeError):
            request.transport.abort()
    return web.Response()


def _refusal(answer: Answer) -> web.Response:
    headers = {} if answer.retry_after is None else {"Retry-After": str(answer.retry_after)}
    return web.json_response(_status(answer.code, "a fault of the test"), status=answer.code, headers=headers)


def _status(code: int, message: str) -> dict[str, Any]:
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": REASONS.get(code, ""),
        "code": code,
    }

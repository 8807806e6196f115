"""HTTP for the kubelet and for Prometheus: `/livez` and `/readyz` on one port, `/metrics` on another."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from prometheus_client import CollectorRegistry


@asynccontextmanager
async def serving(address: str, port: int, routes: list[web.RouteDef]) -> AsyncIterator[None]:
    """Serve routes on a port of their own."""
    application = web.Application()
    application.add_routes(routes)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, address, port).start()
        yield
    finally:
        await runner.cleanup()


def probe(path: str, trouble: Callable[[], str | None]) -> web.RouteDef:
    """Return a route that says ok, or 503 and why not."""

    async def answer(_: web.Request) -> web.Response:
        why = trouble()
        return web.Response(text=f"{why or 'ok'}\n", status=503 if why else 200)

    return web.get(path, answer)


def metrics(registry: CollectorRegistry) -> web.RouteDef:
    """Return the route that Prometheus scrapes."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    return web.get("/metrics", answer)

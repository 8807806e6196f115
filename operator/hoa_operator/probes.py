"""HTTP for the kubelet, and for Prometheus and who it wakes: `/livez` and `/readyz` on one port, `/metrics` and the alerts'
runbooks on another."""

from __future__ import annotations

from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from prometheus_client import CollectorRegistry

#: Where the image has docs/operations: beside the package.
RUNBOOKS: Final = Path(__file__).resolve().parents[1] / "runbooks"


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


def runbooks(folder: Path) -> web.RouteDef:
    """Return the route of the pages of docs/operations, each under its file's name, as the plain text that Markdown is.

    They are read once, here: what a request names is looked up among them and never sought on a disk.
    """
    pages = {path.name: path.read_text() for path in sorted(folder.glob("*.md"))}

    async def answer(request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name in pages:
            return web.Response(text=pages[name])
        known = "\n".join(f"/runbooks/{page}" for page in pages) or "none: this image was built without docs/operations"
        return web.Response(text=f"There is no such page. There are:\n\n{known}\n", status=404)

    return web.get("/runbooks/{name}", answer)

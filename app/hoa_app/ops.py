"""The door for machines on the metrics port: /metrics, and for the worker its probes. No Ingress leads here."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager

import uvicorn
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.exposition import generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from hoa_app.metrics import Metrics
from hoa_app.settings import Settings


def ops_app(metrics: Metrics, ready: Callable[[], bool]) -> Starlette:
    """The three addresses."""

    async def exposition(_request: Request) -> Response:
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_PLAIN_0_0_4)

    async def livez(_request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readyz(_request: Request) -> Response:
        return PlainTextResponse("ok\n") if ready() else PlainTextResponse("not ready\n", 503)

    return Starlette(routes=[Route("/metrics", exposition), Route("/livez", livez), Route("/readyz", readyz)])


class QuietServer(uvicorn.Server):
    """A server that leaves the process's signals to whoever runs it: set `should_exit` to end it gracefully."""

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Capture none."""
        yield


def ops_server(settings: Settings, metrics: Metrics, ready: Callable[[], bool]) -> QuietServer:
    """Ready to `serve()`."""
    return QuietServer(
        uvicorn.Config(
            ops_app(metrics, ready),
            host=settings.host,
            port=settings.metrics_port,
            access_log=False,
            log_config=None,
            proxy_headers=False,
            server_header=False,
            lifespan="off",
        )
    )

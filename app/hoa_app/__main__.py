"""`python -m hoa_app`: serve every tenant. Settings come from the environment; SIGTERM lets requests finish."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys

import uvicorn
import uvloop

from hoa_app.features import FEATURES
from hoa_app.logs import configure_logging
from hoa_app.main import create_app
from hoa_app.ops import QuietServer, ops_server
from hoa_app.services import Services
from hoa_app.settings import Settings, SettingsError


async def serve(settings: Settings) -> None:
    """The app and its metrics, until a signal."""
    app = create_app(settings, FEATURES)
    services: Services = app.state.services
    server = QuietServer(
        uvicorn.Config(
            app,
            host=settings.host,
            port=settings.port,
            http="httptools",
            ws="none",
            access_log=False,
            log_config=None,
            # X-Forwarded-* is read in tenancy/hosts.py, by our own rules.
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=settings.shutdown_seconds,
        )
    )
    ops = ops_server(settings, services.metrics, services.registry.loaded.is_set)

    def stop() -> None:
        server.should_exit = True

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    # What was imported stays: looking through all of it again and again would hold up a request in a hundred.
    gc.collect()
    gc.freeze()
    beside = asyncio.create_task(ops.serve())
    try:
        await server.serve()
    finally:
        ops.should_exit = True
        await beside


def main() -> int:
    """Entry point; returns the exit code."""
    try:
        settings = Settings.from_env(os.environ)
    except SettingsError as error:
        sys.stderr.write(f"hoa_app: {error}\n")
        return 2
    configure_logging(settings.log_level, "app", settings.app_version)
    uvloop.run(serve(settings))
    return 0


if __name__ == "__main__":
    sys.exit(main())

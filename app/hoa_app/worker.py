"""The worker's process: `python -m hoa_app.worker` does what requests leave in the tenants' outboxes."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from hoa_app.background import Background
from hoa_app.db.pools import PoolLimits, Pools
from hoa_app.identity.passwords import Passwords
from hoa_app.jobs.breaker import Breaker
from hoa_app.jobs.dropped import DroppedFiles
from hoa_app.jobs.mail import Mailer
from hoa_app.jobs.mails import HANDLERS
from hoa_app.jobs.outcome import Policy
from hoa_app.jobs.rows import Rows
from hoa_app.jobs.waker import Waker
from hoa_app.jobs.worker import Worker
from hoa_app.logs import configure_logging, get_logger
from hoa_app.metrics import Metrics
from hoa_app.services import Services
from hoa_app.settings import Settings, SettingsError
from hoa_app.storage import Storage
from hoa_app.tenancy.registry import Registry
from hoa_app.web import template_environment

if TYPE_CHECKING:
    from starlette.requests import Request

    from hoa_app.feature import Feature

log = get_logger()


@dataclass(frozen=True)
class OpenWorker:
    """A worker with everything it needs open; `worker.run()` sets it going."""

    services: Services
    worker: Worker
    background: Background


@asynccontextmanager
async def open_worker(
    settings: Settings, features: Sequence[Feature], *, policy: Policy | None = None, breaker: Breaker | None = None
) -> AsyncIterator[OpenWorker]:
    """Follow the registry, keep the pools, close both at the end."""
    services = _services(settings, features, breaker or Breaker())
    handlers = {**HANDLERS, **{kind: job for feature in features for kind, job in feature.jobs.items()}}
    worker = Worker(
        Rows(services, handlers, policy or Policy()),
        concurrency=settings.worker_concurrency,
        sweep_seconds=settings.worker_sweep_seconds,
        only_tenant=settings.only_tenant,
        grace_seconds=settings.shutdown_seconds,
    )
    registry, pools = services.registry, services.pools
    registry.on_change += [pools.forget, lambda tenant_id, _tenant: worker.wake(tenant_id)]
    registry.on_outbox.append(worker.wake)
    crowded = Waker(registry, "hoa_crowded")
    pools.on_wake, pools.on_full = lambda tenant: worker.wake(tenant.id), crowded.wake
    registry.on_crowded.append(pools.give_way)
    registry.on_pods.append(pools.shared_by)
    background = Background()
    beside = {"registry": registry.run(), "pools": pools.housekeep(), "crowded": crowded.run()}
    if settings.only_tenant is None:
        beside["dropped"] = DroppedFiles(services).run()
    try:
        async with background.running(beside):
            yield OpenWorker(services, worker, background)
    finally:
        await pools.close()
        await registry.close()


def _services(settings: Settings, features: Sequence[Feature], breaker: Breaker) -> Services:
    metrics = Metrics()
    limits = PoolLimits(settings.pool_max_total, settings.pool_idle_seconds, settings.pool_tenant_share)
    return Services(
        settings=settings,
        registry=Registry(settings, metrics, "worker"),
        pools=Pools(limits, metrics, "hoa-worker"),
        storage=Storage(settings.storage_url),
        mailer=Mailer(settings.mail, metrics, breaker),
        passwords=Passwords(),
        metrics=metrics,
        templates=template_environment(features),
        features=tuple(features),
        nav=(),
    )


def probes(opened: OpenWorker) -> Starlette:
    """What the kubelet and Prometheus ask. Ready means: the tenants are known."""

    async def livez(_request: Request) -> Response:
        ended = opened.background.ended
        if ended:
            return _answer(False, f"no longer running: {', '.join(ended)}")
        return _answer(opened.worker.alive, "the sweep has stopped coming round")

    async def readyz(_request: Request) -> Response:
        return _answer(opened.services.registry.loaded.is_set(), "the registry has not been read yet")

    async def metrics(_request: Request) -> Response:
        return Response(generate_latest(opened.services.metrics.registry), media_type=CONTENT_TYPE_LATEST)

    return Starlette(routes=[Route("/livez", livez), Route("/readyz", readyz), Route("/metrics", metrics)])


def _answer(good: bool, otherwise: str) -> Response:
    return PlainTextResponse("ok" if good else otherwise, status_code=200 if good else 503)


class _ProbeServer(uvicorn.Server):
    """Leaves signals alone: they are the worker's, and its probes answer until its last row is done."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def run(settings: Settings, features: Sequence[Feature]) -> None:
    """Work until SIGTERM or SIGINT, then finish the rows in hand."""
    async with open_worker(settings, features) as opened:
        config = uvicorn.Config(
            probes(opened),
            host=settings.host,
            port=settings.metrics_port,
            log_config=None,
            access_log=False,
            lifespan="off",
        )
        server = _ProbeServer(config)
        serving = asyncio.create_task(server.serve())
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, opened.worker.stop)
        log.info("worker started", concurrency=settings.worker_concurrency, mail=settings.mail.host or None)
        try:
            await opened.worker.run()
        finally:
            server.should_exit = True
            await serving
        log.info("worker stopped")


def main() -> int:
    """Read the settings, run; 2 means that they cannot be used as they are."""
    from hoa_app.features import FEATURES

    try:
        settings = Settings.from_env(os.environ)
    except SettingsError as error:
        print(f"hoa_app.worker: {error}", file=sys.stderr)  # noqa: T201 - logging is not set up yet
        return 2
    configure_logging(settings.log_level, "worker", settings.app_version)
    asyncio.run(run(settings, FEATURES))
    return 0


if __name__ == "__main__":
    sys.exit(main())

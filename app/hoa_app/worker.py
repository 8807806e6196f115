"""`python -m hoa_app.worker`: drain every tenant's outbox. SIGTERM lets the rows in hand finish."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from uuid import UUID

import uvloop

from hoa_app.feature import Feature, JobHandler
from hoa_app.features import FEATURES
from hoa_app.jobs.mail_kinds import HANDLERS
from hoa_app.jobs.runner import Runner
from hoa_app.logs import configure_logging
from hoa_app.main import create_services, running
from hoa_app.ops import ops_server
from hoa_app.settings import Settings, SettingsError
from hoa_app.tenancy.tenant import Tenant


def job_handlers(features: Sequence[Feature]) -> Mapping[str, JobHandler]:
    """The spine's kinds and every feature's."""
    return {**HANDLERS, **{kind: handler for feature in features for kind, handler in feature.jobs.items()}}


async def work(settings: Settings, features: Sequence[Feature], stop: asyncio.Event) -> None:
    """Run until `stop` is set."""
    services = create_services(settings, features, "hoa-worker")
    runner = Runner(services, job_handlers(features))

    def on_change(tenant_id: UUID, tenant: Tenant | None) -> None:
        if tenant is not None:
            runner.wake(tenant_id)

    services.registry.on_outbox.append(runner.wake)
    services.registry.on_change.append(on_change)
    ops = ops_server(settings, services.metrics, services.registry.loaded.is_set)
    async with running(services):
        beside = asyncio.create_task(ops.serve())
        await runner.run(stop)
        ops.should_exit = True
        await beside


async def _until_signalled(settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await work(settings, FEATURES, stop)


def main() -> int:
    """Entry point; returns the exit code."""
    try:
        settings = Settings.from_env(os.environ)
    except SettingsError as error:
        sys.stderr.write(f"hoa_app.worker: {error}\n")
        return 2
    configure_logging(settings.log_level, "worker", settings.app_version)
    uvloop.run(_until_signalled(settings))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""`python -m hoa_operator`: stand by until the lead is ours, lead, and end the process with the lead."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import time
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING, Final, TypeVar

import structlog
import uvloop

from hoa_operator import foreign, kube, leftovers_command, probes
from hoa_operator.cache import Cache
from hoa_operator.errors import Explained, Fenced, ForeignRegistry, OperatorError, Outdated
from hoa_operator.farewell import Farewell
from hoa_operator.fleet import Fleet, Opening
from hoa_operator.kube import Kube
from hoa_operator.leader import Leadership, LeaseTerms
from hoa_operator.leading import Leader, Term
from hoa_operator.metrics import Metrics
from hoa_operator.observe import Sources
from hoa_operator.registry import Registry
from hoa_operator.sealing import Sealer
from hoa_operator.settings import Settings, SettingsError
from hoa_operator.usage import UsageBook

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

log = structlog.get_logger()

T = TypeVar("T")
_START_RETRY: Final = 1.0
#: The same while only a person can help: each try tells every HOATenant.
_FOREIGN_RETRY: Final = 10.0


def _clock() -> float:
    """Return seconds that run on while the process, or the whole machine, stands still."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _done(start: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[bool]]:
    """Have something answer True when it is done."""

    async def run() -> bool:
        await start()
        return True

    return run


class Process:
    """One operator process, from start to end."""

    def __init__(self, settings: Settings, environ: Mapping[str, str]) -> None:
        self._settings = settings
        self._environ = environ
        self._metrics = Metrics()
        self._stop = asyncio.Event()
        self._fenced: Fenced | None = None
        self._leader: Leader | None = None
        self._trouble: str | None = "starting"
        self._leadership = Leadership(settings.lease_name, settings.pod_name, LeaseTerms(), _clock)

    async def run(self) -> int:
        """Run until told to stop; return the exit code, which is not zero when the lead was lost."""
        settings = self._settings
        async with AsyncExitStack() as stack:
            address = settings.bind_address
            probed = [probes.probe("/livez", self._dead), probes.probe("/readyz", self._unready)]
            await stack.enter_async_context(probes.serving(address, settings.probe_port, probed))
            scraped = [probes.metrics(self._metrics.registry), probes.runbooks(probes.RUNBOOKS)]
            await stack.enter_async_context(probes.serving(address, settings.metrics_port, scraped))
            # The lease has connections of its own: it waits for nobody, and one that falls silent is not met again.
            unfenced = await self._connect(stack, lambda: None)
            fenced = await self._connect(stack, self._leadership.check)
            self._trouble = None
            await self._serve(unfenced, fenced, Farewell(unfenced))
        return 1 if self._fenced is not None else 0

    async def _connect(self, stack: AsyncExitStack, gate: Callable[[], None]) -> Kube:
        client = kube.connect(self._environ)
        stack.push_async_callback(client.close)
        return Kube(client, self._settings.namespace, gate, self._metrics)

    def stop(self) -> None:
        """Stop gracefully."""
        self._stop.set()

    async def _serve(self, unfenced: Kube, fenced: Kube, farewell: Farewell) -> None:
        """Stand by and lead, but never in a namespace that is being deleted."""
        if await farewell.look():
            await farewell.let_go()
            return
        watching = asyncio.create_task(farewell.watch(self._stop), name="namespace")
        parting = asyncio.create_task(self._part(farewell), name="parting")
        try:
            await self._stand_and_lead(unfenced, fenced)
        finally:
            watching.cancel()
            self._stop.set()
            await asyncio.wait({watching, parting})
        if farewell.going:
            await farewell.let_go()  # once more: a reconcile that was at work may have added a finalizer

    async def _part(self, farewell: Farewell) -> None:
        """Let go of the tenants as soon as the end has come, if it is the namespace's: the work at hand may take a while."""
        await self._stop.wait()
        if self._fenced is not None and not farewell.going:
            return  # whoever leads now sees to it
        if await farewell.last_look():
            await farewell.let_go()

    async def _stand_and_lead(self, unfenced: Kube, fenced: Kube) -> None:
        acquiring = asyncio.create_task(self._leadership.acquire(unfenced), name="acquire")
        stopping = asyncio.create_task(self._stop.wait(), name="stopping")
        await asyncio.wait({acquiring, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if self._stop.is_set():
            acquiring.cancel()
            await asyncio.wait({acquiring})
            await self._leadership.release(unfenced)
            return
        stopping.cancel()
        acquiring.result()
        self._metrics.leader.set(1)
        keeping = asyncio.create_task(self._keep(unfenced), name="keep")
        try:
            await self._lead(fenced)
        finally:
            keeping.cancel()
            await asyncio.wait({keeping})
            self._metrics.leader.set(0)
            if self._fenced is None:
                await self._leadership.release(unfenced)

    async def _keep(self, unfenced: Kube) -> None:
        try:
            await self._leadership.keep(unfenced)
        except Fenced as fenced:
            self._fence(fenced)
        except Exception:
            log.exception("the lease is renewed no more")
            self._fence(Fenced("the lease is renewed no more, for an error of this operator's own"))

    def _fence(self, fenced: Fenced) -> None:
        """End at once: a successor may be at work."""
        log.error("lead lost", message=fenced.message)
        self._fenced = fenced
        self._stop.set()

    async def _lead(self, fenced: Kube) -> None:
        settings = self._settings
        installation = settings.installation
        cluster = await self._until_it_works(lambda: foreign.here(fenced, settings.cluster_namespace))
        if cluster is None:
            return
        registry = Registry(
            settings.registry_dir,
            settings.registry_reader_dir,
            identity=settings.pod_name,
            installation=installation,
            cluster=cluster,
        )
        async with AsyncExitStack() as stack:
            stack.push_async_callback(registry.close)
            if await self._until_it_works(foreign.told(fenced, registry.start)) is None:
                return
            epoch = await self._until_it_works(registry.acquire_epoch)
            if epoch is None:
                return
            fleet = Fleet(fenced, Opening(settings.pod_name, installation, registry.guard(epoch)), time.monotonic)
            stack.push_async_callback(fleet.close)
            usage = UsageBook(time.monotonic, settings.timing.resync * 0.75)
            sources = Sources(settings, Cache(), registry, Sealer(settings.sealing_keys_file), fleet, usage, fenced)
            term = Term(epoch, self._fence, lambda: self._fenced is not None)
            leader = Leader(sources, fenced, self._metrics, term)
            if await self._until_it_works(_done(leader.fill)) is not None:
                self._leader = leader
                await leader.run(self._environ, self._stop)

    async def _until_it_works(self, start: Callable[[], Awaitable[T]]) -> T | None:
        """Try again and again what the world may not be ready for; return what came of it, or None if the end did."""
        while not self._stop.is_set():
            try:
                found = await start()
            except Fenced as fenced:
                self._fence(fenced)
            except Outdated:
                raise  # the lease is released on the way out
            except OperatorError as error:
                self._trouble = f"{error.reason}: {error.message}"
                log.warning("cannot start yet", reason=error.reason, message=error.message)
                pause = _FOREIGN_RETRY if isinstance(error, ForeignRegistry) else _START_RETRY
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._stop.wait(), pause)
            else:
                self._trouble = None
                return found
        return None

    def _dead(self) -> str | None:
        """Return why the kubelet should start this process anew."""
        if self._fenced is not None:
            return "the lead was lost"
        if self._leader is not None:
            dead = self._leader.health.dead(time.monotonic())
            return f"no sign of life from the watch of {', '.join(dead)}" if dead else None
        return None

    def _unready(self) -> str | None:
        """Return why this process neither leads nor could take over."""
        if self._stop.is_set():
            return "stopping"
        return self._trouble


def configure_logging(level: str) -> None:
    """Write JSON lines on standard error, with what libraries log among them."""
    number = logging.getLevelNamesMapping()[level.upper()]
    shared = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    render = structlog.stdlib.ProcessorFormatter(
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        foreign_pre_chain=shared,  # type: ignore[arg-type]
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(render)
    logging.basicConfig(handlers=[handler], level=number, force=True)
    logging.getLogger("kopf").setLevel(max(number, logging.WARNING))
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],  # type: ignore[list-item]
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


async def serve(settings: Settings, environ: Mapping[str, str]) -> int:
    """Run one operator in this loop, ended by SIGTERM or SIGINT."""
    process = Process(settings, environ)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, process.stop)
    return await process.run()


#: What the command line asks for, and what does it; each returns the exit code.
_COMMANDS: Final = {
    "orphans": (leftovers_command.parse, leftovers_command.run),
    "take-over": (foreign.parse, foreign.take_over),
}


def main() -> int:
    """Read the settings and run: the operator, with `orphans` the command that lists what has no living owner, with `take-over`
    the one that makes another cluster's registry this one's."""
    verb, *arguments = sys.argv[1:] or [""]
    if verb not in ("", *_COMMANDS):
        sys.stderr.write(f"unknown command {verb!r}: python -m hoa_operator [orphans [-o json] | take-over CLUSTER]\n")
        return 2
    asked = _COMMANDS[verb][0](arguments) if verb else ""
    try:
        settings = Settings.from_env()
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    configure_logging("error" if verb else settings.log_level)
    try:
        run = _COMMANDS[verb][1](settings, os.environ, asked) if verb else serve(settings, os.environ)
        return uvloop.run(run)
    except Explained as error:
        log.error("ended", reason=error.reason, message=error.message)
        return 1


if __name__ == "__main__":
    sys.exit(main())

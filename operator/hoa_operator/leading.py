"""What the leader does, and only it: fill the cache, watch, and work the queue until it is told to stop or loses
the lead."""

from __future__ import annotations

import asyncio
import signal
import time
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any
from uuid import UUID

import kopf
import structlog

from hoa_operator import dispatch, handlers
from hoa_operator.adminsecrets import AdminSecrets
from hoa_operator.apply import Doors
from hoa_operator.capacity import CapacityReconciler
from hoa_operator.dispatch import CAPACITY, RETAINED, SERVER_KEY, TENANT_KEY, Call, Key
from hoa_operator.errors import Fenced, OperatorError, WorldError
from hoa_operator.kinds import JOB, SECRET, SERVER, TENANT, name_of
from hoa_operator.kube import Conflict
from hoa_operator.observe import track
from hoa_operator.orphans import ORPHANS, OrphanReconciler
from hoa_operator.reconcile import Outcome, TenantReconciler
from hoa_operator.retained import RetainedReconciler
from hoa_operator.sealingkeys import SEALING, SealingKeysReconciler
from hoa_operator.serverwork import ServerReconciler
from hoa_operator.tlssecrets import TlsSecrets
from hoa_operator.usage import is_settled, was_well_inside
from hoa_operator.watch import Auditor, WatchHealth, is_ours
from hoa_operator.workqueue import Limits, WorkQueue, backoff

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from hoa_operator.cache import Cache, Change
    from hoa_operator.kinds import Kind, Object
    from hoa_operator.kube import Kube
    from hoa_operator.metrics import Metrics
    from hoa_operator.observe import Sources
    from hoa_operator.settings import Settings

log = structlog.get_logger()

#: Seconds over which the first look at everything is spread after a start.
_START_SPREAD = 2.0


@dataclass(frozen=True)
class Term:
    """One term of leadership: `epoch` fences it in the registry; `fenced` ends the process; `lost` tells that it does."""

    epoch: int
    fenced: Callable[[Fenced], None]
    lost: Callable[[], bool]


class Leader:
    """Everything that exists only while this process leads."""

    def __init__(self, sources: Sources, kube: Kube, metrics: Metrics, term: Term) -> None:
        self._sources = sources
        self._settings: Settings = sources.settings
        self._cache: Cache = sources.cache
        self._admin_secrets = AdminSecrets(self._cache)
        self._tls_secrets = TlsSecrets(self._cache)
        self._metrics = metrics
        self._term = term
        self._random = Random()  # noqa: S311 - spreads work, guards nothing
        doors = Doors(sources, kube, term.epoch, self._told)
        reporter = self._settings.pod_name
        self._work: Mapping[str, Callable[[str], Awaitable[Outcome]]] = {
            TENANT_KEY: TenantReconciler(doors, reporter, self._random, metrics.repaired),
            SERVER_KEY: ServerReconciler(doors, reporter, self._random),
            CAPACITY.kind: CapacityReconciler(doors, metrics.repaired),
            RETAINED.kind: RetainedReconciler(doors, reporter),
            ORPHANS.kind: OrphanReconciler(doors),
            SEALING.kind: SealingKeysReconciler(doors, reporter, metrics.unopened.set),
        }
        concurrency = self._settings.timing.concurrency
        limits = Limits(total=concurrency, per_lane=max(2, concurrency * 3 // 4))
        self.queue: WorkQueue[Key] = WorkQueue(self._reconcile, lambda key: dispatch.lane(key, self._cache), limits)
        self.health = WatchHealth(time.monotonic())
        self._auditor = Auditor(kube, self._cache, self._settings.release, self._changed)
        self._leading = False

    async def fill(self) -> None:
        """Read the whole cluster once; what is decided on half of it could be wrong."""
        await self._auditor.fill()

    async def run(self, environ: Mapping[str, str], stop: asyncio.Event) -> None:
        """Lead until `stop` is set; then let what is at work finish, unless the lead is lost. The cache was filled
        before."""
        self._metrics.watch_state(self._cache, self.queue, self.health, time.monotonic)
        self._sources.usage.put_off(self._found_well())
        for kind, key in ((SERVER, SERVER_KEY), (TENANT, TENANT_KEY)):
            for body in self._cache.all(kind):
                self._schedule_first(Key(key, name_of(body)), body)
        self.queue.add(CAPACITY)
        self.queue.add(RETAINED)
        self.queue.add(ORPHANS, urgent=False)
        self.queue.add(SEALING, urgent=False)
        self._leading = True
        self.queue.start()
        watching = await _watch(self, self._settings, environ)
        for number in (signal.SIGTERM, signal.SIGINT):  # kopf took them
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        audit = asyncio.create_task(self._auditor.run(self.health, time.monotonic, self._random), name="audit")
        stopped = asyncio.create_task(stop.wait(), name="stop")
        try:
            await asyncio.wait({watching.task, audit, stopped}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            finished = await self.queue.drain(0.0 if self._term.lost() else 20.0)
            log.info("queue drained", finished=finished)
            watching.flag.set()
            audit.cancel()
            stopped.cancel()
        # Before kopf says why it ends by itself it cancels what else it finds in its loop, such as `stopped`.
        await asyncio.wait({watching.task}, timeout=10.0)
        if stop.is_set():
            return
        if audit.done() and not audit.cancelled():
            audit.result()
        raise _watches_ended(watching.task)

    def observed(self, kind: Kind, item: Object, *, deleted: bool) -> None:
        """Take in an event of a watch."""
        self.health.alive(kind, time.monotonic())
        if kind is SECRET and not is_ours(item, self._settings.release):
            self._foreign(item, deleted=deleted)
            return
        if deleted and kind is TENANT:
            self._metrics.forget(name_of(item))
        change = self._cache.forget(kind, item) if deleted else self._cache.observe(kind, item)
        self._changed_if(change)

    def _foreign(self, secret: Object, *, deleted: bool) -> None:
        """Take in an event about a Secret that is not ours, or not any more."""
        known = self._cache.get(SECRET, name_of(secret))
        if known is not None and known["metadata"]["uid"] == secret["metadata"]["uid"]:
            self._changed_if(self._cache.forget(SECRET, secret))
        if self._leading and name_of(secret) == self._settings.sealing.secret:
            self.queue.add(SEALING)
        elif self._leading:
            for follower in (self._admin_secrets, self._tls_secrets):
                for call in follower.calls(secret, deleted=deleted):
                    self._call(call)

    def _changed_if(self, change: Change | None) -> None:
        if change is not None:
            self._changed(change)

    def _changed(self, change: Change) -> None:
        if not self._leading:
            return
        for call in dispatch.calls(change, self._cache, self._settings):
            self._call(call)
        if change.kind is JOB:
            self._call_next()

    def _call_next(self) -> None:
        """Call those whose turn to run a migration Job has come."""
        turns = self._sources.turns
        if turns.waiting:
            for name in turns.due(track(self._sources)):
                self.queue.add(Key(TENANT_KEY, name))

    def _told(self, change: Change) -> None:
        """Take in a change of our own making: others may wait for it, but who made it has seen it."""
        for call in dispatch.calls(change, self._cache, self._settings):
            if call.key.name != change.name:
                self._call(call)

    def _call(self, call: Call) -> None:
        if call.delay:
            self.queue.add_after(call.key, call.delay)
        else:
            self.queue.add(call.key, urgent=call.urgent)

    def _schedule_first(self, key: Key, body: Object) -> None:
        """Look at what is unfinished at once, and at what is settled in a while, so that a restart is no storm."""
        if key.kind == TENANT_KEY and is_settled(body):
            self.queue.add_after(key, self._random.random() * min(_START_SPREAD, self._settings.timing.resync))
        else:
            self.queue.add(key)

    def _found_well(self) -> list[UUID]:
        """Return the ids of the tenants of whose databases there is nothing new to tell, in no order."""
        well = (body for body in self._cache.all(TENANT) if was_well_inside(body))
        found = [UUID(body["status"]["tenantID"]) for body in well if "tenantID" in body["status"]]
        self._random.shuffle(found)
        return found

    async def _reconcile(self, key: Key) -> None:
        started = time.monotonic()
        try:
            outcome = await self._work[key.kind](key.name)
            result = outcome.failed or "ok"
        except Fenced as fenced:
            self._term.fenced(fenced)
            return
        except Conflict:
            outcome, result = Outcome(wait=0.3), "Conflict"
        except OperatorError as error:  # what has no status to be told in, such as that it could not be written
            log.warning("reconcile failed", kind=key.kind, name=key.name, reason=error.reason, message=error.message)
            outcome, result = Outcome(wait=backoff(3, 60.0, self._random), failed=error.reason), error.reason
        except Exception:
            log.exception("reconcile broke", kind=key.kind, name=key.name)
            outcome, result = Outcome(wait=backoff(6, 60.0, self._random)), "Broken"
        self._call_next()
        self._metrics.reconciles.labels(key.kind, "ok" if result == "ok" else "error").inc()
        self._metrics.duration.labels(key.kind).observe(time.monotonic() - started)
        if outcome.wait is not None:
            self.queue.add_after(key, outcome.wait)
        if self._exists(key):
            self.queue.add_after(key, self._settings.timing.resync * (0.8 + 0.4 * self._random.random()))

    def _exists(self, key: Key) -> bool:
        kind = {TENANT_KEY: TENANT, SERVER_KEY: SERVER}.get(key.kind)
        return kind is None or self._cache.get(kind, key.name) is not None


@dataclass(frozen=True)
class _Watching:
    task: asyncio.Task[Any]
    flag: asyncio.Event


def _watches_ended(task: asyncio.Task[None]) -> WorldError:
    """Say that kopf gave up, which it does where the API server refuses a list, and why, if it says so."""
    error = task.exception() if task.done() and not task.cancelled() else None
    ended = WorldError(
        "WatchesEnded",
        f"the watches ended by themselves ({error or 'without an error'}); this operator ends, to be started anew; should it "
        "last, check that the API server is well and the operator reaches it",
    )
    ended.__cause__ = error
    return ended


async def _watch(leader: Leader, settings: Settings, environ: Mapping[str, str]) -> _Watching:
    """Start kopf in this loop."""
    options = kopf.OperatorSettings()
    handlers.configure(options, settings.release)
    existing = asyncio.all_tasks()
    flag = asyncio.Event()
    tasks = await kopf.spawn_tasks(
        registry=handlers.build_registry(leader, environ),
        settings=options,
        memories=handlers.NothingRemembered(),
        # Said here, or kopf looks up the user's name, which a pod's bare uid does not have.
        identity=settings.pod_name,  # type: ignore[arg-type]
        standalone=True,
        namespaces=[settings.namespace],
        stop_flag=flag,
    )
    ignored = existing | leader.queue.tasks
    return _Watching(asyncio.create_task(kopf.run_tasks(tasks, ignored=ignored), name="watches"), flag)

"""Keeps the cache true although watches can fall silent or miss a deletion: lists what there is, cheaply, and compares.

kopf streams the events. Once a minute each kind is listed without spec and status. What the cache lacks although it
was there a listing ago means that the watch of that kind is dead: liveness says so, and the kubelet starts the
operator anew. What vanished unseen is forgotten.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, NamedTuple

import structlog

from hoa_operator import names
from hoa_operator.cache import version_of
from hoa_operator.errors import OperatorError
from hoa_operator.kinds import DEPLOYMENT, POD, SECRET, SOURCES, WATCHED, Kind, labels_of, name_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from random import Random

    from hoa_operator.cache import Cache, Change
    from hoa_operator.kinds import Object
    from hoa_operator.kube import Kube

log = structlog.get_logger()

AUDIT_SECONDS: Final = 60.0
#: A watch that lags for so long is dead.
DEAD_SECONDS: Final = 180.0


def selector(kind: Kind, release: str) -> str:
    """Return the labels of the objects of a kind that are kept; what people write is kept whole."""
    if kind in SOURCES:
        return ""
    instance = f"{names.LABEL_INSTANCE}={release}"
    if kind is DEPLOYMENT:
        return instance  # the shared app's, too, which the chart manages
    ours = f"{instance},{names.LABEL_MANAGED_BY}={names.MANAGED_BY}"
    return f"{ours},{names.LABEL_COMPONENT}=migration" if kind is POD else ours


def stream_selector(kind: Kind, release: str) -> str:
    """Return the labels by which kopf streams a kind: Secrets are streamed whole, for the admin Secrets among them."""
    return "" if kind is SECRET else selector(kind, release)


def is_ours(item: Object, release: str) -> bool:
    """Tell whether an object carries the labels of what this release's operator makes."""
    labels = labels_of(item)
    return (labels.get(names.LABEL_INSTANCE), labels.get(names.LABEL_MANAGED_BY)) == (release, names.MANAGED_BY)


class _Seen(NamedTuple):
    uid: str
    version: int

    @classmethod
    def of(cls, item: Object) -> _Seen:
        return cls(item["metadata"]["uid"], version_of(item))


class WatchHealth:
    """When each watch was last known to be alive: by an event, or by a listing that showed nothing missed."""

    def __init__(self, now: float) -> None:
        self._alive = {kind.kind: now for kind in WATCHED}

    def alive(self, kind: Kind, now: float) -> None:
        """Take note of a sign of life."""
        self._alive[kind.kind] = now

    def silence(self, now: float) -> Mapping[str, float]:
        """Return the seconds since each watch's last sign of life."""
        return {kind: max(0.0, now - at) for kind, at in self._alive.items()}

    def dead(self, now: float) -> list[str]:
        """Return the kinds whose watch is dead."""
        return [kind for kind, seconds in self.silence(now).items() if seconds > DEAD_SECONDS]


class Auditor:
    """Fills the cache at the start, and audits it ever after. `report` is told of every change."""

    def __init__(self, kube: Kube, cache: Cache, release: str, report: Callable[[Change], None]) -> None:
        self._kube = kube
        self._cache = cache
        self._release = release
        self._report = report
        self._missed: dict[tuple[Kind, str], int] = {}

    async def fill(self) -> None:
        """List everything once; work may begin when it is done."""
        for kind in WATCHED:
            async for items, _ in self._kube.pages(kind, selector(kind, self._release)):
                for item in items:
                    self._observe(kind, item)

    async def run(self, health: WatchHealth, clock: Callable[[], float], random: Random) -> None:
        """Audit every kind once a minute, spread over the minute."""
        while True:
            for kind in WATCHED:
                await asyncio.sleep(AUDIT_SECONDS / len(WATCHED) * (0.8 + 0.4 * random.random()))
                try:
                    if await self.audit(kind):
                        health.alive(kind, clock())
                except OperatorError as error:
                    log.warning("audit failed", kind=kind.kind, reason=error.reason, message=error.message)

    async def audit(self, kind: Kind) -> bool:
        """Compare the cache with a listing; tell whether the watch has kept up."""
        known = {name_of(item): _Seen.of(item) for item in self._cache.each(kind)}
        listed: dict[str, _Seen] = {}
        version = 0
        async for items, at in self._kube.pages(kind, selector(kind, self._release), metadata_only=True):
            version = at
            listed |= {name_of(item): _Seen.of(item) for item in items}
        for name, seen in known.items():
            if name not in listed or listed[name].uid != seen.uid:
                await self._check_gone(kind, name, seen, version)
        return self._keeps_up(kind, listed)

    def _keeps_up(self, kind: Kind, listed: Mapping[str, _Seen]) -> bool:
        """Tell whether all that lagged at the last audit has arrived since."""
        before = {name: version for (k, name), version in self._missed.items() if k is kind}
        lagging = {}
        for name, seen in listed.items():
            mine = self._cache.get(kind, name)
            if mine is None or version_of(mine) < seen.version:
                lagging[name] = seen.version
        for name in before:
            del self._missed[(kind, name)]
        self._missed |= {(kind, name): version for name, version in lagging.items()}
        for name, version in before.items():
            mine = self._cache.get(kind, name)
            if name in listed and (mine is None or version_of(mine) < version):
                log.error("watch is dead", kind=kind.kind, name=name)
                return False
        return True

    async def _check_gone(self, kind: Kind, name: str, seen: _Seen, listed_at: int) -> None:
        if seen.version > listed_at:
            return  # younger than the listing
        live = await self._kube.get(kind, name)
        if live is not None and live["metadata"]["uid"] == seen.uid:
            self._observe(kind, live)  # it is listed no more for lack of a label, which is put back
            return
        change = self._cache.forget_uid(kind, name, seen.uid)
        if change is not None:
            self._report(change)
        if live is not None:
            self._observe(kind, live)

    def _observe(self, kind: Kind, item: Object) -> None:
        change = self._cache.observe(kind, item)
        if change is not None:
            self._report(change)

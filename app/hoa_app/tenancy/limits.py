"""What a tier grants per second and at once, held in this process, so that one tenant's rush is not everyone's."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Hashable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial

from hoa_app.logs import get_logger
from hoa_app.metrics import Metrics
from hoa_app.problems import Problem
from hoa_app.tenancy.line import Lines, Place
from hoa_app.tenancy.pace import Pace
from hoa_app.tenancy.tenant import Tenant

ARRIVING_PER_ADDRESS = 32
ARRIVING_PER_TENANT = 256
#: A rush is told when it begins, and then once in so long: a line for each of its requests would fill the logs.
TOLD_SECONDS = 1.0
#: What pages are made of is no request of the tier's, costs little, and is kept by browsers.
ASSETS_FOR_A_REQUEST = 20

log = get_logger()


class Gate:
    """Lets a tenant's request in, or says 429 (too fast) or 503 (too many at once), both with Retry-After."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._pace = Pace()
        self._lines = Lines(metrics.in_line.observe)
        self._rushes: dict[str, Counter[str]] = {}
        self._arriving: Counter[Hashable] = Counter()
        self._uploading: Counter[Hashable] = Counter()

    def count(self, tenant: Tenant, address: str) -> None:
        """One more request from an address; raises the 429 problem."""
        if not self._pace.take(tenant.id_text, tenant.limits.requests_per_second):
            raise self._too_fast(tenant, "rate", address)

    def count_asset(self, tenant: Tenant, address: str) -> None:
        """One more stylesheet or the like; raises the 429 problem."""
        if not self._pace.take(f"{tenant.id_text} assets", ASSETS_FOR_A_REQUEST * tenant.limits.requests_per_second):
            raise self._too_fast(tenant, "assets", address)

    def _too_fast(self, tenant: Tenant, limit: str, address: str) -> Problem:
        self._metrics.rate_limited.labels(tenant.id_text, limit).inc()
        rush = self._rushes.get(tenant.id_text)
        if rush is not None:
            rush[address] += 1
        else:
            self._tell(tenant.id_text, Counter([address]))
        return Problem(
            429,
            "Too many requests",
            "Your company sends more requests than its plan allows. Wait a second and try again.",
            headers={"Retry-After": "1"},
        )

    def _tell(self, key: str, rush: Counter[str]) -> None:
        """Tell how many were refused, and from where most of them came; whoever comes from now on is told a little later."""
        ((address, most),) = rush.most_common(1)
        log.info("requests refused", tenant=key, count=rush.total(), ip=address, of_ip=most)
        self._rushes[key] = Counter()
        asyncio.get_running_loop().call_later(TOLD_SECONDS, self._tell_rest, key)

    def _tell_rest(self, key: str) -> None:
        rush = self._rushes.pop(key)
        if rush:
            self._tell(key, rush)

    @contextmanager
    def arriving(self, tenant: Tenant, address: str) -> Iterator[None]:
        """While the first of a body is awaited: many may wait, but not many from one address."""
        with (
            self._held(self._arriving, (tenant.id, address), ARRIVING_PER_ADDRESS, tenant, "arriving"),
            self._held(self._arriving, tenant.id, ARRIVING_PER_TENANT, tenant, "arriving"),
        ):
            yield

    def uploading(self, tenant: Tenant) -> AbstractContextManager[None]:
        """While a request is worked on whose body is still coming. Of the places there are, these may take half."""
        most = max(1, tenant.limits.concurrent_requests // 2)
        return self._held(self._uploading, tenant.id, most, tenant, "uploads")

    def in_line(self, tenant: Tenant) -> Place:
        """While a request is worked on: no more than are granted, of these a few are begun at a time, and of the others so many
        may wait as may come at once, such as the photos of a page."""
        granted = tenant.limits.concurrent_requests
        return self._lines.place(tenant.id_text, granted, partial(self.refuse, tenant, "concurrency"))

    def _held(self, counter: Counter[Hashable], key: Hashable, most: int, tenant: Tenant, limit: str) -> _Place:
        return _Place(self, counter, key, most, tenant, limit)

    def refuse(self, tenant: Tenant, limit: str) -> Problem:
        """Count a request for which there is no place, and say so."""
        self._metrics.rate_limited.labels(tenant.id_text, limit).inc()
        return Problem(
            503,
            "Busy",
            "Too many of your company's requests are being worked on at once. Try again in a moment.",
            headers={"Retry-After": "1"},
        )


class _Place:
    """One place of so many, held for a block."""

    __slots__ = ("_counter", "_gate", "_key", "_limit", "_most", "_tenant")

    def __init__(
        self, gate: Gate, counter: Counter[Hashable], key: Hashable, most: int, tenant: Tenant, limit: str
    ) -> None:
        self._gate = gate
        self._counter = counter
        self._key = key
        self._most = most
        self._tenant = tenant
        self._limit = limit

    def __enter__(self) -> None:
        taken = self._counter[self._key]
        if taken >= self._most:
            raise self._gate.refuse(self._tenant, self._limit)
        self._counter[self._key] = taken + 1

    def __exit__(self, *_: object) -> None:
        left = self._counter[self._key] - 1
        if left:
            self._counter[self._key] = left
        else:
            del self._counter[self._key]

"""What a tier grants per second and at once, held in this process, so that one tenant's rush is not everyone's."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Hashable, Iterator
from contextlib import AbstractContextManager, contextmanager
from uuid import UUID

from hoa_app.logs import get_logger
from hoa_app.metrics import Metrics
from hoa_app.problems import Problem
from hoa_app.tenancy.line import Lines, Place
from hoa_app.tenancy.pace import Pace
from hoa_app.tenancy.tenant import Tenant

ARRIVING_PER_ADDRESS = 32
ARRIVING_PER_TENANT = 256
#: A rush is told once in so long, and counted in the metrics: a line for each of its requests would fill the logs.
TOLD_SECONDS = 1.0

log = get_logger()


class Gate:
    """Lets a tenant's request in, or says 429 (too fast) or 503 (too many at once), both with Retry-After."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._pace = Pace()
        self._lines = Lines()
        self._told: dict[str, float] = {}
        self._untold: Counter[str] = Counter()
        self._arriving: Counter[Hashable] = Counter()
        self._uploading: Counter[Hashable] = Counter()
        self._inside: Counter[Hashable] = Counter()

    def count(self, tenant: Tenant) -> None:
        """One more request; raises the 429 problem."""
        if not self._pace.take(tenant.id_text, tenant.limits.requests_per_second):
            self._tell_too_fast(tenant)
            raise Problem(
                429,
                "Too many requests",
                "Your company sends more requests than its plan allows. Wait a second and try again.",
                headers={"Retry-After": "1"},
            )

    def _tell_too_fast(self, tenant: Tenant) -> None:
        key, now = tenant.id_text, time.monotonic()
        self._metrics.rate_limited.labels(key, "rate").inc()
        self._untold[key] += 1
        if now - self._told.get(key, now - TOLD_SECONDS) >= TOLD_SECONDS:
            self._told[key] = now
            log.info("requests refused", tenant=key, limit="rate", count=self._untold.pop(key))

    @contextmanager
    def arriving(self, tenant: Tenant, address: str) -> Iterator[None]:
        """While the first of a body is awaited: many may wait, but not many from one address."""
        with (
            self._held(self._arriving, (tenant.id, address), ARRIVING_PER_ADDRESS, tenant, "arriving"),
            self._held(self._arriving, tenant.id, ARRIVING_PER_TENANT, tenant, "arriving"),
        ):
            yield

    def working(self, tenant: Tenant, *, uploading: bool = False) -> AbstractContextManager[None]:
        """While a request is worked on. Of the places there are, uploads may take half."""
        most = tenant.limits.concurrent_requests
        place = self._held(self._inside, tenant.id_text, most, tenant, "concurrency")
        return self._uploads(place, tenant, max(1, most // 2)) if uploading else place

    def in_line(self, tenant: Tenant) -> Place:
        """While a request that has a place is begun: a few at a time, the others wait."""
        return self._lines.place(tenant.id_text)

    @contextmanager
    def _uploads(self, place: AbstractContextManager[None], tenant: Tenant, most: int) -> Iterator[None]:
        with place, self._held(self._uploading, tenant.id, most, tenant, "uploads"):
            yield

    def inside(self, tenant_id: UUID) -> int:
        """How many requests of a tenant are being worked on."""
        return self._inside[str(tenant_id)]

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
    """One place of so many, held for a block. A class, because every request takes one."""

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

"""What a tier grants per second and at once, held in this process, so that one tenant's rush is not everyone's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from uuid import UUID

from limits import RateLimitItemPerSecond
from limits.strategies import SlidingWindowCounterRateLimiter

from hoa_app.metrics import Metrics
from hoa_app.problems import Problem
from hoa_app.tenancy.tenant import Tenant
from hoa_app.tenancy.windows import WindowStorage

ARRIVING_PER_ADDRESS = 32
ARRIVING_PER_TENANT = 256


class Gate:
    """Lets a tenant's request in, or says 429 (too fast) or 503 (too many at once), both with Retry-After."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._limiter = SlidingWindowCounterRateLimiter(WindowStorage())
        self._items: dict[int, RateLimitItemPerSecond] = {}
        self._arriving: Counter[Hashable] = Counter()
        self._uploading: Counter[Hashable] = Counter()
        self._inside: Counter[Hashable] = Counter()

    def count(self, tenant: Tenant) -> None:
        """One more request in this second; raises the 429 problem."""
        limits = tenant.limits
        item = self._items.get(limits.requests_per_second)
        if item is None:
            item = self._items[limits.requests_per_second] = RateLimitItemPerSecond(limits.requests_per_second)
        if not self._limiter.hit(item, tenant.id_text):
            self._metrics.rate_limited.labels(tenant.id_text, "rate").inc()
            raise Problem(
                429,
                "Too many requests",
                "Your company sends more requests than its plan allows. Wait a second and try again.",
                headers={"Retry-After": "1"},
            )

    @contextmanager
    def arriving(self, tenant: Tenant, address: str) -> Iterator[None]:
        """While the first of a body is awaited: many may wait, but not many from one address."""
        with (
            self._held(self._arriving, (tenant.id, address), ARRIVING_PER_ADDRESS, tenant, "arriving"),
            self._held(self._arriving, tenant.id, ARRIVING_PER_TENANT, tenant, "arriving"),
        ):
            yield

    @contextmanager
    def working(self, tenant: Tenant, *, uploading: bool = False) -> Iterator[None]:
        """While a request is worked on. Of the places there are, uploads may take half."""
        most = tenant.limits.concurrent_requests
        with self._held(self._inside, tenant.id, most, tenant, "concurrency"):
            if not uploading:
                yield
                return
            with self._held(self._uploading, tenant.id, max(1, most // 2), tenant, "uploads"):
                yield

    def inside(self, tenant_id: UUID) -> int:
        """How many requests of a tenant are being worked on."""
        return self._inside[tenant_id]

    @contextmanager
    def _held(self, counter: Counter[Hashable], key: Hashable, most: int, tenant: Tenant, limit: str) -> Iterator[None]:
        if counter[key] >= most:
            self._metrics.rate_limited.labels(tenant.id_text, limit).inc()
            raise Problem(
                503,
                "Busy",
                "Too many of your company's requests are being worked on at once. Try again in a moment.",
                headers={"Retry-After": "1"},
            )
        counter[key] += 1
        try:
            yield
        finally:
            counter[key] -= 1
            if not counter[key]:
                del counter[key]

"""What a tier grants per second and at once, held in this process, so that one tenant's rush is not everyone's."""

from __future__ import annotations

from collections import defaultdict
from uuid import UUID

from limits import RateLimitItemPerSecond
from limits.strategies import SlidingWindowCounterRateLimiter

from hoa_app.metrics import Metrics
from hoa_app.problems import Problem
from hoa_app.tenancy.tenant import Tenant
from hoa_app.tenancy.windows import WindowStorage


class Gate:
    """Lets a tenant's request in, or says 429 (too fast) or 503 (too many at once), both with Retry-After."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._limiter = SlidingWindowCounterRateLimiter(WindowStorage())
        self._items: dict[int, RateLimitItemPerSecond] = {}
        self._inside: defaultdict[UUID, int] = defaultdict(int)

    def enter(self, tenant: Tenant) -> None:
        """Raises the problem, or counts the request in; `leave` must follow."""
        limits = tenant.limits
        item = self._items.get(limits.requests_per_second)
        if item is None:
            item = self._items[limits.requests_per_second] = RateLimitItemPerSecond(limits.requests_per_second)
        if not self._limiter.hit(item, tenant.id_text):
            self._refuse(tenant, "rate")
            raise Problem(
                429,
                "Too many requests",
                "Your company sends more requests than its plan allows. Wait a second and try again.",
                headers={"Retry-After": "1"},
            )
        if self._inside[tenant.id] >= limits.concurrent_requests:
            self._refuse(tenant, "concurrency")
            raise Problem(
                503,
                "Busy",
                "Too many of your company's requests are being worked on at once. Try again in a moment.",
                headers={"Retry-After": "1"},
            )
        self._inside[tenant.id] += 1

    def leave(self, tenant_id: UUID) -> None:
        """The request is done."""
        left = self._inside[tenant_id] - 1
        if left:
            self._inside[tenant_id] = left
        else:
            del self._inside[tenant_id]

    def inside(self, tenant_id: UUID) -> int:
        """How many requests of a tenant are being worked on."""
        return self._inside.get(tenant_id, 0)

    def _refuse(self, tenant: Tenant, limit: str) -> None:
        self._metrics.rate_limited.labels(tenant.id_text, limit).inc()

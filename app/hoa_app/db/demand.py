"""Who asks for connections: where there are not enough for everybody, those who ask most keep theirs."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from uuid import UUID

HALF_LIFE_SECONDS = 60.0


class Demand:
    """How often each tenant asked lately: each time counts 1, and half as much a minute later.

    With much traffic that ranks tenants by how often they ask, so that of ten requests one more finds a connection open than by
    the order of their last requests (test_demand.py: Zipf's law, 500 tenants, 90 connections). With little traffic it is that
    order.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: dict[UUID, tuple[float, float]] = {}

    def note(self, tenant_id: UUID) -> None:
        """A tenant asks for a connection."""
        now = self._clock()
        count, at = self._known.get(tenant_id, (0.0, now))
        self._known[tenant_id] = (_faded(count, now - at) + 1.0, now)

    def of(self, tenant_id: UUID) -> float:
        """What a tenant's requests count now."""
        now = self._clock()
        count, at = self._known.get(tenant_id, (0.0, now))
        return _faded(count, now - at)

    def forget(self, tenant_id: UUID) -> None:
        """A tenant is gone."""
        self._known.pop(tenant_id, None)


def _faded(count: float, seconds: float) -> float:
    return count * math.exp2(-seconds / HALF_LIFE_SECONDS)

"""A circuit breaker: after several failures in a row a dependency is left alone for a while, then tried once."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from hoa_app.metrics import Metrics


class BreakerOpenError(Exception):
    """The dependency failed a moment ago; try again in `retry_in` seconds."""

    def __init__(self, name: str, retry_in: float) -> None:
        super().__init__(f"{name} failed several times in a row and is left alone for {retry_in:.0f} s")
        self.retry_in = retry_in


class Breaker:
    """Shared by everything in the process that uses one dependency."""

    def __init__(
        self,
        name: str,
        metrics: Metrics,
        *,
        failures: int = 5,
        rest_seconds: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = name
        self._gauge = metrics.breaker_open.labels(name)
        self._gauge.set(0)
        self._limit = failures
        self._rest = rest_seconds
        self._clock = clock
        self._failed = 0
        self._opened_at: float | None = None
        self._trying = False

    @property
    def open(self) -> bool:
        """Whether the dependency is being left alone."""
        return self._opened_at is not None

    @asynccontextmanager
    async def guard(self, counts: tuple[type[Exception], ...]) -> AsyncIterator[None]:
        """Run a use of the dependency; only exceptions in `counts` are its failures."""
        self._admit()
        try:
            yield
        except counts:
            self._fail()
            raise
        else:
            self._succeed()
        finally:
            self._trying = False

    def _admit(self) -> None:
        if self._opened_at is None:
            return
        left = self._opened_at + self._rest - self._clock()
        if left > 0 or self._trying:
            raise BreakerOpenError(self._name, max(left, 1.0))
        self._trying = True

    def _fail(self) -> None:
        self._failed += 1
        if self._failed >= self._limit or self._opened_at is not None:
            self._opened_at = self._clock()
            self._gauge.set(1)

    def _succeed(self) -> None:
        self._failed = 0
        self._opened_at = None
        self._gauge.set(0)

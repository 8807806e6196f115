"""A circuit breaker: while the mail server is away, rows wait in the queue instead of each waiting for a timeout."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from hoa_app.jobs.outcome import backoff


class ServerAwayError(Exception):
    """The guarded server did not do its part; it says nothing about the one message."""


class OpenError(Exception):
    """The breaker holds calls back for `retry_after` more seconds."""

    def __init__(self, retry_after: float) -> None:
        super().__init__("held back")
        self.retry_after = retry_after


class Breaker:
    """Opens after `threshold` failures in a row; then lets one call probe per pause, each pause twice the last."""

    def __init__(
        self,
        threshold: int = 5,
        base_seconds: float = 5.0,
        cap_seconds: float = 120.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.threshold = threshold
        self.last_failure = ""
        self._base = base_seconds
        self._cap = cap_seconds
        self._clock = clock
        self._failures = 0
        self._until = 0.0
        self._probing = False

    @property
    def is_open(self) -> bool:
        """Whether the server counts as away."""
        return self._failures >= self.threshold

    @property
    def pause(self) -> float:
        """How long to leave the server alone after what has happened so far."""
        return backoff(max(0, self._failures - 1), self._base, self._cap)

    @contextmanager
    def guard(self) -> Iterator[None]:
        """Around one call: raises OpenError instead of running it, and learns from ServerAwayError."""
        self._admit()
        try:
            yield
        except ServerAwayError as error:
            self._failures += 1
            self._until = self._clock() + self.pause
            self.last_failure = str(error)
            raise
        except Exception:
            self._failures = 0
            raise
        else:
            self._failures = 0
        finally:
            self._probing = False

    def _admit(self) -> None:
        if not self.is_open:
            return
        remaining = self._until - self._clock()
        if remaining > 0 or self._probing:
            raise OpenError(max(remaining, min(1.0, self._base)))
        self._probing = True

"""How fast requests may come: a token bucket per tenant in this process (docs/adr/0018-a-bucket-of-a-fifth-of-a-second.md)."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

#: So many may always come at once, as from a page with many photos, unless less than that is granted for a whole second.
AT_ONCE = 20
#: Else what a fifth of a second grants: a whole second's requests at once would keep everybody else waiting for as long as
#: they take.
BURST_SECONDS = 0.2


@dataclass(slots=True)
class _Bucket:
    tokens: float
    filled: float


class Pace:
    """Tokens come at the granted rate up to a burst, and every request takes one."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: dict[str, _Bucket] = {}

    def take(self, key: str, per_second: int) -> bool:
        """Whether one more request may come now."""
        now, burst = self._clock(), burst_of(per_second)
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = _Bucket(burst, now)
        tokens = min(burst, bucket.tokens + (now - bucket.filled) * per_second)
        bucket.filled = now
        if tokens < 1:
            bucket.tokens = tokens
            return False
        bucket.tokens = tokens - 1
        return True


def burst_of(per_second: int) -> float:
    """How many requests may come at once where so many a second are granted."""
    return min(per_second, max(AT_ONCE, per_second * BURST_SECONDS))

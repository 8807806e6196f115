"""Counters for the rate limiter, in this process, with nothing running beside the requests.

`limits` brings a memory storage that starts a thread every hundredth of a second while there is traffic, to forget old
keys. Here a key is a tenant, there are a few hundred, and two numbers each are worth keeping.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from limits.storage import SlidingWindowCounterSupport, Storage


@dataclass(slots=True)
class _Window:
    """Hits in the window that began at `number` times its length, and in the one before."""

    number: int
    current: int = 0
    previous: int = 0

    def move(self, number: int) -> None:
        if number != self.number:
            self.previous = self.current if number == self.number + 1 else 0
            self.current = 0
            self.number = number


class WindowStorage(Storage, SlidingWindowCounterSupport):
    """One window per key; the limiter passes the same expiry for a key every time."""

    STORAGE_SCHEME = None

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        super().__init__()
        self._clock = clock
        self._windows: dict[str, _Window] = {}

    @property
    def base_exceptions(self) -> type[Exception] | tuple[type[Exception], ...]:
        """Nothing here fails."""
        return ()

    def acquire_sliding_window_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        """Count `amount` in unless the weighted sum of both windows would pass `limit`."""
        window, rest = self._window(key, expiry)
        if int(window.previous * rest + window.current) + amount > limit:
            return False
        window.current += amount
        return True

    def get_sliding_window(self, key: str, expiry: int) -> tuple[int, float, int, float]:
        """(previous count, its seconds left, current count, its seconds left)."""
        window, rest = self._window(key, expiry)
        return window.previous, rest * expiry, window.current, rest * expiry + expiry

    def clear_sliding_window(self, key: str, expiry: int) -> None:  # noqa: ARG002 - the interface's
        """Forget a key."""
        self.clear(key)

    def _window(self, key: str, expiry: int) -> tuple[_Window, float]:
        """The key's window moved to now, and which part of it is still to come."""
        at = self._clock() / expiry
        number = int(at)
        window = self._windows.get(key)
        if window is None:
            window = self._windows[key] = _Window(number)
        window.move(number)
        return window, 1 - (at - number)

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Count without a limit."""
        window, _ = self._window(key, expiry)
        window.current += amount
        return window.current

    def get(self, key: str) -> int:
        """The current count."""
        window = self._windows.get(key)
        return window.current if window else 0

    def get_expiry(self, key: str) -> float:  # noqa: ARG002 - the interface's
        """Now: windows end by themselves."""
        return self._clock()

    def check(self) -> bool:
        """It is there."""
        return True

    def reset(self) -> int | None:
        """Forget everything."""
        count = len(self._windows)
        self._windows.clear()
        return count

    def clear(self, key: str) -> None:
        """Forget a key."""
        self._windows.pop(key, None)

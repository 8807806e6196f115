"""Waiting for what is to come: every test that looks again and again does it here."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


def soon(look: Callable[[], T | None], seconds: float, every: float = 0.1) -> T | None:
    """Look until the answer is true or the time is over; return the last answer."""
    deadline = time.monotonic() + seconds
    while not (found := look()) and time.monotonic() < deadline:
        time.sleep(every)
    return found


def until(look: Callable[[], T | None], what: str | Callable[[], str], seconds: float = 120.0, every: float = 0.1) -> T:
    """Look until the answer is true and return it; AssertionError names what never came."""
    found = soon(look, seconds, every)
    if not found:
        raise AssertionError(f"waited {seconds:g} s for {what if isinstance(what, str) else what()}")
    return found

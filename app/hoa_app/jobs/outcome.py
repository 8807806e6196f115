"""What becomes of a row whose handler failed: decided here, apart from everything that touches the world."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from typing import Literal

import psycopg

_LINK = re.compile(r"/(invitation|reset-password)/[A-Za-z0-9_-]+")
_RANDOM = random.SystemRandom()


class JobError(Exception):
    """A failure whose text was written for people: it lands in `last_error` as it is, so it holds no secret."""


class Permanent(JobError):
    """Trying again cannot help: the row is dead at once."""


class Postponed(JobError):
    """Something every row needs is away. Try later and do not count it against this row."""

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


@dataclass(frozen=True)
class Policy:
    """How patient the worker is."""

    max_attempts: int = 12
    base_seconds: float = 5.0
    cap_seconds: float = 3600.0
    give_up_seconds: float = 4 * 86400.0
    job_seconds: float = 45.0


@dataclass(frozen=True)
class Verdict:
    """The row's next state. `delay` counts from now and means nothing for a dead row."""

    state: Literal["queued", "dead"]
    message: str
    delay: float = 0.0
    counted: int = 1


def judge(error: BaseException, attempts: int, age_seconds: float, policy: Policy) -> Verdict:
    """`attempts` were counted before this one; the row was queued `age_seconds` ago."""
    message = describe(error)
    if isinstance(error, Permanent):
        return Verdict("dead", message)
    if isinstance(error, Postponed):
        if age_seconds > policy.give_up_seconds:
            return Verdict("dead", f"Given up after {age_seconds / 86400:.0f} days. {message}"[:300], counted=0)
        return Verdict("queued", message, jitter(error.retry_after), counted=0)
    if attempts + 1 >= policy.max_attempts:
        return Verdict("dead", message)
    return Verdict("queued", message, jitter(backoff(attempts, policy.base_seconds, policy.cap_seconds)))


def backoff(before: int, base: float, cap: float) -> float:
    """Seconds to wait after failure number `before` + 1."""
    return min(cap, base * 2.0 ** min(before, 30))


def jitter(seconds: float) -> float:
    """`seconds`, give or take a fifth, so that what failed together does not come back together."""
    return seconds * _RANDOM.uniform(0.8, 1.2)


def describe(error: BaseException) -> str:
    """One line for `last_error`. Of errors nobody wrote for people only the kind is told; the log has the rest."""
    if isinstance(error, JobError):
        text = str(error)
    elif isinstance(error, psycopg.Error):
        text = f"The database refused: {error.diag.message_primary or type(error).__name__}"
    elif isinstance(error, TimeoutError):
        text = "It took too long."
    else:
        text = f"Unexpected {type(error).__name__}; the worker's log has the details."
    first = next(iter(text.splitlines()), "")
    return _LINK.sub(r"/\1/...", first)[:300]

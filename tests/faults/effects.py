"""What can be done to a request or a statement on its way, and the rules that say to which.

A rule belongs to a proxy: ``proxy.rules.add(Rule(matches, effect, nth=2))``. Rules may be put in and taken out at any
time, from any thread.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Hook = Callable[[], None]
E = TypeVar("E")


@dataclass(frozen=True)
class Drop:
    """The connection is reset before anything is forwarded: the server never hears of it."""


@dataclass(frozen=True)
class Delay:
    """It is forwarded as it is, after some seconds."""

    seconds: float


@dataclass(frozen=True)
class ReplyLost:
    """It is forwarded, the server commits and answers; then ``hook`` is called (a kill, say) and the connection is
    reset without a word of the answer."""

    hook: Hook | None = None


@dataclass(frozen=True)
class Held:
    """``hook`` is called (it stops the operator, say) before anything is forwarded; it is forwarded once ``go`` is set, if
    the connection still stands then."""

    hook: Hook
    go: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True)
class Answered:
    """Postgres only: it is forwarded, the server answers; then ``hook`` is called, and the answer is passed on."""

    hook: Hook


@dataclass(frozen=True)
class Duplicate:
    """API only: it is sent twice, and the second answer is returned."""


@dataclass(frozen=True)
class Answer:
    """API only: it is refused with this HTTP code and never forwarded; ``retry_after`` in seconds."""

    code: int
    retry_after: int | None = None


@dataclass(frozen=True)
class Expire:
    """API only, for a watch or a list: 410, "too old resource version", so that the client must list afresh."""


@dataclass(frozen=True)
class HalfOpen:
    """API only, for a watch: it is opened and stays open, and no event is ever passed on."""


@dataclass(frozen=True)
class StaleList:
    """API only, for a list: an old answer to the same list is returned, the first there was, or as old as the proxy's
    last ``remember_lists``. It has struck, as the request's ``effect`` says, where other objects were in that answer."""


Effect = Drop | Delay | ReplyLost | Held | Answered | Duplicate | Answer | Expire | HalfOpen | StaleList


@dataclass
class Rule(Generic[E]):
    """``effect`` for the ``nth`` entry that matches and the ``times - 1`` after it; ``times=None``: until taken out."""

    matches: Callable[[E], bool]
    effect: Effect
    nth: int = 1
    times: int | None = 1
    seen: int = field(default=0, init=False)
    hits: list[E] = field(default_factory=list, init=False)

    @property
    def spent(self) -> bool:
        """Whether it has hit as often as it should."""
        return self.times is not None and len(self.hits) >= self.times

    def applies(self, entry: E) -> bool:
        """Count an entry; say whether it is hit."""
        if not self.matches(entry):
            return False
        self.seen += 1
        if self.seen < self.nth or self.spent:
            return False
        self.hits.append(entry)
        return True


class Rules(Generic[E]):
    """The rules of one proxy, in the order they were added; the first that applies decides, and every rule counts."""

    def __init__(self) -> None:
        self._rules: list[Rule[E]] = []
        self._lock = threading.Lock()

    def add(self, rule: Rule[E]) -> Rule[E]:
        """Put a rule in and return it: its ``hits`` tell later what it did."""
        with self._lock:
            self._rules.append(rule)
        return rule

    def remove(self, rule: Rule[E]) -> None:
        """Take a rule out."""
        with self._lock:
            self._rules.remove(rule)

    def clear(self) -> None:
        """Take every rule out."""
        with self._lock:
            self._rules.clear()

    def effect_on(self, entry: E) -> Effect | None:
        """Return what shall happen to an entry."""
        with self._lock:
            hit = [rule.effect for rule in self._rules if rule.applies(entry)]
        return hit[0] if hit else None


async def passes(effect: Effect | None) -> None:
    """Wait until what is delayed or held may be forwarded."""
    if isinstance(effect, Delay):
        await asyncio.sleep(effect.seconds)
    if isinstance(effect, Held):
        effect.hook()
        while not effect.go.is_set():  # noqa: ASYNC110 - it is set by the test's thread
            await asyncio.sleep(0.02)

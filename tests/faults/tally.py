"""Counts what became of all breaks of all changes, and records it: against what was asked for, not against what was run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from tests.faults.breaks import percentile
from tests.faults.lanes import CONVERGES_WITHIN
from tests.figures import record

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tests.faults.lanes import Result

PASSED: Final = "crash everywhere: transitions x faults run and passed"
CONVERGED: Final = "crash everywhere: converged, all transitions"
#: Seconds that stand for never: past the bar, so that the figure misses it.
NEVER: Final = 2 * CONVERGES_WITHIN


@dataclass
class Tally:
    """`asked` is how many breaks each change is to be run with: one, until that is known, so that a change which never
    came to its breaks is missed by the figure. `known` is how many there are."""

    asked: dict[str, int] = field(default_factory=dict)
    known: dict[str, int] = field(default_factory=dict)
    results: list[Result] = field(default_factory=list)

    def expect(self, changes: Iterable[str]) -> None:
        """Note the changes that are to be broken."""
        self.asked = {**dict.fromkeys(changes, 1), **self.asked}
        self._record()

    def ask(self, change: str, breaks: int, known: int) -> None:
        """Note how many breaks of a change are about to be run, of how many that there are."""
        self.asked[change], self.known[change] = breaks, known
        self._record()

    def take(self, results: Sequence[Result]) -> None:
        """Count what became of breaks, whether they struck or not."""
        self.results += results
        self._record()

    def _record(self) -> None:
        """Record the figures so far; the last ones are the whole run's."""
        well = sum(not result.wrong for result in self.results)
        missed = sum(not result.struck for result in self.results)
        there_are = sum(self.known.values())
        note = f"{len(self.asked)} changes, {len(self.results)} of {there_are} breaks run, {missed} of them never came to pass"
        record(PASSED, well, sum(self.asked.values()), note=note, at_least=True)
        seconds = taken(self.results)
        for name, share in (("p50", 0.5), ("p99", 0.99)):
            record(f"{CONVERGED}, {name}", percentile(seconds, share), CONVERGES_WITHIN, "s")


def taken(results: Iterable[Result]) -> list[float]:
    """Return the seconds that each break took to converge which struck or went wrong, or more than they may if there is none.

    What did not end well counts as having taken more than it may, so that no failure makes the figures better.
    """
    counted = [result for result in results if result.struck or result.wrong]
    found = [max(result.seconds, NEVER) if result.wrong else result.seconds for result in counted]
    return found or [NEVER]

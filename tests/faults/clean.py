"""Undisturbed runs: what each change writes, and the world it ends in. Each is run once in a session, by whoever asks first."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.faults.breaks import side_by_side

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tests.faults.entries import Recording
    from tests.faults.lanes import Lane
    from tests.faults.scenarios import Scenario
    from tests.faults.world import World

CleanRun = tuple["Recording", "World"]


@dataclass
class CleanRuns:
    """The runs so far."""

    lanes: list[Lane]
    known: dict[Scenario, CleanRun] = field(default_factory=dict)

    def of(self, scenarios: Iterable[Scenario]) -> dict[Scenario, CleanRun]:
        """Return the runs of these changes; those that were not run yet are run now, side by side."""

        def run(scenario: Scenario) -> Callable[[Lane], None]:
            return lambda lane: self.known.__setitem__(scenario, lane.clean_run(scenario))

        wanted = list(dict.fromkeys(scenarios))
        side_by_side(self.lanes, [run(scenario) for scenario in wanted if scenario not in self.known])
        return {scenario: self.known[scenario] for scenario in wanted}

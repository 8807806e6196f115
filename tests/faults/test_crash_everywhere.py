"""Crash everywhere: the operator is killed once each write of each change is committed, and once more only its reply is
lost; every time everything ends as an undisturbed run leaves it, within 30 s, and then nothing more is written.

CI takes a spread of each scenario's breaks, another one for each seed; ``make faults CRASH=all`` takes all of them.
"""

from __future__ import annotations

import os
import statistics
import time
from typing import TYPE_CHECKING

import pytest

from tests.faults.breaks import all_breaks, percentile, run_all, spread
from tests.faults.scenarios import SCENARIOS
from tests.figures import record

if TYPE_CHECKING:
    from tests.faults.lanes import Lane
    from tests.faults.scenarios import Scenario

#: Breaks of each scenario: a number, or ``all``.
SHARE = os.environ.get("HOA_FAULTS_CRASH") or "8"
SEED = int(os.environ.get("HOA_FAULTS_SEED") or time.time() // 86400)


@pytest.mark.figures
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__.lower())
def test_crash_everywhere(lanes: list[Lane], scenario: Scenario, capsys: pytest.CaptureFixture[str]) -> None:
    recording, reference = lanes[0].clean_run(scenario)
    every = all_breaks(recording)
    results = run_all(lanes, scenario, spread(every, SHARE, SEED), reference)
    struck = [result for result in results if result.struck]
    seconds = [result.seconds for result in struck if not result.wrong]
    name = scenario.__name__.lower()
    line = (
        f"crash everywhere: {name}: {recording.writes['api']} API writes and {recording.writes['pg']} SQL writes"
        f" (of {recording.requests} requests and {recording.statements} statements), {len(every)} breaks,"
        f" {len(results)} run, {len(struck)} struck, {sum(not r.wrong for r in results)} well, seed {SEED}; converged in"
        f" p50 {statistics.median(seconds or [0]):.1f} s, p99 {percentile(seconds or [0], 0.99):.1f} s,"
        f" max {max(seconds, default=0):.1f} s"
    )
    with capsys.disabled():
        print(f"\n{line}")  # noqa: T201 - the summary that make faults shows
    record(f"crash everywhere, {name}: runs that did not converge", len(results) - len(seconds), 0, note=line)
    record(f"crash everywhere, {name}: converged, p99", percentile(seconds or [0], 0.99), 30, "s")
    wrong = [f"{result.broken}\n    " + "\n    ".join(result.wrong) for result in results if result.wrong]
    assert not wrong, "\n".join([line, *wrong])
    assert len(struck) >= 0.75 * len(results), [str(result.broken) for result in results if not result.struck]

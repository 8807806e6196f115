"""Crash everywhere: the operator is killed once each write of each change is committed, and once more only its reply is
lost; every time everything ends as an undisturbed run leaves it, within 30 s, and then nothing more is written.

CI takes a spread of each scenario's breaks, another one for each seed; ``make faults CRASH=all`` takes all of them, and
``HOA_FAULTS_CRASH="kill after api create jobs"`` those whose names begin so.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from tests.cluster.fix_platform import zygote_of_jobs
from tests.faults.breaks import all_breaks, percentile, run_breaks, spread
from tests.faults.entries import Recording
from tests.faults.lanes import CONVERGES_WITHIN, ORPHANS
from tests.faults.scenarios import SCENARIOS, Scenario, Upgrade
from tests.faults.tally import Tally, taken
from tests.figures import record
from tests.never import never
from tests.overlay import make_release

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.cluster.jobs import JobRunner
    from tests.faults.clean import CleanRuns
    from tests.faults.lanes import Lane, Result
    from tests.overlay import Release

#: Breaks of each scenario: a number, ``all``, or how their names begin (see ``spread``).
SHARE = os.environ.get("HOA_FAULTS_CRASH") or "4"
MOST_BREAKS_OF_AN_UPGRADE = 60
#: The share of breaks that no run may come to, and always one: how often a status is written depends on what falls together.
MAY_BE_MISSED = 0.05
SEED = int(os.environ.get("HOA_FAULTS_SEED") or time.time() // 86400)


#: What became of all of them so far.
TALLY = Tally()


@pytest.fixture(scope="session")
def later(tmp_path_factory: pytest.TempPathFactory, job_runner: JobRunner, clean: CleanRuns) -> Iterator[Release]:
    """A later version of the app, with one more migration. Who runs after its installation compares itself with runs of it."""
    clean.known.clear()
    release = job_runner.offer(make_release(tmp_path_factory.mktemp("later"), "expand"))
    zygote = zygote_of_jobs(tmp_path_factory.mktemp("zygote"), release.app).start()
    job_runner.zygotes.append(zygote)
    yield release
    job_runner.zygotes.remove(zygote)
    zygote.stop()


def _asked_for(request: pytest.FixtureRequest) -> list[Scenario]:
    """Return the scenarios of the tests that were selected."""
    items = [item for item in request.session.items if isinstance(item, pytest.Function)]
    asked = [item.callspec.params["scenario"] for item in items if item.obj is test_crash_everywhere]
    return [scenario for scenario in SCENARIOS if scenario in asked]


def _name(scenario: Scenario) -> str:
    return scenario.__name__.lower()


@pytest.mark.figures
@pytest.mark.parametrize("scenario", [each for each in SCENARIOS if not each.staged], ids=_name)
def test_crash_everywhere(
    lanes: list[Lane],
    clean: CleanRuns,
    scenario: Scenario,
    request: pytest.FixtureRequest,
    told: Callable[[str], None],
) -> None:
    asked = _asked_for(request)
    TALLY.expect(map(_name, asked))
    recording, reference = clean.of(asked)[scenario]
    breaks = spread(all_breaks(recording), SHARE, SEED)
    TALLY.ask(_name(scenario), len(breaks), len(all_breaks(recording)))
    judge(scenario, recording, run_breaks(lanes, scenario, breaks, reference), told)


@pytest.mark.figures
def test_crash_everywhere_in_an_upgrade(lanes: list[Lane], later: Release, told: Callable[[str], None]) -> None:
    """The last of this file: afterwards the later version is installed everywhere."""
    TALLY.expect([_name(Upgrade)])
    most = int(SHARE) if SHARE.isdigit() else MOST_BREAKS_OF_AN_UPGRADE
    for lane in lanes:
        lane.stage(1 + -(-most // len(lanes)), later)
    recording, reference = lanes[0].clean_run(Upgrade)
    breaks = spread(all_breaks(recording), SHARE, SEED)
    assert len(breaks) <= most, f"{len(breaks)} breaks of an upgrade: raise MOST_BREAKS_OF_AN_UPGRADE"
    TALLY.ask(_name(Upgrade), len(breaks), len(all_breaks(recording)))
    judge(Upgrade, recording, run_breaks(lanes, Upgrade, breaks, reference), told)


def judge(scenario: Scenario, recording: Recording, results: Sequence[Result], told: Callable[[str], None]) -> None:
    """Say one line, record the figures, and hold every run to its end."""
    name, writes = _name(scenario), recording.writes
    TALLY.take(results)
    struck, seconds = [result for result in results if result.struck], taken(results)
    well = sum(not result.wrong for result in results)
    p50, p99 = percentile(seconds, 0.5), percentile(seconds, 0.99)
    line = (
        f"crash everywhere: {name}: {writes['api']} API writes and {writes['pg']} SQL writes (of {recording.requests}"
        f" requests and {recording.statements} statements), {2 * len(recording.entries)} breaks, {len(results)} run,"
        f" {len(struck)} struck, {well} well, seed {SEED}; converged in p50 {p50:.1f} s, p99 {p99:.1f} s, max {max(seconds):.1f} s"
    )
    told(line)
    record(f"crash everywhere, {name}: breaks run", len(results), note=line)
    record(f"crash everywhere, {name}: of them not well", len(results) - well, 0)
    record(f"crash everywhere, {name}: converged, p50", p50, CONVERGES_WITHIN, "s")
    record(f"crash everywhere, {name}: converged, p99", p99, CONVERGES_WITHIN, "s")
    wrong = [f"{result.broken}\n    " + "\n    ".join(result.wrong) for result in results if result.wrong]
    never(wrong if any(result.orphans for result in results) else (), f"{line}\n{ORPHANS}, or else is wrong")
    assert not wrong, "\n".join([line, *wrong])
    missed = [str(result.broken) for result in results if not result.struck]
    assert len(missed) <= max(1, MAY_BE_MISSED * len(results)), missed

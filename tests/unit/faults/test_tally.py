"""What the figures of the crash test say of runs that went well, went wrong, never came to pass, or never were."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests import figures
from tests.faults.entries import Entry
from tests.faults.lanes import Break, Result
from tests.faults.tally import CONVERGED, PASSED, Tally

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.bench.figures.table import Figure

BREAK = Break(Entry("api", "create jobs", 1), "kill")


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Figure]:
    """Finds a figure by its name."""
    path = tmp_path / "figures.jsonl"
    monkeypatch.setenv(figures.FILE, str(path))
    return lambda name: next(figure for figure in figures.read(path) if figure.name == name)


def well(seconds: float, *, struck: bool = True) -> Result:
    return Result(BREAK, struck, seconds)


def test_the_bar_is_what_was_asked_for(recorded: Callable[[str], Figure]) -> None:
    tally = Tally()
    tally.expect(["create"])
    tally.ask("create", 3, 9)
    tally.take([well(1.0), well(2.0)])
    assert (recorded(PASSED).value, recorded(PASSED).bar, recorded(PASSED).holds) == (2, 3, False)
    tally.take([well(3.0, struck=False)])
    assert recorded(PASSED).holds
    assert recorded(PASSED).note == "1 changes, 3 of 9 breaks run, 1 of them never came to pass"


def test_what_went_wrong_is_counted_also_where_nothing_struck(recorded: Callable[[str], Figure]) -> None:
    tally = Tally()
    tally.ask("create", 2, 2)
    tally.take([well(1.0), Result(BREAK, struck=False, seconds=0.5, wrong=("an orphan",))])
    assert not recorded(PASSED).holds
    assert not recorded(f"{CONVERGED}, p99").holds, "what never came to the end took longer than it may"


def test_a_change_that_never_came_to_its_breaks_is_missed(recorded: Callable[[str], Figure]) -> None:
    tally = Tally()
    tally.expect(["create", "update"])
    tally.ask("create", 1, 1)
    tally.take([well(1.0)])
    assert (recorded(PASSED).value, recorded(PASSED).bar) == (1, 2)


def test_times_are_those_of_all_changes(recorded: Callable[[str], Figure]) -> None:
    tally = Tally()
    for change, seconds in (("create", 1.0), ("update", 9.0), ("drop", 2.0)):
        tally.ask(change, 1, 1)
        tally.take([well(seconds)])
    assert (recorded(f"{CONVERGED}, p50").value, recorded(f"{CONVERGED}, p99").value) == (2.0, 9.0)
    assert recorded(f"{CONVERGED}, p99").holds


def test_nothing_run_is_nothing_passed(recorded: Callable[[str], Figure]) -> None:
    tally = Tally()
    tally.expect([])
    assert not recorded(PASSED).holds
    assert not recorded(f"{CONVERGED}, p50").holds

"""The tests are tested: each seeded bug, in a copy of the programs, makes the tests fail that claim to catch it, and the
same tests pass in a copy without any.

HOA_FAULTS_BUGS=all hunts them all; without it those that need no API server, which takes seconds each, and a few that only
the fault harness shows, which takes a minute each.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests import figures
from tests.faults import bugs

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults.bugs import Bug

ENOUGH = 10
QUICK = ("unit", "contract")
#: Of those that only the harness shows: looks that write for ever, a deletion that leaves something without an owner, and one
#: that is cut off in its middle.
HARNESS = ("said-again-after-a-lost-reply", "secrets-left-behind", "drop-cut-off-counts-as-done")
ALL = os.environ.get("HOA_FAULTS_BUGS") == "all"


def hunted() -> list[Bug]:
    """Return the bugs of this run."""
    known = bugs.known()
    return known if ALL else [bug for bug in known if bug.level in QUICK or bug.name in HARNESS]


def without_them() -> dict[str, list[Bug]]:
    """Return the bugs whose catchers are run without them, too, by what goes together in one run.

    CI leaves out those of this level, which it runs anyway beside this test.
    """
    found: dict[str, list[Bug]] = {}
    for bug in hunted():
        if ALL or bug.level in QUICK:
            found.setdefault(f"{bug.level}, every break" if bug.breaks == "all" else bug.level, []).append(bug)
    return found


def environment() -> dict[str, str]:
    """Return the environment without what this run itself was told."""
    return {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST_", "HOA_"))}


@pytest.fixture(scope="module")
def caught() -> set[str]:
    """The names of the bugs that were caught in this run."""
    return set()


@pytest.mark.figures
@pytest.mark.parametrize("held", without_them().values(), ids=without_them())
def test_without_a_bug_nothing_is_caught(held: list[Bug], tmp_path: Path) -> None:
    catchers = sorted({catcher for bug in held for catcher in bug.catchers})
    done = bugs.run(
        held[0].level, catchers, bugs.clean_copy(tmp_path / "clean"), {**environment(), **bugs.shares(held)}
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]


@pytest.mark.figures
@pytest.mark.parametrize("bug", hunted(), ids=lambda bug: bug.name)
def test_is_caught(bug: Bug, tmp_path: Path, caught: set[str]) -> None:
    failed, said = bug.hunt(bug.plant(tmp_path), environment())
    assert failed >= set(bug.catchers), f"{bug.what}\nNot every test caught it:\n{said}"
    caught.add(bug.name)


@pytest.mark.figures
def test_there_are_enough_of_them(caught: set[str], request: pytest.FixtureRequest) -> None:
    """Counts what this run caught; when only some hunts were selected, those must be what was caught."""
    items = [item for item in request.session.items if isinstance(item, pytest.Function)]
    wanted = {item.callspec.id for item in items if item.obj is test_is_caught}
    figures.record("seeded bugs that the tests catch", len(caught), ENOUGH, note=f"of {len(wanted)}", at_least=True)
    assert caught == wanted
    assert len(hunted()) >= ENOUGH

"""The tests are tested: each seeded bug, in a copy of the programs, makes the tests fail that claim to catch it.

HOA_FAULTS_BUGS=all hunts them all; without it those that unit tests catch, which takes seconds each.
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


def hunted() -> list[Bug]:
    """Return the bugs of this run."""
    known = bugs.known()
    return known if os.environ.get("HOA_FAULTS_BUGS") == "all" else [bug for bug in known if bug.level == "unit"]


@pytest.mark.parametrize("bug", hunted(), ids=lambda bug: bug.name)
def test_is_caught(bug: Bug, tmp_path: Path) -> None:
    env = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST_", "HOA_"))}
    failed, said = bug.hunt(bug.plant(tmp_path), env)
    assert failed >= set(bug.catchers), f"{bug.what}\nNot every test caught it:\n{said}"


@pytest.mark.figures
def test_there_are_enough_of_them() -> None:
    known = bugs.known()
    figures.record("seeded bugs that the tests catch", len(known), 10, at_least=True)
    assert len(known) >= 10

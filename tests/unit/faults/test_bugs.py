"""Seeded bugs can be put into the tree as it is, and the tests that shall catch them exist."""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.faults import bugs
from tests.faults.bugs import Bug
from tests.programs import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

#: Each of these tests something of the operator that no other level can, and has to be seen failing.
HARNESS = ("test_crash_everywhere", "test_frozen_leader", "test_api_faults", "test_postgres_faults", "test_job_faults")


@pytest.mark.parametrize("bug", bugs.known(), ids=lambda bug: bug.name)
def test_a_patch_applies_and_names_who_catches_it(bug: Bug) -> None:
    why = bug.applies()
    assert why == "", f"{why}\nThe code it breaks has changed: make {bug.patch} anew"
    assert bug.what.endswith(".")
    assert bug.catchers
    for catcher in bug.catchers:
        path, _, test = catcher.partition("[")[0].partition("::")
        assert re.search(rf"^(async )?def {test}\(", (REPOSITORY / path).read_text(), re.MULTILINE), catcher


@pytest.mark.parametrize(
    "bug", [bug for bug in bugs.known() if "test_crash_everywhere" in "".join(bug.catchers)], ids=lambda bug: bug.name
)
def test_a_bug_of_the_crash_test_names_its_change_its_breaks_and_its_oracle(bug: Bug) -> None:
    """Else it depends on the day whether its break is among those that are run, and anything may be what fails."""
    assert [catcher for catcher in bug.catchers if not catcher.endswith("]")] == []
    assert bug.breaks.startswith(("kill after ", "reply lost after ")), bug.breaks
    assert bug.shown_by


def test_some_bugs_are_shown_by_the_fault_harness_alone() -> None:
    harness = {file: [bug for bug in bugs.known() if file in "".join(bug.catchers)] for file in HARNESS}
    assert [file for file, found in harness.items() if not found] == [], "nothing shows that these can fail"


def test_who_failed_is_read_with_and_without_its_parameter() -> None:
    said = "FAILED tests/x.py::test_a[drop, and back] - tests.never.Never: x - y\nFAILED tests/x.py::test_b\n1 failed"
    assert bugs.failed(said) == {"tests/x.py::test_a[drop, and back]", "tests/x.py::test_a", "tests/x.py::test_b"}


def test_a_hunt_counts_only_where_the_test_says_what_it_should(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Mapping[str, str]] = []

    def ran(*args: Any) -> subprocess.CompletedProcess[str]:
        asked.append(args[-1])
        return subprocess.CompletedProcess("pytest", 1, "E  an orphan\nFAILED tests/faults/t.py::test_a[drop]\n", "")

    monkeypatch.setattr(bugs, "run", ran)
    catcher = "tests/faults/t.py::test_a[drop]"
    bug = Bug(tmp_path, "It breaks.", (catcher,), "kill after api create jobs", shown_by=("an orphan",))
    assert catcher in bug.hunt(tmp_path, {"PATH": "/bin"})[0]
    assert replace(bug, shown_by=("made twice",)).hunt(tmp_path, {})[0] == set()
    assert asked[0] == {"PATH": "/bin", "HOA_FAULTS_CRASH": "kill after api create jobs", "HOA_FAULTS_LANES": "2"}
    replace(bug, breaks="", lives="60 from 7000").hunt(tmp_path, {})
    assert asked[-1] == {"HOA_FAULTS_N": "60", "HOA_FAULTS_SEED": "7000"}

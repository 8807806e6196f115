"""A run of pytest names the tests that found what must not happen even once, and no others."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from hack.testing import levels
from tests.never import Never, happened, never
from tests.programs import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

CASES = """
import pytest
from tests.never import Never, never

@pytest.fixture
def broken():
    never(["row 7"], "rows without an owner")

@pytest.mark.parametrize("end", ["retain, and back"])
def test_a(end):
    never(["acme"], "dropped without proof")

def test_late():
    assert False, "not within 30 s"

def test_because():
    try:
        never([1], "made twice")
    except Never as error:
        raise AssertionError("seed 7") from error

def test_set_up(broken): ...

def test_well():
    never([], "nothing")
"""


def test_they_are_named_in_the_summary(tmp_path: Path) -> None:
    folder = tmp_path / "tests" / "faults"
    folder.mkdir(parents=True)
    (folder / "test_x.py").write_text(CASES)
    command = [sys.executable, "-m", "pytest", "-c", "/dev/null", "--rootdir", ".", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, "-p", "tests.fix_never", "--import-mode=importlib", "tests"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(REPOSITORY)},
    )
    found = levels.ended(done.returncode, done.stdout)
    names = ["test_a[retain, and back]", "test_because", "test_set_up"]
    assert found.never == tuple(f"tests/faults/test_x.py::{name}" for name in names), done.stdout + done.stderr
    assert found.code == 1
    assert "3 failed, 1 passed, 1 error" in found.last


def test_it_is_seen_wherever_it_hides() -> None:
    assert not happened(AssertionError("late"))
    with pytest.raises(ExceptionGroup) as group:
        raise ExceptionGroup("both", [ValueError(), Never("made twice")])
    assert happened(group.value)
    with pytest.raises(Never, match="dropped without proof:\nacme"):
        never(["acme"], "dropped without proof")

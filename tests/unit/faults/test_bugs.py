"""Seeded bugs can be put into the tree as it is, and the tests that shall catch them exist."""

from __future__ import annotations

import re

import pytest

from tests.faults import bugs
from tests.faults.bugs import Bug
from tests.programs import REPOSITORY


@pytest.mark.parametrize("bug", bugs.known(), ids=lambda bug: bug.name)
def test_a_patch_applies_and_names_who_catches_it(bug: Bug) -> None:
    why = bug.applies()
    assert why == "", f"{why}\nThe code it breaks has changed: make {bug.patch} anew"
    assert bug.what.endswith(".")
    assert bug.catchers
    for catcher in bug.catchers:
        path, _, test = catcher.partition("::")
        assert re.search(rf"^(async )?def {test}\(", (REPOSITORY / path).read_text(), re.MULTILINE), catcher

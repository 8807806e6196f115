"""A run is timed to its end, and its processor time counted; one that ends badly is no measurement."""

from __future__ import annotations

import os
import sys

import pytest

from tests.bench.runs import ran, resident_mebibytes


def test_a_run_knows_what_it_used() -> None:
    took = ran([sys.executable, "-c", "sum(range(3_000_000))"], {})
    assert took.cpu > 0
    assert took.seconds > 0


def test_a_run_that_fails_is_told_with_its_words() -> None:
    with pytest.raises(AssertionError, match="what went wrong"):
        ran([sys.executable, "-c", "raise SystemExit('what went wrong')"], {})


def test_a_process_is_weighed_while_it_runs() -> None:
    assert resident_mebibytes(os.getpid()) > 5

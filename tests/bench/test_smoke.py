"""Every question of `make bench` can be asked: small and short. The times mean nothing here, so no bar is read."""

from __future__ import annotations

import math

import pytest

from tests.bench.__main__ import QUESTIONS, ask


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_question_is_answered(name: str) -> None:
    answer = ask(name, [], smoke=True)
    names = [figure.name for figure in answer.figures]
    assert names
    assert len(set(names)) == len(names)
    assert all(math.isfinite(figure.value) for figure in answer.figures)

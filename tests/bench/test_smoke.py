"""Every question of `make bench` can be asked, small and short, and is told as the whole is. The times mean nothing here, so no bar
is read."""

from __future__ import annotations

import json
import math
import signal
from typing import TYPE_CHECKING

import pytest

from tests.bench.__main__ import QUESTIONS, main

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def _own_signals() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize("name", QUESTIONS)
@pytest.mark.usefixtures("_own_signals")
def test_a_question_is_answered(name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    record = tmp_path / "benchmarks.json"
    code = main(["--smoke", "--only", name, "--record", str(record)])
    said = capfd.readouterr()
    assert code == 0, said.err
    entry = json.loads(record.read_text())["questions"][name]
    figures, document = entry["figures"], record.with_suffix(".md").read_text()
    assert figures
    assert len({figure["name"] for figure in figures}) == len(figures)
    assert all(math.isfinite(figure["value"]) for figure in figures)
    for figure in figures:
        assert figure["name"] in said.out
        assert f"| {figure['name']} |" in document
    assert f"## {entry['title']}" in document

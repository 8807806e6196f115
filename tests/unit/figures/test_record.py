"""A figure that a test records is the one the table shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.bench.figures.table import Figure, render
from tests.figures import FILE, read, record

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_figures_are_read_as_they_were_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "figures.jsonl"
    monkeypatch.setenv(FILE, str(path))
    record("failover", 9.5, 15, "s", note="of 3")
    record("bugs caught", 10, 10, at_least=True)
    record("failover", 9.4, 15, "s")
    assert read(path) == [Figure("failover", 9.4, "s", 15), Figure("bugs caught", 10, "", 10, at_least=True)]


def test_nothing_is_written_where_nobody_collects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(FILE, raising=False)
    monkeypatch.chdir(tmp_path)
    assert record("failover", 9.5, 15, "s").holds
    assert list(tmp_path.iterdir()) == []
    assert read(tmp_path / "none") == []


def test_the_table_tells_which_side_of_the_bar_is_right() -> None:
    text = render([Figure("failover", 16, "s", 15), Figure("bugs caught", 10, "", 10, at_least=True)])
    assert [line.split() for line in text.splitlines()] == [
        ["figure", "measured", "bar"],
        ["failover", "16", "s", "<=", "15", "s", "MISSED"],
        ["bugs", "caught", "10", ">=", "10", "holds"],
    ]


def test_a_lower_bar_is_never_met_by_nothing() -> None:
    assert not Figure("breaks passed", 0, "", 0, at_least=True).holds
    assert Figure("breaks passed", 1, "", 0, at_least=True).holds
    assert Figure("leaks", 0, "", 0).holds

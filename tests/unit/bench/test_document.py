"""What a run leaves behind: a record that later runs add to and compare with, and the document that is made of it."""

from __future__ import annotations

import json
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from tests.bench import __main__, document
from tests.bench.figures.table import Figure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.bench.lab import Lab

    Measure = Callable[[Lab], Iterator[Figure]]

FACTS = {"Processor": "2 x one", "kopf": "1"}


@pytest.fixture(autouse=True)
def questions(monkeypatch: pytest.MonkeyPatch) -> dict[str, Measure]:
    """Two questions, asked on a machine that stays the same."""
    measures: dict[str, Measure] = {"first": _two, "second": _breaks}

    def question(name: str) -> ModuleType:
        module = ModuleType(name, "What is it?\n\nMore of it.")
        module.__dict__["measure"] = measures[name.rpartition(".")[2]]
        return module

    monkeypatch.setattr(__main__, "QUESTIONS", tuple(measures))
    monkeypatch.setattr(__main__, "import_module", question)
    monkeypatch.setattr(document, "machine", lambda: dict(FACTS))
    return measures


def _two(_: Lab) -> Iterator[Figure]:
    yield Figure.over([2000.0, 15230.4, 1e6], "rows", "rows/s", 100, "a | b\nc", at_least=True)
    yield Figure("errors", 0, "", 0)


def _breaks(_: Lab) -> Iterator[Figure]:
    yield Figure("before it broke", 7, "ms")
    raise RuntimeError("no more disk\nat all")


def test_a_question_that_breaks_costs_neither_its_figures_nor_those_of_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "benchmarks.json"
    assert __main__.main(["--record", str(path)]) == 1
    found = json.loads(path.read_text())["questions"]
    assert [each["name"] for each in found["second"]["figures"]] == ["before it broke", "second, not measured"]
    assert [each["value"] for each in found["first"]["figures"]] == [15230.4, 0]
    table = capsys.readouterr().out
    assert "MISSED  RuntimeError: no more disk at all" in table
    assert "15,230 rows/s  2,000 to 1,000,000  >= 100 rows/s  holds" in table


def test_the_document_has_a_row_for_every_figure(tmp_path: Path) -> None:
    assert __main__.main(["--record", str(tmp_path / "benchmarks.json"), "--only", "first"]) == 0
    text = (tmp_path / "benchmarks.md").read_text()
    assert "| Processor | 2 x one |" in text
    assert "## What is it?\n\nMore of it." in text
    assert "| rows | 15,230 rows/s | 2,000 to 1,000,000 | 3 | >= 100 rows/s | holds | a \\| b c |" in text
    assert "| errors | 0 |  |  | <= 0 | holds |  |" in text


def test_one_question_asked_again_leaves_the_others_as_they_were(
    tmp_path: Path, questions: dict[str, Measure], capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "benchmarks.json"
    __main__.main(["--record", str(path)])
    questions["first"] = lambda _: iter([Figure("rows", 30460.8, "rows/s"), Figure("errors", 5, "", 0)])
    capsys.readouterr()
    assert __main__.main(["--record", str(path), "--only", "first"]) == 1
    told = capsys.readouterr().out.splitlines()
    assert told[-2:] == ["rows: 15,230 -> 30,461 rows/s (x2.00)", "errors: 0 -> 5 MISSED"]
    assert list(document.read(path)["questions"]) == ["first", "second"]


def test_what_was_measured_on_another_machine_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "benchmarks.json"
    __main__.main(["--record", str(path)])
    monkeypatch.setattr(document, "machine", lambda: {**FACTS, "kopf": "2"})
    __main__.main(["--record", str(path), "--only", "first"])
    told = capsys.readouterr().out
    assert "first, not the same machine: kopf 1 -> 2" in told
    assert "second, not the same machine" not in told
    assert list(document.read(path)["questions"]) == ["first", "second"]
    head, _, rest = path.with_suffix(".md").read_text().partition("## ")
    assert "| Processor | 2 x one |" in head
    assert "kopf" not in head
    assert [line.rpartition(", ")[2] for line in rest.splitlines() if line.startswith("Measured")] == [
        "kopf 2.",
        "kopf 1.",
    ]


def test_a_smoke_run_reads_no_bar_but_sees_what_broke(tmp_path: Path, questions: dict[str, Measure]) -> None:
    questions["first"] = lambda _: iter([Figure("slow", 9, "s", 1)])
    path = str(tmp_path / "smoke.json")
    assert __main__.main(["--smoke", "--record", path, "--only", "first"]) == 0
    assert __main__.main(["--smoke", "--record", path, "--only", "second"]) == 1


def test_what_the_figures_depend_on_is_known_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(document, "postgres_bin", lambda: "/nowhere")
    monkeypatch.setattr(document, "_said", " ".join)
    facts = document.machine()
    assert all(facts.values())
    assert "unknown" not in facts.values()
    assert {"Processor", "vegeta", "kwok", "django-tenants", "asyncpg", "kopf"} <= facts.keys()

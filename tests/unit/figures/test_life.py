"""Which figures are due is what the tests record: none is forgotten, and one that was not measured is told."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

import pytest

from tests.bench.figures import life
from tests.bench.figures.table import Figure
from tests.faults.scenarios import SCENARIOS
from tests.programs import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator


def recorded() -> Iterator[str]:
    """Return a pattern of the name of each figure that a test records."""
    for level in life.LEVELS:
        for path in sorted((REPOSITORY / "tests" / level).rglob("*.py")):
            if "figures" in path.read_text():
                yield from _in(ast.parse(path.read_text()))


def _in(tree: ast.Module) -> Iterator[str]:
    words = dict(filter(None, map(_constant, tree.body)))
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("record", "figures.record"):
            yield _pattern(node.args[0], words)


def _constant(node: ast.stmt) -> tuple[str, str] | None:
    """Return name and value of a text that a module gives a name."""
    match node:
        case ast.Assign(targets=[ast.Name(name)], value=ast.Constant(str(value))):
            return name, value
        case ast.AnnAssign(target=ast.Name(name), value=ast.Constant(str(value))):
            return name, value
    return None


def _pattern(name: ast.expr, words: dict[str, str]) -> str:
    match name:
        case ast.JoinedStr(parts):
            return "".join(_pattern(part, words) for part in parts)
        case ast.FormattedValue(inner):
            return _pattern(inner, words)
        case ast.Constant(value):
            return re.escape(str(value))
        case ast.Name(word) if word in words:
            return re.escape(words[word])
    return ".+"


PATTERNS = tuple(dict.fromkeys(recorded()))


def test_the_records_are_found() -> None:
    assert len(PATTERNS) > 15


@pytest.mark.parametrize("pattern", PATTERNS)
def test_what_is_recorded_is_due(pattern: str) -> None:
    assert any(re.fullmatch(pattern, name) for name in life.REQUIRED)


@pytest.mark.parametrize("name", life.REQUIRED)
def test_what_is_due_is_recorded(name: str) -> None:
    assert any(re.fullmatch(pattern, name) for pattern in PATTERNS)


def test_every_change_has_its_figures() -> None:
    found = {
        name.partition(", ")[2].partition(":")[0] for name in life.REQUIRED if name.startswith("crash everywhere, ")
    }
    assert found == {scenario.__name__.lower() for scenario in SCENARIOS}


def test_every_visit_has_its_figure() -> None:
    text = (REPOSITORY / "tests" / "e2e" / "test_under_way.py").read_text()
    named = set(re.findall(r'_fails_none\(visitor, "(.+)"\)', text))
    assert {f"failed requests during {what}" for what in named} <= set(life.REQUIRED)
    assert len(named) == 5


def test_what_was_not_measured_is_named() -> None:
    found = [Figure(name, 1, "") for name in life.REQUIRED if name != "API writes of a restart"]
    assert life.not_measured(found) == ["API writes of a restart"]
    assert life.not_measured([*found, Figure("API writes of a restart", 0, "")]) == []

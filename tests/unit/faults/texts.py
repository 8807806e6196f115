"""Every pair of a reason and a text that stands in the operator's source, as a person would read it."""

from __future__ import annotations

import ast
import importlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from tests.programs import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

OPERATOR: Final = REPOSITORY / "operator"
_SAYS: Final = frozenset({"UserError", "WorldError", "Finding", "__init__"})
_REASON: Final = re.compile(r"[A-Z][a-z]+([A-Z][a-z0-9]*)*")
_ILL: Final = frozenset({"False", "Unknown"})
#: What an expression would read like, where only a run could tell.
_KNOWN: Final[Mapping[str, str]] = {"kind.kind": "Secret", "kind": "Secret", "str(address)": "db:5432"}


@dataclass(frozen=True)
class Text:
    """One text; `whole` tells whether it is read, or only a run can tell what it says."""

    where: str
    reason: str
    message: str
    whole: bool


def texts() -> Iterator[Text]:
    """Return all of them, module by module."""
    for path in sorted((OPERATOR / "hoa_operator").rglob("*.py")):
        dotted = ".".join(path.relative_to(OPERATOR).with_suffix("").parts)
        if "registry_migrations" in dotted:
            continue
        names = vars(importlib.import_module(dotted)) if not dotted.endswith("__main__") else {}
        for node in ast.walk(ast.parse(path.read_text())):
            for pair in _pairs(node):
                yield _text(f"{dotted.removeprefix('hoa_operator.')}:{node.lineno}", pair, names)  # type: ignore[attr-defined]


def _pairs(node: ast.AST) -> Iterator[tuple[ast.expr, ast.expr]]:
    """Return the reason and the message of an error, a finding, or a tuple that becomes one."""
    found: list[ast.expr] = []
    if isinstance(node, ast.Call) and _name(node.func) in _SAYS:
        found = list(node.args)
    elif isinstance(node, ast.Tuple):
        found = list(node.elts)
    if len(found) >= 3 and isinstance(found[0], ast.Constant) and found[0].value in {*_ILL, "True"}:
        if found[0].value == "True":
            return
        found = found[1:]
    if len(found) == 3 and isinstance(node, ast.Tuple):
        found = found[1:]  # a pattern, a reason and a hint
    if len(found) >= 2 and isinstance(found[0], ast.Constant) and _REASON.fullmatch(str(found[0].value)):
        yield found[0], found[1]


def _name(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _text(where: str, pair: tuple[ast.expr, ast.expr], names: Mapping[str, Any]) -> Text:
    message = _render(pair[1], names)
    return Text(where, str(ast.literal_eval(pair[0])), message or "", message is not None)


def _render(node: ast.expr, names: Mapping[str, Any]) -> str | None:
    """Return a text with every value it is given replaced by what that is called, or None if it is no text."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = _render(node.left, names), _render(node.right, names)
        return None if left is None or right is None else left + right
    if isinstance(node, ast.JoinedStr):
        return "".join(_value(part, names) for part in node.values)
    return None


def _value(part: ast.expr, names: Mapping[str, Any]) -> str:
    if isinstance(part, ast.Constant):
        return str(part.value)
    assert isinstance(part, ast.FormattedValue)
    source = ast.unparse(part.value)
    known = _KNOWN.get(source) or _constant(part.value, names)
    return known if known is not None else "x"


def _constant(node: ast.expr, names: Mapping[str, Any]) -> str | None:
    """Return a module's constant, its own or another's."""
    found = None
    if isinstance(node, ast.Name):
        found = names.get(node.id)
    elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        found = getattr(names.get(node.value.id), node.attr, None)
    return found if isinstance(found, str) else None

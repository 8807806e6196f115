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
#: First elements of tuples that are no reasons, and reasons of what went well.
_WORDS: Final = frozenset(
    {
        *("None", "True", "False", "TierChanged", "StateChanged", "PlacementChanged", "AddressChanged", "AppUpgraded"),
        *("SchemaUpgraded", "SealingKeyStaged", "SealingKeyPromoted", "SealingKeysRotated"),
    }
)
_ILL: Final = frozenset({"False", "Unknown"})
#: What an expression would read like, where only a run could tell, by module.
_KNOWN: Final[Mapping[tuple[str, str], str]] = {
    ("apply", "kind.kind"): "Secret",
    ("fleet", "what"): "Secret x (spec.adminSecretName of HOADatabaseServer x)",
    ("kube", "what"): "get Secret hoa-connect/x",
    ("kube", "message"): "get Secret hoa-connect/x: it is refused",
    ("reconcile", "left"): "apply Ingress x",
    ("postgres.failures", "what"): "database x",
    ("postgres.failures", "_UNREACHABLE[1]"): "; check that the server runs",
}
#: What stands before a text of a module when a person reads it.
_BEFORE: Final[Mapping[str, str]] = {
    "migration": "Job x: ",
    "migrating": "Job x: ",
    "serverwork": "Job x: ",
    "postgres.failures": "Postgres at db:5432, database x: it said so; ",
}


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
        tree = ast.parse(path.read_text())
        names = {**_locals(tree), **vars(importlib.import_module(dotted))} if not dotted.endswith("__main__") else {}
        for node in ast.walk(tree):
            for reason, message, literal in _pairs(node, names):
                text = _text(dotted.removeprefix("hoa_operator."), (reason, message), names)
                if text.whole or literal:  # else a constant of another kind, such as a condition's type
                    yield text


def _locals(tree: ast.AST) -> dict[str, ast.expr]:
    """Return the values of names that a module gives one text, somewhere."""
    given: dict[str, list[ast.expr]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            given.setdefault(node.targets[0].id, []).append(node.value)
    return {name: values[0] for name, values in given.items() if len(values) == 1}


def _pairs(node: ast.AST, names: Mapping[str, Any]) -> Iterator[tuple[str, ast.expr, bool]]:
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
    if len(found) < 2:
        return
    reason = str(found[0].value) if isinstance(found[0], ast.Constant) else _constant(found[0], "", names) or ""
    if not _REASON.fullmatch(reason) or reason in _WORDS:
        return
    if isinstance(found[1], ast.Constant) and " " not in str(found[1].value):
        return  # two words of a list, no sentence
    yield reason, found[1], isinstance(found[0], ast.Constant)


def _name(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _text(module: str, pair: tuple[str, ast.expr], names: Mapping[str, Any]) -> Text:
    message = _render(pair[1], module, names)
    where, before = f"{module}:{pair[1].lineno}", _BEFORE.get(module, "")
    return Text(where, pair[0], before + (message or ""), message is not None)


def _render(node: ast.expr, module: str, names: Mapping[str, Any]) -> str | None:
    """Return a text with every value it is given replaced by what that is called, or None if it is no text."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = _render(node.left, module, names), _render(node.right, module, names)
        return None if left is None or right is None else left + right
    if isinstance(node, ast.JoinedStr):
        return "".join(_value(part, module, names) for part in node.values)
    found = _KNOWN.get((module, ast.unparse(node))) or _constant(node, module, names)
    return found if found is not None and " " in found else None


def _value(part: ast.expr, module: str, names: Mapping[str, Any]) -> str:
    if isinstance(part, ast.Constant):
        return str(part.value)
    assert isinstance(part, ast.FormattedValue)
    source = ast.unparse(part.value)
    known = _KNOWN.get((module, source)) or _constant(part.value, module, names)
    return known if known is not None else "x"


def _constant(node: ast.expr, module: str, names: Mapping[str, Any]) -> str | None:
    """Return a module's constant, its own or another's, or the one text that a function gives a name."""
    found = None
    if isinstance(node, ast.Name):
        found = names.get(node.id)
        if isinstance(found, ast.expr):
            return (
                _render(found, module, names) if isinstance(found, ast.JoinedStr | ast.Constant | ast.BinOp) else None
            )
    elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        found = getattr(names.get(node.value.id), node.attr, None)
    return found if isinstance(found, str) else None

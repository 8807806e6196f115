"""Runs a revision's upgrade() against a stand-in for alembic's `op` that writes down the SQL and where it came from."""

from __future__ import annotations

import ast
import importlib.util
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import NoReturn

#: What a revision may import. SQL that depends on anything else is not the SQL that was read here.
ALLOWED = ("__future__", "alembic", "collections.abc", "typing", "hoa_app.migrations")
_FILE = re.compile(r"(\d{4})_[a-z0-9_]+\.py")


@dataclass(frozen=True)
class Finding:
    """What is wrong, where, and what to do instead."""

    path: Path
    line: int
    what: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.what}"


@dataclass(frozen=True)
class Statement:
    """SQL as the revision passes it on; `alone` is outside of any transaction, in `batches` it is run again and again."""

    sql: str
    line: int
    alone: bool
    batches: bool = False


@dataclass(frozen=True)
class Revision:
    """One revision as it is read. `contracts`: what it takes away -> the head of the first release that lives without it."""

    path: Path
    number: str
    before: str | None
    contracts: Mapping[str, str]
    statements: tuple[Statement, ...]


class Refused(Exception):
    """A revision that cannot be read."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(str(finding))
        self.finding = finding


@dataclass
class Recorder:
    """The part of alembic's `op` that migrations use."""

    path: Path
    statements: list[Statement] = field(default_factory=list)
    alone: bool = False

    def execute(self, sqltext: object) -> None:
        """Write a statement down."""
        self.note(sqltext, batches=False)

    def get_bind(self) -> Bind:
        """Stand in for the connection, which only `online.in_batches` uses."""
        return Bind(self)

    def get_context(self) -> Recorder:
        """Stand in for alembic's context."""
        return self

    @contextmanager
    def autocommit_block(self) -> Iterator[None]:
        """Leave the transaction for a while."""
        self.alone = True
        yield
        self.alone = False

    @property
    def config(self) -> SimpleNamespace:
        """Stand in for alembic's configuration, from which the registry's migration takes the name of a role."""
        return SimpleNamespace(attributes={"reader": "reader"})

    def __getattr__(self, name: str) -> NoReturn:
        line = _line(self.path)
        what = f"op.{name} is not read by the linter; write the statement itself: op.execute('ALTER TABLE ...')"
        raise Refused(Finding(self.path, line, what))

    def note(self, sqltext: object, *, batches: bool) -> None:
        """Write a statement down, with the line it comes from."""
        line = _line(self.path)
        if not isinstance(sqltext, str):
            raise Refused(Finding(self.path, line, "pass op.execute the SQL as text, so that it can be read here"))
        self.statements.append(Statement(sqltext, line, self.alone, batches))


@dataclass(frozen=True)
class Bind:
    """The part of a connection that migrations use."""

    recorder: Recorder

    def exec_driver_sql(self, sqltext: str, *_how: object) -> SimpleNamespace:
        """Write down a statement that is run until it changes no row, which here it never does."""
        self.recorder.note(sqltext, batches=True)
        return SimpleNamespace(rowcount=0)


def read(folder: Path) -> tuple[list[Revision], list[Finding]]:
    """Read every revision of a folder, and say what stands in the way of that or of their line."""
    revisions, findings = [], []
    for path in sorted(folder.glob("*.py")):
        if path.name == "__init__.py":
            continue
        try:
            revisions.append(_revision(path))
        except Refused as refused:
            findings.append(refused.finding)
    return revisions, findings + _line_of(revisions)


def _line_of(revisions: list[Revision]) -> list[Finding]:
    """Four digits in one line without branches and gaps."""
    found = []
    for place, revision in enumerate(revisions, start=1):
        before = f"{place - 1:04d}" if place > 1 else None
        if (revision.number, revision.before) != (f"{place:04d}", before):
            what = f"revision {revision.number} after {revision.before}: here belongs {place:04d} after {before}"
            found.append(Finding(revision.path, 1, f"{what}; revisions are four digits in one line (docs/contract.md)"))
    return found


def _revision(path: Path) -> Revision:
    match = _FILE.fullmatch(path.name)
    if match is None:
        raise Refused(Finding(path, 1, "name the file <four digits>_<what_it_does>.py"))
    _check_imports(path)
    module, recorder = _load(path), Recorder(path)
    for name, value in (("revision", match[1]), ("upgrade", None)):
        if not hasattr(module, name) or (value and getattr(module, name) != value):
            raise Refused(Finding(path, 1, f"`{name}` is missing or is not {value or 'a function'}"))
    module.op = recorder  # type: ignore[attr-defined]
    try:
        module.upgrade()
    except Refused:
        raise
    except Exception as error:
        what = f"upgrade() cannot be read without a database: {type(error).__name__}: {error}"
        raise Refused(Finding(path, _line_of_error(path, error), what)) from error
    contracts = getattr(module, "contracts", {})
    return Revision(path, match[1], module.down_revision, contracts, tuple(recorder.statements))


def _check_imports(path: Path) -> None:
    try:
        tree = ast.parse(path.read_text())
    except SyntaxError as error:
        raise Refused(Finding(path, error.lineno or 1, f"it cannot be loaded: {error.msg}")) from error
    for node in ast.walk(tree):
        given = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        given += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        for name in given:
            if not any(name == allowed or name.startswith(f"{allowed}.") for allowed in ALLOWED):
                what = f"a revision does not import {name}: what it does must follow from its own text alone"
                raise Refused(Finding(path, getattr(node, "lineno", 1), what))


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"_revision_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise Refused(Finding(path, _line_of_error(path, error), f"it cannot be loaded: {error}")) from error
    return module


def _line(path: Path) -> int:
    """Return the line of the revision that is at work."""
    frame = sys._getframe()
    while frame is not None:
        if frame.f_code.co_filename == str(path):
            return frame.f_lineno
        frame = frame.f_back  # type: ignore[assignment]
    return 1


def _line_of_error(path: Path, error: BaseException) -> int:
    line, trace = 1, error.__traceback__
    while trace is not None:
        line = trace.tb_lineno if trace.tb_frame.f_code.co_filename == str(path) else line
        trace = trace.tb_next
    return line

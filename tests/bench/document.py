"""docs/benchmarks.md and its JSON: what one run of `make bench` measured, on which machine, with which versions."""

from __future__ import annotations

import inspect
import os
import platform
import subprocess
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tests.bench.figures.table import Figure
from tests.fix_postgres import postgres_bin

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

_LIBRARIES: Final = ("starlette", "uvicorn", "uvloop", "psycopg", "psycopg-pool", "kopf")
_HEAD: Final = """# Benchmarks

Written by `make bench`; no number here was typed by hand. Every comparison was made in one run on one machine, in
alternating rounds after a warm-up; a value is the median of its rounds, the spread the least and the most of them. The
same as JSON is `build/bench.json`; `make bench COMPARE=an-earlier.json` prints the change of every figure since then.
"""


@dataclass(frozen=True)
class Answer:
    """One question, asked and measured."""

    question: ModuleType
    figures: Sequence[Figure]

    @property
    def name(self) -> str:
        """What `--only` calls it."""
        return self.question.__name__.rpartition(".")[2]


def machine() -> dict[str, str]:
    """Return what the figures depend on, by what it is."""
    facts = {
        "Processor": f"{os.cpu_count()} x {_first('/proc/cpuinfo', 'model name')}",
        "Memory": f"{int(_first('/proc/meminfo', 'MemTotal').split()[0]) / 1024**2:.0f} GiB",
        "Kernel": platform.release(),
        "Python": platform.python_version(),
        "Postgres": subprocess.run(
            [postgres_bin() / "postgres", "--version"], check=True, capture_output=True, text=True
        ).stdout.strip(),
    }
    return {**facts, **{name: version(name) for name in _LIBRARIES}}


def as_json(answers: Sequence[Answer], facts: dict[str, str]) -> dict[str, Any]:
    """Return what a later run can compare with."""
    figures = {answer.name: [asdict(figure) for figure in answer.figures] for answer in answers}
    return {"machine": facts, "questions": figures}


def as_markdown(answers: Sequence[Answer], facts: dict[str, str]) -> str:
    """Return the document."""
    parts = [_HEAD, _table(("", ""), list(facts.items()))]
    for answer in answers:
        doc = inspect.getdoc(answer.question) or ""
        title, _, rest = doc.partition("\n")
        parts += [f"## {title.rstrip('.')}\n", f"{rest.strip()}\n" if rest.strip() else ""]
        rows = [
            (each.name, f"{each.value:.4g} {each.unit}".strip(), each.spread, each.limit, each.verdict, each.note)
            for each in answer.figures
        ]
        parts.append(_table(("figure", "measured", "spread", "bar", "", "note"), rows))
    return "\n".join(part for part in parts if part)


def changes(before: dict[str, Any], answers: Sequence[Answer]) -> list[str]:
    """Return a line for each figure that an earlier run measured as well, with the change as a ratio."""
    lines = []
    for answer in answers:
        known = {each["name"]: each["value"] for each in before["questions"].get(answer.name, [])}
        for figure in answer.figures:
            if known.get(figure.name):
                ratio = figure.value / known[figure.name]
                lines.append(
                    f"{figure.name}: {known[figure.name]:.4g} -> {figure.value:.4g} {figure.unit} (x{ratio:.2f})"
                )
    return lines


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines) + "\n"


def _first(path: str, key: str) -> str:
    lines = Path(path).read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(key)), "unknown")

"""What `make bench` leaves behind: a record as JSON, which a later run compares itself with, and the document made of it."""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import platform
import re
import subprocess
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hack.cluster.tools import KUBERNETES_VERSION
from tests.bench.figures.table import Figure, amount
from tests.fix_postgres import postgres_bin
from tests.programs import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import ModuleType

Record = dict[str, Any]

_LIBRARIES: Final = ("starlette", "uvicorn", "uvloop", "psycopg", "psycopg-pool", "kopf", "alembic")
#: Of what stands in the peers' own environments, what decides how fast they are.
_PEERS: Final = ("django", "django-tenants", "gunicorn", "fastapi", "sqlalchemy", "asyncpg")
_HEAD: Final = """# Benchmarks

Written by `make bench`; no number below was typed by hand. A value with a spread is the median of as many rounds as are
given, the spread the least and the most of them; unless the question says otherwise, contestants took turns in these, after
a round that does not count. What has no spread was measured once. benchmarks.json beside this file is the same for
programs: the next run says what has changed since. A question is measured whole on one machine; where that differs from
question to question, each says its own.
"""


@dataclass(frozen=True)
class Answer:
    """One question, asked and measured."""

    question: ModuleType
    figures: Sequence[Figure]
    #: What was measured, as it was when that began.
    build: str

    @property
    def name(self) -> str:
        """What `--only` calls it."""
        return self.question.__name__.rpartition(".")[2]


def machine() -> dict[str, str]:
    """Return what the figures depend on: the machine, and what runs on it by name and version."""
    facts = {
        "Processor": f"{os.cpu_count()} x {_first('/proc/cpuinfo', 'model name')}",
        "Memory": f"{int(_first('/proc/meminfo', 'MemTotal').split()[0]) / 1024**2:.0f} GiB",
        "Kernel": platform.release(),
        "Python": platform.python_version(),
        "Postgres": _said([f"{postgres_bin()}/postgres", "--version"]),
        "Kubernetes": KUBERNETES_VERSION.removeprefix("v"),
        "kwok": _module("kwok", "sigs.k8s.io/kwok"),
        "vegeta": _module("vegeta", "github.com/tsenart/vegeta/v12"),
        "wrk": _said(["dpkg-query", "--show", "--showformat=${Version}", "wrk"]),
    }
    return {**facts, **{name: version(name) for name in _LIBRARIES}, **_pins()}


def record(answers: Sequence[Answer], known: Record) -> Record:
    """Return what is known now: what was asked anew, and what is known of the other questions."""
    facts = machine()
    asked = {answer.name: {**_entry(answer), "machine": facts} for answer in answers}
    return {"questions": {**known.get("questions", {}), **asked}}


def read(path: Path) -> Record:
    """Return an earlier record, or an empty one."""
    found: Record = json.loads(path.read_text()) if path.exists() else {}
    return found


def write(known: Record, path: Path, names: Sequence[str]) -> None:
    """Write a record and, beside it, the document with the questions in this order."""
    questions = {name: known["questions"][name] for name in names if name in known["questions"]}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"questions": questions}, indent=2) + "\n")
    path.with_suffix(".md").write_text(as_markdown(questions))


def as_markdown(questions: Mapping[str, Record]) -> str:
    """Return the document."""
    machines = [entry["machine"] for entry in questions.values()]
    common = {name: value for name, value in machines[0].items() if all(each.get(name) == value for each in machines)}
    parts = [_HEAD, _table(("", ""), list(common.items()))]
    for entry in questions.values():
        own = "".join(f", {name} {value}" for name, value in entry["machine"].items() if name not in common)
        parts += [f"## {entry['title']}\n", entry["text"], f"Measured on {entry['on']}, {entry['build']}{own}.\n"]
        rows = []
        for figure in _figures(entry):
            rounds = str(len(figure.rounds)) if figure.rounds else ""
            rows.append(
                (figure.name, figure.measured, figure.spread, rounds, figure.limit, figure.verdict, figure.note)
            )
        parts.append(_table(("figure", "measured", "spread", "rounds", "bar", "", "note"), rows))
    return "\n".join(part for part in parts if part)


def changes(before: Record, after: Record, names: Sequence[str]) -> list[str]:
    """Return a line for every figure of these questions that is in both records, one for each that is gone, and before those of a
    question what is not the same about the machine."""
    lines = []
    for name in names:
        known, found = before.get("questions", {}).get(name, {"figures": [], "machine": {}}), after["questions"][name]
        lines += [
            f"{name}, not the same machine: {fact} {value} -> {found['machine'].get(fact)}"
            for fact, value in known["machine"].items()
            if found["machine"].get(fact) != value
        ]
        then, now = ({figure.name: figure for figure in _figures(entry)} for entry in (known, found))
        lines += [_change(then[each], now[each]) for each in then if each in now]
        lines += [f"{each}: {then[each].measured} -> not measured" for each in then if each not in now]
    return lines


def _change(then: Figure, now: Figure) -> str:
    times = f" (x{now.value / then.value:.2f})" if then.value else ""
    verdict = f" {now.verdict}" if (now.verdict or then.verdict) != then.verdict else ""
    return f"{now.name}: {amount(then.value)} -> {now.measured}{times}{verdict}"


def _entry(answer: Answer) -> Record:
    doc = inspect.getdoc(answer.question) or ""
    title, _, text = doc.partition("\n")
    return {
        "title": title.rstrip("."),
        "text": f"{text.strip()}\n" if text.strip() else "",
        "on": f"{datetime.now(UTC):%Y-%m-%d}",
        "build": answer.build,
        "figures": [asdict(figure) for figure in answer.figures],
    }


def _figures(entry: Record) -> list[Figure]:
    return [Figure(**known) for known in entry["figures"]]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    cells = ([" ".join(cell.split()).replace("|", "\\|") for cell in line] for line in lines)
    return "\n".join("| " + " | ".join(line) + " |" for line in cells) + "\n"


def _pins() -> dict[str, str]:
    """What the peers' environments are locked to; where that goes by the version of Python, this one's."""
    text = "\n".join(path.read_text() for path in sorted((REPOSITORY / "tests/bench/peers").glob("*/requirements.txt")))
    found = {}
    for name in _PEERS:
        lines = re.findall(rf"^{name}==(\S+)(?: ; python_full_version (<|>=) '3\.12')?", text, re.MULTILINE)
        older = [pin for pin, side in lines if side != (">=" if platform.python_version_tuple() < ("3", "12") else "<")]
        found[name] = older[0]
    return found


def build() -> str:
    """Return which build this is."""
    git = ["git", "-C", str(REPOSITORY)]
    places = ("operator", "app", "charts", "crds", "tests", "hack", "requirements")
    new = _said([*git, "ls-files", "--others", "--exclude-standard", "--", *places])
    changed = _said([*git, "diff", "HEAD", "--", *places]) + new
    mark = f" and changes to it ({hashlib.sha256(changed.encode()).hexdigest()[:7]})" if changed else ""
    return f"build {_said([*git, 'rev-parse', '--short', 'HEAD'])}{mark}"


def _module(tool: str, module: str) -> str:
    text = (REPOSITORY / "hack/tools" / tool / "go.mod").read_text()
    found = re.search(rf"{re.escape(module)} v(\S+)", text)
    return found[1] if found else "unknown"


def _said(command: Sequence[str]) -> str:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    return done.stdout.strip()


def _first(path: str, key: str) -> str:
    lines = Path(path).read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(key)), "unknown")

"""`make bench`: how fast are we, against the bare libraries and against what a team would pick instead?"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Final

from tests.bench.document import Answer, as_json, as_markdown, changes, machine
from tests.bench.figures.table import Figure, render
from tests.bench.lab import Lab

#: One file per question, in the order of the document; each has `measure(lab)`, a generator of figures.
QUESTIONS: Final = (
    "request_path",
    "thousand_people",
    "many_tenants",
    "provisioning",
    "fleet_migration",
    "operator_motion",
    "big_tenants",
    "start_up",
)


def ask(name: str, *, smoke: bool) -> Answer:
    """Measure one question, with servers of its own that end with it."""
    question = import_module(f"tests.bench.{name}")
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="hoa-connect-bench-") as folder:
        Path(folder).chmod(0o755)  # Postgres runs as a user of its own
        lab = Lab(Path(folder), smoke)
        with lab.stack:
            for figure in question.measure(lab):
                figures.append(figure)
                sys.stderr.write(f"    {name}: {figure.name}: {figure.value:.4g} {figure.unit} {figure.note}\n")
    return Answer(question, figures)


def main() -> int:
    """1 when a bar is missed; a smoke run knows no bars."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=QUESTIONS, nargs="+", default=list(QUESTIONS), help="which questions; all")
    parser.add_argument("--smoke", action="store_true", help="small and short: does it work? The times mean nothing")
    parser.add_argument("--json", type=Path, default=Path("build/bench.json"), help="where to write the figures")
    parser.add_argument("--compare", type=Path, help="the JSON of an earlier run")
    parser.add_argument("--document", type=Path, help="where to write the document, such as docs/benchmarks.md")
    arguments = parser.parse_args()
    answers = [ask(name, smoke=arguments.smoke) for name in QUESTIONS if name in arguments.only]
    sys.stdout.write(render([figure for answer in answers for figure in answer.figures]) + "\n")
    facts = machine()
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(as_json(answers, facts), indent=2) + "\n")
    if arguments.document:
        arguments.document.write_text(as_markdown(answers, facts))
    if arguments.compare:
        sys.stdout.write("\n".join(changes(json.loads(arguments.compare.read_text()), answers)) + "\n")
    return 0 if arguments.smoke or all(figure.holds for answer in answers for figure in answer.figures) else 1


if __name__ == "__main__":
    sys.exit(main())

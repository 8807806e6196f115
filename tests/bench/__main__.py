"""`make bench`: how fast are we, against the bare libraries and against what a team would pick instead?"""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
import traceback
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.bench import document
from tests.bench.document import Answer
from tests.bench.figures.table import Figure, render
from tests.bench.lab import Lab

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

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
#: Several times what any question takes, so that one that hangs does not keep the others from being asked.
LONGEST_SECONDS: Final = 7200
SMOKE_SECONDS: Final = 300


@contextmanager
def _at_most(seconds: int) -> Iterator[None]:
    """Give up after so long, whatever is waited for."""

    def late(*_: object) -> None:
        raise TimeoutError(f"it was not answered within {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def ask(name: str, figures: list[Figure], *, smoke: bool) -> Answer:
    """Measure one question, with servers of its own that end with it; what is measured is in `figures` as it comes."""
    question, build = import_module(f"tests.bench.{name}"), document.build()
    folder = Path(tempfile.mkdtemp(prefix=f"hoa-connect-bench-{name}-"))
    folder.chmod(0o755)  # Postgres runs as a user of its own
    lab = Lab(folder, smoke)
    try:
        with _at_most(SMOKE_SECONDS if smoke else LONGEST_SECONDS), lab.stack:
            for figure in question.measure(lab):
                figures.append(figure)
                sys.stderr.write(f"    {name}: {figure.name}: {figure.measured} {figure.verdict} {figure.note}\n")
    except Exception as error:
        error.add_note(f"the logs of what ran are in {folder}")
        raise
    shutil.rmtree(folder, ignore_errors=True)
    if document.build() != build:
        raise RuntimeError(f"what began as {build} ended as {document.build()}: commit nothing meanwhile")
    return Answer(question, figures, build)


def ask_anyway(name: str, *, smoke: bool) -> Answer:
    """Measure one question; what went wrong is a figure that misses its bar, and the other questions are asked all the same."""
    figures: list[Figure] = []
    build = document.build()
    try:
        return ask(name, figures, smoke=smoke)
    except Exception as error:
        traceback.print_exc()
        figures.append(Figure.missing(name, f"{type(error).__name__}: {error}"))
        return Answer(import_module(f"tests.bench.{name}"), figures, build)


def main(argv: Sequence[str]) -> int:
    """1 when a bar is missed or something could not be measured; a smoke run knows no bars."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--only", choices=QUESTIONS, nargs="+", default=list(QUESTIONS), help="which questions; all")
    parser.add_argument("--smoke", action="store_true", help="small and short: does it work? The times mean nothing")
    parser.add_argument("--record", type=Path, help="the JSON to write, the document beside it: docs/benchmarks.json")
    parser.add_argument("--compare", type=Path, help="another JSON to compare with than what is written over")
    given = parser.parse_args(argv)
    path = given.record or Path("build/bench-smoke.json" if given.smoke else "docs/benchmarks.json")
    # Servers are sessions of their own: end as by Ctrl-C, so that they are stopped.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    before = document.read(given.compare or path)
    known, answers = document.read(path), []
    names = [name for name in QUESTIONS if name in given.only]
    for name in names:
        answers.append(ask_anyway(name, smoke=given.smoke))
        # After each: hours of figures are not lost with the last one.
        known = document.record(answers, known)
        document.write(known, path, QUESTIONS)
    figures = [figure for answer in answers for figure in answer.figures]
    sys.stdout.write(render(figures) + "\n")
    for line in document.changes(before, known, names):
        sys.stdout.write(f"{line}\n")
    return (
        0 if all(figure.holds for figure in figures if not given.smoke or figure.name.endswith(", not measured")) else 1
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

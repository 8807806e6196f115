"""Figures that a test measures beside what it asserts: `make figures` shows them with their bars.

A test that measures carries the marker `figures` and calls `record`. Each call appends one JSON line to the file that
`HOA_FIGURES` names; without it nothing is written, so that a test never needs to ask who runs it:

    {"name": "failover after SIGKILL, slowest of 3", "value": 9.4, "unit": "s", "bar": 15, "note": "", "at_least": false,
     "rounds": []}
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path

from tests.bench.figures.table import Figure

FILE = "HOA_FIGURES"


def record(
    name: str, value: float, bar: float | None = None, unit: str = "", *, note: str = "", at_least: bool = False
) -> Figure:
    """Keep a figure and return it. `bar` is what it may reach at most, or must reach with `at_least`."""
    figure = Figure(name, value, unit, bar, note, at_least)
    if path := os.environ.get(FILE):
        with Path(path).open("a") as lines:
            lines.write(json.dumps(asdict(figure)) + "\n")
    return figure


def read(path: Path) -> list[Figure]:
    """Return what was recorded, in order; a figure recorded twice counts as it was recorded last."""
    lines = path.read_text().splitlines() if path.exists() else []
    found = (json.loads(line) for line in lines)
    figures = (Figure(**{**each, "rounds": tuple(each["rounds"])}) for each in found)
    return list({figure.name: figure for figure in figures}.values())

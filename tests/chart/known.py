"""What can be asked of Prometheus: the series that both programs export, and their labels."""

from __future__ import annotations

import functools

from hack.reference import metrics as reference
from tests.programs import REPOSITORY

WRITTEN_BY_SCRAPING = {"namespace", "pod", "job", "instance"}


@functools.cache
def _labels() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for family in [*reference.of_operator(), *reference.of_app()]:
        for name in family.series:
            buckets = {"le"} if name.endswith("_bucket") else set()
            found.setdefault(name, set()).update(family.labels, buckets)
    return found


def series_of_both_programs() -> set[str]:
    """Return every name that a query may use."""
    return set(_labels())


def labels_of(series: str) -> set[str]:
    """Return the labels of a series, those of scraping included."""
    return _labels()[series] | WRITTEN_BY_SCRAPING


@functools.cache
def _code() -> str:
    folders = (REPOSITORY / "operator", REPOSITORY / "app")
    return "".join(path.read_text() for folder in folders for path in sorted(folder.rglob("*.py")))


def is_said_by_the_code(word: str) -> bool:
    """Whether a label's value stands in the programs' source, so that a renamed reason or phase is noticed."""
    return f'"{word}"' in _code()

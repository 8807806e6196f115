"""What a figure is and how the table reads."""

from __future__ import annotations

import json
import statistics
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@dataclass(frozen=True)
class Figure:
    """One measured value and its bar in the same unit, or None: an upper bound, or a lower one with `at_least`.

    What was measured in several rounds has them in `rounds`, and their median as its value (`over`).
    """

    name: str
    value: float
    unit: str
    bar: float | None = None
    note: str = ""
    at_least: bool = False
    rounds: Sequence[float] = ()

    @classmethod
    def over(
        cls,
        rounds: Sequence[float],
        name: str,
        unit: str = "",
        bar: float | None = None,
        note: str = "",
        *,
        at_least: bool = False,
    ) -> Figure:
        """Return the median of several rounds as one figure that knows its spread."""
        return cls(name, statistics.median(rounds), unit, bar, note, at_least, tuple(rounds))

    @classmethod
    def missing(cls, name: str, why: str) -> Figure:
        """Return a figure for what could not be measured, which misses its bar."""
        return cls(f"{name}, not measured", 1, "", 0, why)

    @property
    def measured(self) -> str:
        """The value with its unit."""
        return f"{amount(self.value)} {self.unit}".strip()

    @property
    def spread(self) -> str:
        """The least and the most of the rounds, in words."""
        return f"{amount(min(self.rounds))} to {amount(max(self.rounds))}" if self.rounds else ""

    @property
    def limit(self) -> str:
        """The bar in words."""
        return "" if self.bar is None else f"{'>=' if self.at_least else '<='} {self.bar:g} {self.unit}".strip()

    @property
    def verdict(self) -> str:
        """Whether it holds, in a word; nothing where there is no bar."""
        return "" if self.bar is None else "holds" if self.holds else "MISSED"

    @property
    def holds(self) -> bool:
        """Whether the value stays on the right side of its bar; a lower bar is never met by nothing, be it 0 itself."""
        if self.bar is None:
            return True
        return self.value >= self.bar and self.value > 0 if self.at_least else self.value <= self.bar


def amount(value: float) -> str:
    """A number as people read it: four digits, and from a thousand on whole."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def render(figures: Sequence[Figure]) -> str:
    """One line a figure: name, value, spread, bar, verdict, note; columns as wide as their widest cell."""
    rows: list[tuple[str, ...]] = [("figure", "measured", "spread", "bar", "", "")]
    rows += [
        (each.name, each.measured, each.spread, each.limit, each.verdict, " ".join(each.note.split()))
        for each in figures
    ]
    if not any(figure.rounds for figure in figures):
        rows = [(*row[:2], *row[3:]) for row in rows]
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def save(figures: Sequence[Figure], path: Path) -> None:
    """Write the figures as JSON, so that a later run can be compared with this one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([asdict(figure) for figure in figures], indent=2) + "\n")

"""What a figure is and how the table reads."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@dataclass(frozen=True)
class Figure:
    """One measured value and its bar in the same unit, or None: an upper bound, or a lower one with `at_least`."""

    name: str
    value: float
    unit: str
    bar: float | None = None
    note: str = ""
    at_least: bool = False

    @property
    def holds(self) -> bool:
        """Whether the value stays on the right side of its bar; a lower bar is never met by nothing, be it 0 itself."""
        if self.bar is None:
            return True
        return self.value >= self.bar and self.value > 0 if self.at_least else self.value <= self.bar


def render(figures: Sequence[Figure]) -> str:
    """One line a figure: name, value, bar, verdict, note; columns as wide as their widest cell."""
    rows = [("figure", "measured", "bar", "", "")]
    for figure in figures:
        bar = "" if figure.bar is None else f"{'>=' if figure.at_least else '<='} {figure.bar:g} {figure.unit}".strip()
        verdict = "" if figure.bar is None else ("holds" if figure.holds else "MISSED")
        rows.append((figure.name, f"{figure.value:.4g} {figure.unit}", bar, verdict, figure.note))
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def save(figures: Sequence[Figure], path: Path) -> None:
    """Write the figures as JSON, so that a later run can be compared with this one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([asdict(figure) for figure in figures], indent=2) + "\n")

"""Contestants take turns, so that what else the machine does, and how warm it is, meets all of them alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

T = TypeVar("T")


def alternate(contestants: Mapping[str, Callable[[], T]], rounds: int) -> dict[str, list[T]]:
    """Run each contestant once to warm it up, then all of them in turn, `rounds` times, every other round backwards.

    Return what they returned, a list each, in the order of the rounds, so that the lists can be divided in pairs.
    """
    for run in contestants.values():
        run()
    results: dict[str, list[T]] = {name: [] for name in contestants}
    for number in range(rounds):
        order = list(contestants)[:: -1 if number % 2 else 1]
        for name in order:
            results[name].append(contestants[name]())
    return results


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Divide round by round."""
    return [mine / other for mine, other in zip(ours, theirs, strict=True)]

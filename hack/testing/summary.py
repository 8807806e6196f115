"""The closing lines of `make test`: every level's own result, and pytest's words for all of them."""

import re
from collections import Counter
from collections.abc import Sequence

from hack.cluster.shell import duration

_COUNT = re.compile(r"(\d+) (passed|failed|error|errors|warning|warnings|deselected|skipped|xfailed|xpassed)\b")
_UNSTEADY = re.compile(r"(\d+) unsteady\b")
_SECONDS = re.compile(r" in ([\d.]+)s")


def lines(results: Sequence[tuple[str, str, float]]) -> list[str]:
    """One line per level (name, pytest's last line, seconds it took in all), a line for unsteady tests if there are
    any, then the sum in pytest's form."""
    shown = [f"  {name:10} {duration(seconds):>8}   {text.strip('= ') or 'well'}" for name, text, seconds in results]
    return ["", "Summary", *shown, *_unsteady(results), total([text for _, text, _ in results])]


def unsteady(count: int) -> str:
    """What a level's own line says of tests that passed only at the second try."""
    return f"{count} unsteady"


def _unsteady(results: Sequence[tuple[str, str, float]]) -> list[str]:
    counts = {name: int(match.group(1)) for name, text, _ in results if (match := _UNSTEADY.search(text))}
    if not counts:
        return []
    levels = ", ".join(f"{name} {count}" for name, count in counts.items())
    return [f"  UNSTEADY, passed only at the second try: {levels}. Why they failed at first is told above: read it."]


def total(texts: Sequence[str]) -> str:
    """`=== 3 passed in 1.2s ===` of all levels together."""
    counts: Counter[str] = Counter()
    for text in texts:
        for number, word in _COUNT.findall(text):
            counts[word] += int(number)
    seconds = sum(float(match.group(1)) for text in texts if (match := _SECONDS.search(text)))
    told = ", ".join(f"{number} {word}" for word, number in counts.items()) or "no tests ran"
    return f"==================== {told} in {seconds:.2f}s ===================="

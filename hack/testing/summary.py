"""The closing lines of `make test`: every level's own result, and pytest's words for all of them."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import indent

from hack.cluster.shell import duration

_COUNT = re.compile(r"(\d+) (passed|failed|error|errors|warning|warnings|deselected|skipped|xfailed|xpassed)\b")
#: How much of why a test failed is said again at the end.
_MOST_LINES, _MOST_CHARACTERS = 15, 1500
_SECONDS = re.compile(r" in ([\d.]+)s")


@dataclass(frozen=True)
class Failure:
    """A test that failed, and pytest's short words on why."""

    name: str
    why: str = ""


@dataclass(frozen=True)
class Result:
    """A level's name, how it ended (pytest's last line), the seconds it took in all, and what passed only at the second
    try."""

    name: str
    text: str
    seconds: float
    unsteady: tuple[Failure, ...] = ()


def lines(results: Sequence[Result]) -> list[str]:
    """One line per level, what was unsteady if anything was, then the sum in pytest's form."""
    shown = [f"  {each.name:10} {duration(each.seconds):>8}   {each.text.strip('= ') or 'well'}" for each in results]
    return ["", "Summary", *shown, *_unsteady(results), total([each.text for each in results])]


def reasons(failures: Sequence[Failure]) -> list[str]:
    """Each test and why it failed, briefly: the whole is where pytest told it."""
    return [line for each in failures for line in (f"    {each.name}", indent(_brief(each.why), " " * 6)) if line]


def _brief(why: str) -> str:
    told = "\n".join(why.strip().splitlines()[:_MOST_LINES])
    return told if len(told) <= _MOST_CHARACTERS else f"{told[:_MOST_CHARACTERS]}…"


def _unsteady(results: Sequence[Result]) -> list[str]:
    failures = [failure for each in results for failure in each.unsteady]
    if not failures:
        return []
    levels = ", ".join(f"{each.name} {len(each.unsteady)}" for each in results if each.unsteady)
    return [f"  UNSTEADY, passed only at the second try: {levels}. At first they failed so:", *reasons(failures)]


def total(texts: Sequence[str]) -> str:
    """`=== 3 passed in 1.2s ===` of all levels together."""
    counts: Counter[str] = Counter()
    for text in texts:
        for number, word in _COUNT.findall(text):
            counts[word] += int(number)
    seconds = sum(float(match.group(1)) for text in texts if (match := _SECONDS.search(text)))
    told = ", ".join(f"{number} {word}" for word, number in counts.items()) or "no tests ran"
    return f"==================== {told} in {seconds:.2f}s ===================="

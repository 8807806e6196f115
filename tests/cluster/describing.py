"""What `kubectl describe` prints of an object, read as a person reads it: its conditions and its Events, from top to bottom."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Json = dict[str, Any]
#: Type, reason and message.
Line = tuple[str, str, str]
_FIELD = re.compile(r"^\s+([A-Z][\w ]*?):\s*(.*)$")
_EVENT = re.compile(r"^  (Normal|Warning)\s+(\S+)\s+(\S+(?: \(x\d+ over \S+\))?)\s+(\S+)\s+(.*)$")


@dataclass(frozen=True)
class Described:
    """The text, and what stands in it."""

    text: str
    conditions: tuple[dict[str, str], ...]
    events: tuple[Line, ...]

    @classmethod
    def of(cls, text: str) -> Described:
        """Read a description."""
        body, _, events = text.partition("\nEvents:")
        return cls(text, tuple(_conditions(body)), tuple(_events(events)))

    def states(self) -> dict[str, tuple[str, str]]:
        """Return status and reason of each condition, in the order in which they are read."""
        return {found["type"]: (found["status"], found["reason"]) for found in self.conditions}

    def said(self, kind: str) -> str:
        """Return the message of a condition."""
        [message] = [found["message"] for found in self.conditions if found["type"] == kind]
        return message

    def holds_events(self, stored: Sequence[Json]) -> None:
        """Check that the Events are the stored ones, oldest first; those of one second stand in any order."""
        assert Counter(self.events) == Counter(_line(item) for item in stored)
        times: dict[Line, list[str]] = {}  # the same may be told more than once
        for item in sorted(stored, key=lambda item: str(item["lastTimestamp"])):
            times.setdefault(_line(item), []).append(item["lastTimestamp"])
        moments = [times[event].pop(0) for event in self.events]
        assert moments == sorted(moments), self.events


def _line(item: Json) -> Line:
    return item["type"], item["reason"], item["message"].strip()


def _conditions(body: str) -> Iterator[dict[str, str]]:
    """Return the entries of the list under `Conditions:`; each begins with its first field in the alphabet."""
    lines = body.splitlines()
    [start] = [number for number, line in enumerate(lines) if line.strip() == "Conditions:"]
    indent = len(lines[start]) - len(lines[start].lstrip())
    entry: dict[str, str] = {}
    for line in lines[start + 1 :]:
        if len(line) - len(line.lstrip()) <= indent:
            break
        field = _FIELD.match(line)
        assert field is not None, line
        name = field[1].lower()
        if name in entry:
            yield entry
            entry = {}
        entry[name] = field[2]
    yield entry


def _events(text: str) -> Iterator[Line]:
    for line in text.splitlines()[3:]:
        found = _EVENT.match(line)
        assert found is not None, line
        yield found[1], found[2], found[5].strip()

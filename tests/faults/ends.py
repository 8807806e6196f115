"""What an operator may end by that nobody told to: it gave up its lead, in words, and with the exit code for it (ADR 8)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Lines of the log in which the reason must stand: what is at work when the lead is lost may have its word after it.
LAST_LINES: Final = 40
_LEAD_LOST: Final = "lead lost"
ENDED: Final = "the operator ended by itself with"


def unexplained(code: int, log: str) -> str:
    """Return what is wrong with an end, for people, with the end of the log; empty if it is one that may be."""
    if "Traceback" in log:
        why = "with an error that nothing handled"
    elif not any(event.get("event") == _LEAD_LOST for event in _events(log)):
        why = f"and did not say {_LEAD_LOST!r}"
    elif code != 1:
        why = "and not with the 1 of an operator that lost its lead"
    else:
        return ""
    return f"{ENDED} {code}, {why}:\n{log}"


def _events(log: str) -> Iterator[dict[str, Any]]:
    for line in log.splitlines():
        try:
            said = json.loads(line)
        except ValueError:
            continue
        if isinstance(said, dict):
            yield said

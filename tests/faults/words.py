"""What a person needs of a condition that is not well: the object it is about, and what to do."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Reasons that pass by themselves while the operator works, or that say what a person asked for. Nothing else may be
#: without advice.
PASSING: Final = frozenset(
    {
        "ChildrenRemaining",
        "ConcurrentChange",
        "DatabaseClosed",
        "DatabaseMissing",
        "DatabaseUnfinished",
        "Deleting",
        "Differs",
        "Draining",
        "InProgress",
        "IngressNotCurrent",
        "Migrating",
        "MigrationPending",
        "MigrationRetrying",
        "NotInForce",
        "NotProvisioned",
        "NotQueued",
        "NotYetKnown",
        "PasswordChanged",
        "Progressing",
        "Provisioning",
        "Queued",
        "Retrying",
        "RolledBack",
        "SecretMissing",
        "ServerRestarting",
        "Suspended",
        "WaitingForTurn",
    }
)
_OBJECT: Final = re.compile(
    r"\b(HOATenant|HOATier|HOADatabaseServer|Secret|Ingress|Deployment|Service|Job|Postgres at|database|template|role|"
    r"extension|host|slug|image|spec\.\w+|lease|API server)\b"
)
_ADVICE: Final = re.compile(
    r"\b(add|annotate|check|choose|correct|delete|deploy|drop|end|free|give|grant|have|install|let|look at|make|move|"
    r"name|put|raise|recover|remove|rename|run|see|set|take|use|wait|write to)\b"
)


def lacks(condition: Mapping[str, Any]) -> str:
    """Return what a condition lacks for a person, or an empty text."""
    ill = condition["status"] == ("True" if condition["type"] == "Stalled" else "False")
    if not (ill or condition["status"] == "Unknown") or condition["reason"] in PASSING:
        return ""
    return lacks_words(condition["message"])


def lacks_words(message: str) -> str:
    """Return what a message lacks for a person, or an empty text."""
    if not _OBJECT.search(message):
        return f"names no object: {message!r}"
    if not _ADVICE.search(message):
        return f"says nothing to do: {message!r}"
    return ""

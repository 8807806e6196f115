"""What a person needs of a condition that is not well: the object it is about, and what to do."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

#: Reasons that pass by themselves while the operator works, or that say what a person asked for. Nothing else may be
#: without advice.
PASSING: Final = frozenset(
    {
        "ChildrenRemaining",
        "DatabaseUnfinished",
        "Deleting",
        "Draining",
        "InProgress",
        "IngressNotCurrent",
        "Migrating",
        "MigrationPending",
        "NamespaceLeaves",  # with everything in it
        "NotInForce",
        "NotProvisioned",
        "NotQueued",
        "NotYetKnown",
        "PasswordChanged",
        "PasswordRefused",  # it is set again
        "Provisioning",
        "Queued",
        "RollbackRefused",  # it has been in service meanwhile, and goes on
        "SecretMissing",
        "Suspended",
        "TemplateMissing",  # it is made again
        "WaitingForTurn",
        "WaitsForCertificateBudget",
    }
)
#: Reasons that pass by themselves under some conditions, and under others wait for a person: InSync says Differs until somebody
#: sees to it.
PASSING_UNDER: Final = frozenset({("DatabaseReady", "Differs"), ("Ready", "Differs")})
#: Conditions that may be True and in trouble all the same, each with the reasons for which it is True and well.
WELL: Final[Mapping[str, frozenset[str]]] = {
    "Deleting": frozenset(),
    "CredentialsReady": frozenset({"InForce", "Overlapping", "Rotating"}),
    "DatabaseReady": frozenset({"Provisioned"}),
    "StorageWithinLimit": frozenset({"WithinLimit"}),
}
_OBJECT: Final = re.compile(
    r"\b(HOATenant|HOATier|HOADatabaseServer|Secret|Ingress|Deployment|Service|Job|Postgres at|database|DATABASE|template|role|"
    r"login \S+ at|namespace|extension|host|slug|image|spec\.\w+|lease|API server)\b|\bhoaconnect\.com/[\w-]+"
)
#: A command to run, a runbook, or an annotation to set. A field or a chart's value that is only named tells nobody what to do.
_NAMED: Final = re.compile(
    r"`[^`]+`|\b(kubectl|psql|helm) |\b(ALTER|DROP|GRANT|REVOKE|REASSIGN) [A-Z]|"
    r"\bdocs/operations/[\w-]+\.md\b|\bhoaconnect\.com/[\w-]+="
)
#: A clause that tells a person what to do. "the database is in use" has one of these words, and tells nothing.
_IMPERATIVE: Final = re.compile(
    r"[;.] (should it last, )?(add|annotate|change|check|choose|correct|create|delete|deploy|drop|end|free|give|grant|"
    r"have|install|let|look at|make|mend|move|name|put|raise|recover|remove|rename|run|see|set|take|upgrade|use|wait|write to)\b",
    re.IGNORECASE,
)


def lacks(condition: Mapping[str, Any]) -> str:
    """Return what a condition lacks for a person, or an empty text."""
    kind, reason = condition["type"], condition["reason"]
    if _is_well(kind, condition["status"], reason) or reason in PASSING or (kind, reason) in PASSING_UNDER:
        return ""
    return lacks_words(condition["message"])


def _is_well(kind: str, status: str, reason: str) -> bool:
    if kind == "Stalled":
        return status == "False"
    return status == "True" and (kind not in WELL or reason in WELL[kind])


def lacks_words(message: str) -> str:
    """Return what a message lacks for a person, or an empty text."""
    if not _OBJECT.search(message):
        return f"names no object: {message!r}"
    if not (_NAMED.search(message) or _IMPERATIVE.search(message)):
        return f"says nothing to do: {message!r}"
    return ""

"""A statement as the Postgres proxy sees it, and which of them change anything."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

OPERATOR: Final = "hoa-operator/"
_WRITING: Final = frozenset(
    [
        "ALTER",
        "CALL",
        "COMMENT",
        "COPY",
        "CREATE",
        "DELETE",
        "DROP",
        "GRANT",
        "INSERT",
        "REASSIGN",
        "REVOKE",
        "SECURITY",
        "TRUNCATE",
        "UPDATE",
    ]
)
_WRITES_WITHIN: Final = re.compile(r"^WITH\b.*\b(INSERT INTO|UPDATE|DELETE FROM)\b", re.IGNORECASE | re.DOTALL)
_ENDS_SESSIONS: Final = re.compile(r"\bpg_terminate_backend\(")
_SECRET: Final = re.compile(r"SCRAM-SHA-256\$[^']*")


@dataclass
class Statement:
    """One line of the journal. ``transaction`` is what ReadyForQuery said: I idle, T in one, E in a failed one; empty
    while, or if, the server has not answered. ``error`` is an SQLSTATE."""

    number: int
    session: int
    database: str
    user: str
    application: str
    text: str
    carried_out: bool
    at: float
    error: str = ""
    transaction: str = ""
    effect: str = ""

    @property
    def first_word(self) -> str:
        """What kind of statement it is."""
        return self.text.split(None, 1)[0].upper().rstrip(";") if self.text.strip() else ""

    @property
    def is_write(self) -> bool:
        """Whether it changes what is stored."""
        return self.carried_out and (self.first_word in _WRITING or _WRITES_WITHIN.match(self.text.strip()) is not None)

    @property
    def ends_sessions(self) -> bool:
        """Whether it ends other sessions: nothing stored changes, and yet something happened."""
        return self.carried_out and _ENDS_SESSIONS.search(self.text) is not None

    @property
    def done(self) -> bool:
        """Whether the server carried it out."""
        return bool(self.transaction) and not self.error

    @property
    def by_operator(self) -> bool:
        """Whether the operator sent it, and not a Job."""
        return self.application.startswith(OPERATOR)

    @property
    def words(self) -> str:
        """Its text on one line, without secrets, cut to be read."""
        return _SECRET.sub("SCRAM-SHA-256$...", " ".join(self.text.split()))[:120]

    def __str__(self) -> str:
        return f"[{self.database}] {self.words}" + (f" -> {self.error}" if self.error else "")


def sql(begins: str, database: str = "", application: str = "") -> Callable[[Statement], bool]:
    """Return what a rule matches by: how the text begins (in capitals, spaces made one), and parts of the names of
    database and application."""

    def matches(statement: Statement) -> bool:
        text = " ".join(statement.text.split()).upper()
        named = database in statement.database and application in statement.application
        return statement.carried_out and text.startswith(begins.upper()) and named

    return matches

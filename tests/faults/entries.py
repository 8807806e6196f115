"""What a clean run wrote, entry by entry, named so that another run's same entry is found again.

Two clean runs of one change do the same, but what runs side by side (the tenant, its server, the shared capacity) mixes
differently each time. So an entry is named by what it is and the how-manieth of its kind since the change began.

Left out, because a kill after them is the same as a kill after the entry before:

* reads of both doors: nothing is stored by them, and what the operator remembers of them dies with it;
* leases and the registry's epoch, which say who leads and nothing of a tenant: every start takes the lead;
* Events: they tell what was done, the operator never reads them, and may lose them.

What remains is every API write, every statement that stores something, every COMMIT of such, and every statement that
ends other sessions.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.faults.apirequest import ApiRequest
    from tests.faults.statement import Statement

Door = Literal["api", "pg"]

#: Counts and sums over all tenants, which the operator gathers for some seconds before it writes them.
GATHERED: Final = ("patch hoadatabaseservers/status", "apply horizontalpodautoscalers hoa-connect-app")
_LITERAL: Final = re.compile(r"'(?:[^']|'')*'")
_ID: Final = re.compile(r"[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True)
class Entry:
    """One write: the ``occurrence``-th of its ``signature`` at this door since the change began."""

    door: Door
    signature: str
    occurrence: int

    def __str__(self) -> str:
        return f"{self.door} {self.signature} #{self.occurrence}"

    @property
    def is_gathered(self) -> bool:
        """Whether it is of the kind that comes some seconds later."""
        return self.signature.startswith(GATHERED)


@dataclass(frozen=True)
class Recording:
    """The entries of a clean run, and how many requests and statements it was in all (reads, leases, Events too)."""

    entries: tuple[Entry, ...]
    requests: int
    statements: int

    @property
    def writes(self) -> dict[Door, int]:
        """How many entries each door has."""
        found = Counter(entry.door for entry in self.entries)
        return {"api": found["api"], "pg": found["pg"]}


def api_signature(request: ApiRequest, tenant: str) -> str:
    """Name a request."""
    return str(request).replace(tenant, "<tenant>")


def pg_signature(statement: Statement, tenant: str) -> str:
    """Name a statement: its database and its text, with ids and literals left out."""
    text = _ID.sub("<id>", _LITERAL.sub("'..'", " ".join(statement.text.split()))).replace(tenant, "<tenant>")
    return f"[{_ID.sub('<id>', statement.database)}] {text[:160]}"


def counts(request: ApiRequest) -> bool:
    """Whether a request is an entry."""
    return request.is_write and request.resource != "events"


def stores(statement: Statement) -> bool:
    """Whether the operator stores something of its tenants by a statement."""
    takes_the_lead = statement.text.startswith("UPDATE operator_epoch")
    return statement.by_operator and statement.is_write and not takes_the_lead


def record(requests: Iterable[ApiRequest], statements: Iterable[Statement], tenant: str) -> Recording:
    """Return the entries of what both journals hold, in the order of time."""
    asked, said = list(requests), [entry for entry in statements if entry.by_operator and entry.carried_out]
    found: list[tuple[float, Door, str]] = [
        (request.at, "api", api_signature(request, tenant)) for request in asked if counts(request)
    ]
    found += [(statement.at, "pg", pg_signature(statement, tenant)) for statement in said if statement in _stored(said)]
    seen: Counter[tuple[Door, str]] = Counter()
    entries = []
    for _, door, signature in sorted(found):
        seen[door, signature] += 1
        entries.append(Entry(door, signature, seen[door, signature]))
    return Recording(tuple(entries), len(asked), len(said))


def _stored(statements: list[Statement]) -> list[Statement]:
    """Return the statements that are entries: a COMMIT is one if something was written since its BEGIN."""
    dirty: set[int] = set()
    found = []
    for statement in statements:
        if stores(statement) or statement.ends_sessions:
            dirty.add(statement.session)
            found.append(statement)
        elif statement.first_word == "COMMIT" and statement.session in dirty:
            found.append(statement)
        if statement.transaction == "I":
            dirty.discard(statement.session)
    return found

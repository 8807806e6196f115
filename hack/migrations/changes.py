"""What one revision does while it is read: what it made itself, and what it takes away from the version before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from hack.migrations.words import Word, names

ONLINE = "hoa_app.migrations.online"


@dataclass
class Schema:
    """What the revisions before and this one so far have made."""

    not_null_checks: set[tuple[str, str]] = field(default_factory=set)
    unique_indexes: set[str] = field(default_factory=set)
    #: What came after the oldest schema served, so that the version before knows nothing of it.
    recent: set[str] = field(default_factory=set)
    recent_columns: set[tuple[str, str]] = field(default_factory=set)


@dataclass
class Change:
    """One revision on its way: what it made itself, which is nobody's yet, and what it may take away."""

    contracts: dict[str, str]
    schema: Schema
    lenient: bool = False
    made: set[str] = field(default_factory=set)
    columns: set[tuple[str, str]] = field(default_factory=set)
    locked: set[str] = field(default_factory=set)
    used: set[str] = field(default_factory=set)
    tenant_columns: set[str] = field(default_factory=set)
    enabled: set[str] = field(default_factory=set)
    forced: set[str] = field(default_factory=set)
    policies: set[str] = field(default_factory=set)
    not_null_checks: set[tuple[str, str]] = field(default_factory=set)
    unique_indexes: set[str] = field(default_factory=set)
    dropped_indexes: set[str] = field(default_factory=set)

    def is_new(self, table: str) -> bool:
        """Tell whether nobody can use the table yet."""
        return self.lenient or table in self.made

    def released(self, thing: str, what: str, table: str = "") -> Iterator[str]:
        """Refuse what the version before may still need, unless the revision names who does not need it any more."""
        if self.lenient or {thing, table} & (self.made | self.schema.recent):
            return
        if thing in self.contracts:
            self.used.add(thing)
            return
        yield (
            f"{what}, which the version before may still need. Release first an app that does without; then name its head "
            f'in this revision: contracts = {{"{thing}": "<four digits>"}}'
        )

    def on_new_column(self, table: str, given: Sequence[Word]) -> bool:
        """Rows of the version before leave a new column empty, and empty is never wrong or twice the same."""
        known = self.columns | self.schema.recent_columns
        return any((table, name) in known for name in names(given))

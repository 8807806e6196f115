"""Changes that must not be made in one transaction while people work: indexes on tables in use, and rows changed in batches.

Each belongs in a revision of its own, with nothing else in it: what was done before it broke off stays done, and it is
simply run again.
"""

from __future__ import annotations

from typing import Any, Protocol


class Online(Protocol):
    """The part of alembic's `op` used here."""

    def execute(self, sqltext: str) -> object:
        """Run one statement."""
        ...

    def get_context(self) -> Any:
        """Return the migration's context, which can leave the transaction for a while."""
        ...

    def get_bind(self) -> Any:
        """Return the migration's connection."""
        ...


def create_index(op: Online, name: str, definition: str, *, unique: bool = False) -> None:
    """Make an index beside the traffic: `create_index(op, "people_phone", "people (tenant_id, phone)")`.

    What an attempt that broke off left behind is an invalid index of that name; it is dropped first.
    """
    kind = "UNIQUE INDEX" if unique else "INDEX"
    with op.get_context().autocommit_block():
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
        op.execute(f"CREATE {kind} CONCURRENTLY {name} ON {definition}")


def drop_index(op: Online, name: str) -> None:
    """Drop an index beside the traffic."""
    with op.get_context().autocommit_block():
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")


def in_batches(op: Online, statement: str) -> None:
    """Run an UPDATE, DELETE or INSERT ... SELECT until it changes no row any more, a transaction each time.

    The statement takes some rows that still need it, so that no lock is held for long:
    `UPDATE people SET full_name = name WHERE id IN (SELECT id FROM people WHERE full_name IS NULL LIMIT 1000)`.
    """
    with op.get_context().autocommit_block():
        # Without parameters, so that a % is only a %.
        while op.get_bind().exec_driver_sql(statement, None, {"no_parameters": True}).rowcount > 0:
            pass

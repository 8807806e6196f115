"""What Postgres was asked, counted by itself: so that "the same statements" is seen, and not only said."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

import psycopg

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.fix_postgres import PostgresAccess

T = TypeVar("T")
#: For a server that is to count.
SETTINGS: Final = {"shared_preload_libraries": "pg_stat_statements"}


class Counter:
    """Counts until it is closed; after that it costs a server that is measured nothing."""

    def __init__(self, access: PostgresAccess) -> None:
        self._connection: psycopg.Connection[Any] = psycopg.connect(access.dsn(), autocommit=True)
        self._connection.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")

    def of(self, work: Callable[[], T], database: str) -> tuple[T, dict[str, int]]:
        """Return what came of some work, and how often it sent each statement to a database."""
        self._connection.execute("SELECT pg_stat_statements_reset()")
        result = work()
        found = self._connection.execute(
            "SELECT min(query), sum(calls)::int FROM pg_stat_statements(true) s JOIN pg_database d ON d.oid = s.dbid"
            " WHERE d.datname = %s GROUP BY queryid",
            (database,),
        )
        return result, {" ".join(str(query).split()): calls for query, calls in found.fetchall()}

    def close(self) -> None:
        """Stop counting, for good."""
        self._connection.execute("ALTER SYSTEM SET pg_stat_statements.track = 'none'")
        self._connection.execute("SELECT pg_reload_conf()")
        self._connection.close()

"""What a Postgres was told to write, by whom, from the server's own log rather than from the operator's word."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psycopg

from tests.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fix_postgres import PostgresServer

#: Whose session it was, before the statement's text; a text of several lines goes on with a tab.
_LINE = re.compile(r"^session=(?P<name>[^|]*)\|LOG:  (?:statement|execute [^:]*): (?P<text>.*)$")
_PREFIX = "session=%a|"


@dataclass(frozen=True)
class Statements:
    """Follows the server's log; `mark` remembers a place in it."""

    log: Path

    @classmethod
    def of(cls, server: PostgresServer) -> Statements:
        """Have the server log every statement by which its superuser writes, from the next session on."""
        with psycopg.connect(server.access.dsn(), autocommit=True) as connection:
            connection.execute(f"ALTER SYSTEM SET log_line_prefix = '{_PREFIX}'".encode())
            connection.execute(f'ALTER ROLE "{server.access.username}" SET log_statement = mod'.encode())
            connection.execute("SELECT pg_reload_conf()")
        found = cls(server.process.log)
        until(lambda: found._logs(server), "the server to log what is written", 10)
        return found

    def mark(self) -> int:
        """Return the present end of the log, in bytes."""
        return self.log.stat().st_size

    def written(self, since: int, session: str) -> list[str]:
        """Return the writing statements since `since` of sessions whose name ends so."""
        with self.log.open("rb") as log:
            log.seek(since)
            lines = log.read().decode(errors="replace").splitlines()
        found = (_LINE.match(line) for line in lines)
        return [match["text"] for match in found if match and match["name"].endswith(session)]

    def _logs(self, server: PostgresServer) -> bool:
        with psycopg.connect(f"{server.access.dsn()} application_name=probe", autocommit=True) as connection:
            connection.execute("CREATE TEMPORARY TABLE probe ()")
        return bool(self.written(0, "probe"))

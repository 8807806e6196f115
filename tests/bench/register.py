"""A register of homeowners as a company brings it along: the same people as spreadsheets, and as rows for plain COPY."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from hoa_app.features.imports.csvfile import MAX_BYTES, MAX_ROWS

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

HEADER: Final = ("community", "unit", "unit_address", "name", "email", "phone", "owner_since", "primary_contact")
HOMES_OF_A_COMMUNITY: Final = 500
FIRST: Final = ("Avery", "Blake", "Casey", "Drew", "Emery", "Finley", "Harper", "Jordan")
LAST: Final = ("Alvarez", "Brooks", "Chen", "Diaz", "Evans", "Foster", "Gupta")
#: What is filled, in the order of the references.
TABLES: Final = {
    "communities": "id, name, time_zone, tenant_id",
    "units": "id, community_id, label, address, tenant_id",
    "people": "id, name, email, phone, tenant_id",
    "ownerships": "person_id, unit_id, valid_from, is_primary, tenant_id",
}

#: One request for every so many homeowners.
REQUESTS: Final = """
INSERT INTO requests (created_by, person_id, unit_id, community_id, category, title, description, state, created_at)
SELECT (SELECT min(id::text)::uuid FROM users), o.person_id, u.id, u.community_id,
       (ARRAY['Maintenance', 'Architectural', 'Question'])[1 + n %% 3],
       (ARRAY['The gate', 'A light', 'The fence', 'Solar panels', 'The pool'])[1 + n %% 5] || ' at home ' || n,
       'Since ' || n %% 30 || ' days, and nobody came to look at it.',
       (ARRAY['Submitted', 'InReview', 'InProgress', 'Resolved', 'Closed', 'Closed', 'Closed', 'Closed'])[1 + n %% 8],
       now() - n * interval '5 minutes'
  FROM (SELECT person_id, unit_id, row_number() OVER (ORDER BY id) AS n FROM ownerships) o
  JOIN units u ON u.id = o.unit_id WHERE n %% %(every)s = 0
"""


@dataclass(frozen=True)
class Register:
    """So many homeowners, each with a home of their own."""

    size: int

    def spreadsheets(self) -> list[bytes]:
        """As few files as the import takes them in."""
        rows = list(self._rows())
        files = []
        for start in range(0, self.size, MAX_ROWS):
            text = io.StringIO()
            csv.writer(text).writerows([HEADER, *rows[start : start + MAX_ROWS]])
            files.append(text.getvalue().encode())
        assert all(len(file) <= MAX_BYTES for file in files)
        return files

    def copies(self, tenant_id: str) -> dict[str, bytes]:
        """The rows of each table, as COPY reads them."""
        lines: dict[str, list[str]] = {table: [] for table in TABLES}
        communities: dict[str, str] = {}
        for community, unit, address, name, email, phone, since, _ in self._rows():
            if community not in communities:
                communities[community] = str(uuid4())
                lines["communities"].append(f"{communities[community]}\t{community}\tAmerica/Los_Angeles\t{tenant_id}")
            unit_id, person_id = uuid4(), uuid4()
            lines["units"].append(f"{unit_id}\t{communities[community]}\t{unit}\t{address}\t{tenant_id}")
            lines["people"].append(f"{person_id}\t{name}\t{email}\t{phone}\t{tenant_id}")
            lines["ownerships"].append(f"{person_id}\t{unit_id}\t{since}\ttrue\t{tenant_id}")
        return {table: ("\n".join(rows) + "\n").encode() for table, rows in lines.items()}

    def _rows(self) -> Iterator[tuple[str, ...]]:
        for number in range(self.size):
            place, home = divmod(number, HOMES_OF_A_COMMUNITY)
            name = f"{FIRST[number % len(FIRST)]} {LAST[number % len(LAST)]} {number}"
            since = f"{2000 + number % 25}-{1 + number % 12:02}-{1 + number % 28:02}"
            address = f"{home + 1} Ocean View Drive, Community {place}"
            phone = f"+1 555 {number:07}"
            yield (
                f"Community {place}",
                f"Unit {home + 1}",
                address,
                name,
                f"owner{number}@mail.example",
                phone,
                since,
                "yes",
            )


def copy(connection: psycopg.Connection, copies: dict[str, bytes]) -> None:
    """Put the rows into the app's own tables, with all their indexes and constraints, in one transaction."""
    with connection.transaction(), connection.cursor() as cursor:
        for table, columns in TABLES.items():
            with cursor.copy(f"COPY {table} ({columns}) FROM STDIN") as stream:
                stream.write(copies[table])


def empty(connection: psycopg.Connection) -> None:
    """Take all homeowners away again."""
    connection.execute("TRUNCATE communities, units, people, ownerships, imports CASCADE")


def counted(connection: psycopg.Connection) -> tuple[int, ...]:
    """How many communities, units, people and ownerships there are."""
    counts = ", ".join(f"(SELECT count(*) FROM {table})" for table in TABLES)
    found: tuple[int, ...] = connection.execute(f"SELECT {counts}").fetchone() or ()
    return found

"""SQL of imports: a file's lines go into a staging table, where they are matched and applied as whole sets.

COPY refuses tables with row-level security, so lines travel as JSON: a round trip for thousands.
"""

from collections.abc import AsyncIterator, Sequence
from typing import Any
from uuid import UUID

import msgspec
from psycopg.rows import class_row, dict_row, scalar_row
from psycopg.types.json import Jsonb

from hoa_app.db.session import Tx
from hoa_app.features.imports.csvfile import STOPPED, ParsedFile
from hoa_app.features.imports.model import Counts, ErrorRow, Import, PreviewRow
from hoa_app.features.imports.rows import HomeownerRow, RowError

AT_ONCE = 2_000
_IMPORT = """
SELECT i.id, i.filename, i.state, i.line_count, i.error_count, i.delimiter, i.unknown_columns, i.counts, i.created_at,
       i.imported_at, u.name AS created_by
  FROM imports i JOIN users u ON u.id = i.created_by
"""


async def insert(tx: Tx, created_by: UUID, filename: str, parsed: ParsedFile) -> UUID:
    """Keep a parsed file, its rows and its errors; returns its id."""
    async with tx.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(
            "INSERT INTO imports (created_by, filename, line_count, error_count, delimiter, unknown_columns)"
            " VALUES (%s, %s, %s, %s, %s, %s) RETURNING id",
            (
                created_by,
                filename,
                parsed.line_count,
                len(parsed.errors),
                parsed.delimiter,
                list(parsed.unknown_columns),
            ),
        )
        made: UUID | None = await cursor.fetchone()
    if made is None:
        raise RuntimeError("INSERT ... RETURNING gave no row")
    # Made ready for the wire on the event loop, where everybody waits for them: not too many at a time.
    for start in range(0, len(parsed.rows), AT_ONCE):
        await _insert_rows(tx, made, parsed.rows[start : start + AT_ONCE])
    for start in range(0, len(parsed.errors), AT_ONCE):
        await _insert_errors(tx, made, parsed.errors[start : start + AT_ONCE], start)
    return made


async def _insert_rows(tx: Tx, import_id: UUID, rows: Sequence[HomeownerRow]) -> None:
    await tx.execute(
        "INSERT INTO import_rows (tenant_id, outcome, import_id, line, community, unit, unit_address, name, email, phone,"
        " mailing_address, owner_since, is_primary, person_key) SELECT (SELECT current_tenant()), 'New', %s, r.*"
        ' FROM json_to_recordset(%s) AS r (line int, community text, unit text, unit_address text, "name" text, email text,'
        ' phone text, mailing_address text, owner_since date, "primary" bool, person_key text)',
        (import_id, _json([{**vars(row), "person_key": row.person_key} for row in rows])),
    )


async def _insert_errors(tx: Tx, import_id: UUID, errors: Sequence[RowError], first: int) -> None:
    await tx.execute(
        "INSERT INTO import_errors (import_id, place, line, column_name, value, problem, remedy) SELECT %s, r.*"
        ' FROM json_to_recordset(%s) AS r (place int, line int, "column" text, value text, problem text, remedy text)',
        (
            import_id,
            _json([{**vars(e), "value": e.value[:200], "place": place} for place, e in enumerate(errors, first)]),
        ),
    )


def _json(rows: list[dict[str, Any]]) -> str:
    return msgspec.json.encode(rows).decode()


async def found(tx: Tx, import_id: UUID, created_by: UUID, *, lock: bool = False) -> Import | None:
    """An import, if this user uploaded it; ``lock`` holds it until the transaction ends."""
    async with tx.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(
            f"{_IMPORT} WHERE i.id = %s AND i.created_by = %s" + (" FOR UPDATE OF i" if lock else ""),
            (import_id, created_by),
        )
        row = await cursor.fetchone()
    return None if row is None else msgspec.convert({_wire(k): v for k, v in row.items()}, Import)


async def recent(tx: Tx, limit: int) -> list[Import]:
    """What was imported lately, by anyone."""
    async with tx.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(f"{_IMPORT} WHERE i.state = 'Imported' ORDER BY i.imported_at DESC LIMIT %s", (limit,))
        return [msgspec.convert({_wire(k): v for k, v in row.items()}, Import) for row in await cursor.fetchall()]


def _wire(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


async def rows(tx: Tx, import_id: UUID, limit: int) -> list[PreviewRow]:
    """The first lines of a file, with what importing them does."""
    async with tx.cursor(row_factory=class_row(PreviewRow)) as cursor:
        await cursor.execute(
            "SELECT line, community, unit, name, email, phone, outcome FROM import_rows"
            " WHERE import_id = %s ORDER BY line LIMIT %s",
            (import_id, limit),
        )
        return await cursor.fetchall()


async def errors(tx: Tx, import_id: UUID, limit: int | None = None) -> list[ErrorRow]:
    """What is wrong with a file, in the order of its lines."""
    async with tx.cursor(row_factory=class_row(ErrorRow)) as cursor:
        await cursor.execute(
            'SELECT line, column_name AS "column", value, problem, remedy FROM import_errors WHERE import_id = %s'
            " ORDER BY line, place LIMIT %s",
            (import_id, limit),
        )
        return await cursor.fetchall()


async def error_groups(tx: Tx, import_id: UUID) -> list[tuple[str, str, int]]:
    """Which kinds of mistake a file holds and how often: column, remedy, count."""
    cursor = await tx.execute(
        "SELECT column_name, remedy, count(*) AS n FROM import_errors WHERE import_id = %s"
        " GROUP BY column_name, remedy ORDER BY remedy = %s DESC, n DESC, column_name LIMIT 12",
        (import_id, STOPPED),
    )
    return [(row["column_name"], row["remedy"], row["n"]) for row in await cursor.fetchall()]


async def lock_imports(tx: Tx) -> None:
    """Let one import of a tenant at a time match and apply, so that two of them cannot make the same unit twice."""
    await tx.execute("SELECT pg_advisory_xact_lock(hashtext('imports'), hashtext(current_tenant()::text))")


async def save_counts(tx: Tx, import_id: UUID, counts: Counts, error_count: int) -> None:
    """Keep what the preview found."""
    await tx.execute(
        "UPDATE imports SET counts = %s, error_count = %s WHERE id = %s",
        (Jsonb(msgspec.to_builtins(counts)), error_count, import_id),
    )


async def finish(tx: Tx, import_id: UUID, counts: Counts) -> None:
    """Mark an import as done and forget the lines, which are people's data and now live elsewhere."""
    await tx.execute(
        "UPDATE imports SET state = 'Imported', imported_at = now(), counts = %s WHERE id = %s",
        (Jsonb(msgspec.to_builtins(counts)), import_id),
    )
    await tx.execute("DELETE FROM import_rows WHERE import_id = %s", (import_id,))
    await tx.execute("SELECT refresh_statistics()")


async def discard(tx: Tx, import_id: UUID) -> None:
    """Forget a preview."""
    await tx.execute("DELETE FROM imports WHERE id = %s AND state = 'Previewed'", (import_id,))


async def discard_old(tx: Tx) -> None:
    """Forget previews that nobody confirmed for a day."""
    await tx.execute("DELETE FROM imports WHERE state = 'Previewed' AND created_at < now() - interval '1 day'")


async def all_errors(tx: Tx, import_id: UUID) -> AsyncIterator[tuple[object, ...]]:
    """Every error, as rows of the report."""
    for error in await errors(tx, import_id):
        yield error.line, error.column, error.value, error.problem, error.remedy

"""What can be done with imports of homeowners: preview a file, look at what it would do, confirm it once."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

import msgspec
from psycopg.errors import ExclusionViolation, UniqueViolation

from hoa_app.audit import audit
from hoa_app.db.session import Tx
from hoa_app.features.imports import store
from hoa_app.features.imports.apply import apply, match
from hoa_app.features.imports.changes import changes
from hoa_app.features.imports.csvfile import ParsedFile
from hoa_app.features.imports.model import ErrorRow, Import, LineChange, PreviewRow
from hoa_app.features.kit.moments import today
from hoa_app.features.kit.profile import time_zone
from hoa_app.identity.actor import Actor
from hoa_app.problems import Problem, not_found

SHOWN_ROWS = 20
SHOWN_ERRORS = 100
SHOWN_CHANGES = 50


@dataclass(frozen=True)
class Preview:
    """What the page of an import shows: at most so many rows, errors and changes, however long the file is."""

    run: Import
    rows: list[PreviewRow]
    errors: list[ErrorRow]
    groups: list[tuple[str, str, int]]
    changes: list[LineChange]


async def preview(tx: Tx, actor: Actor, filename: str, parsed: ParsedFile) -> UUID:
    """Keep a parsed file and find out what importing it would do; returns the import's id."""
    await store.discard_old(tx)
    made = await store.insert(tx, actor.user_id, filename[:120], parsed)
    counts, conflicts = await match(tx, made, today(await time_zone(tx)))
    await store.save_counts(tx, made, counts, len(parsed.errors) + conflicts)
    return made


async def get(tx: Tx, actor: Actor, import_id: UUID) -> Import:
    """An import that this user uploaded, or 404."""
    found = await store.found(tx, import_id, actor.user_id)
    if found is None:
        raise not_found("import")
    return found


async def shown(tx: Tx, actor: Actor, import_id: UUID) -> Preview:
    """The page of an import."""
    run = await get(tx, actor, import_id)
    return Preview(
        run,
        await store.rows(tx, import_id, SHOWN_ROWS),
        await store.errors(tx, import_id, SHOWN_ERRORS) if run.error_count else [],
        await store.error_groups(tx, import_id) if run.error_count else [],
        await changes(tx, import_id, SHOWN_CHANGES),
    )


async def confirm(tx: Tx, actor: Actor, import_id: UUID) -> Import:
    """Import the file, all of it or nothing. Confirming again changes nothing and shows the same result."""
    run = await store.found(tx, import_id, actor.user_id, lock=True)
    if run is None:
        raise not_found("import")
    if run.state == "Imported":
        return run
    if run.error_count:
        raise Problem(
            409,
            "The file still has errors",
            "Mend the lines in the report, upload the file again and confirm that one.",
        )
    await store.lock_imports(tx)
    zone = await time_zone(tx)
    counts, conflicts = await match(tx, import_id, today(zone))
    if conflicts:
        raise _moved()
    try:
        await apply(tx, import_id, today(zone), zone)
    except (ExclusionViolation, UniqueViolation):
        raise _moved() from None
    await store.finish(tx, import_id, counts)
    detail = {"filename": run.filename, "new": counts.new, "updated": counts.updated, "unchanged": counts.unchanged}
    await audit(tx, actor, "imports.confirmed", "import", import_id, detail)
    return msgspec.structs.replace(run, state="Imported", counts=counts, imported_at=datetime.now(UTC))


async def discard(tx: Tx, actor: Actor, import_id: UUID) -> None:
    """Forget a preview without importing it."""
    await get(tx, actor, import_id)
    await store.discard(tx, import_id)


async def recent(tx: Tx) -> list[Import]:
    """The last imports, by anyone."""
    return await store.recent(tx, 10)


def report(tx: Tx, import_id: UUID) -> AsyncIterator[tuple[object, ...]]:
    """Every error of a file, as rows of a CSV."""
    return store.all_errors(tx, import_id)


def _moved() -> Problem:
    return Problem(
        409,
        "The records changed since the preview",
        "Someone edited the same people or units in the meantime. Nothing was imported."
        " Upload the file again to see what it would do now.",
    )

"""The SQL of a revision, as alembic says it would run it: the migration Job runs that, and need not import alembic.

It is kept beside the revision: `0004_parking.sql` beside `0004_parking.py`. A revision that leaves its transaction has none,
nor has the first one, before which there is no table to note a revision in, nor one whose words alembic would write down in
another way than it sends them: it makes spaces of tabs, and a semicolon after a comment is part of that.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path

from alembic import command
from alembic.config import Config

from hack.migrations.recording import Finding, Revision, read

_HEAD = "-- Written by `python -m hack.migrations --write` from {}; the migration Job runs it in one transaction.\n"


def render(revision: Revision) -> str | None:
    """Return the SQL that belongs beside the revision, if any does."""
    if revision.before is None or any(statement.alone for statement in revision.statements):
        return None
    said = io.StringIO()
    config = Config(output_buffer=said)
    config.set_main_option("script_location", str(revision.path.parents[1]))
    config.set_main_option("path_separator", "os")
    command.upgrade(config, f"{revision.before}:{revision.number}", sql=True)
    whole = said.getvalue().strip()
    if not all(
        f"\n{statement.sql.strip()};\n" in whole and _is_plain(statement.sql) for statement in revision.statements
    ):
        return None
    return _HEAD.format(revision.path.name) + whole.removeprefix("BEGIN;").removesuffix("COMMIT;").strip() + "\n"


def _is_plain(text: str) -> bool:
    """Tell whether a statement does not end in a comment, and has no colon that alembic would take for a parameter."""
    return "--" not in text.rstrip().rpartition("\n")[2] and not re.search(r"(?<![:\\w]):(?=[A-Za-z_])", text)


def stale(folder: Path) -> Iterator[Finding]:
    """Say what beside the revisions is not their SQL."""
    for path, wanted in _wanted(folder).items():
        if (path.read_text() if path.exists() else None) != wanted:
            what = "is missing or is not the SQL of its revision" if wanted else "belongs to no revision that has SQL"
            yield Finding(path, 1, f"{what}: .venv/bin/python -m hack.migrations --write")


def write(folder: Path) -> None:
    """Make it so."""
    for path, wanted in _wanted(folder).items():
        if wanted is None:
            path.unlink(missing_ok=True)
        else:
            path.write_text(wanted)


def _wanted(folder: Path) -> dict[Path, str | None]:
    revisions, _ = read(folder)
    gone = [path for path in folder.glob("*.sql") if not path.with_suffix(".py").exists()]
    wanted: dict[Path, str | None] = dict.fromkeys(gone)
    return wanted | {revision.path.with_suffix(".sql"): render(revision) for revision in revisions}

"""Whether the log's chain holds: what a page shows is checked as it is shown, all of it once a day by the worker.

Checking costs a hash for each entry; a company that has been at work for years has a million of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from psycopg.types.json import Jsonb

from hoa_app.db.session import Tx
from hoa_app.jobs.context import JobContext
from hoa_app.jobs.outbox import enqueue
from hoa_app.logs import get_logger

KIND = "audit.check"
AT_ONCE = 50_000
_RESULT = "audit_check"
# The first entry of a stretch is taken at its word about the one before it, unless it is the very first.
_BREAK = """
SELECT min(sequence) AS at FROM (
    SELECT a.sequence, a.hash, audit_row_hash(a) AS computed, a.previous_hash,
           CASE a.sequence WHEN 1 THEN '\\x' WHEN %(first)s THEN a.previous_hash ELSE lag(a.hash) OVER entries END AS before,
           %(first)s - 1 + row_number() OVER entries AS place
      FROM audit_log a WHERE a.sequence BETWEEN %(first)s AND %(last)s WINDOW entries AS (ORDER BY a.sequence)) chain
 WHERE hash <> computed OR previous_hash IS DISTINCT FROM before OR sequence <> place
"""
log = get_logger()


@dataclass(frozen=True)
class Checked:
    """The last check of the whole log: when, how many entries it had, and the first that does not fit, if any."""

    at: datetime
    entries: int
    broken: int | None


async def broken(tx: Tx, first: int, last: int) -> int | None:
    """The first entry from ``first`` to ``last`` that does not fit, each checked against the one before it."""
    row = await (await tx.execute(_BREAK, {"first": max(first, 1), "last": last})).fetchone()
    return row["at"] if row else None


async def last_check(tx: Tx) -> Checked | None:
    """What the worker found when it last checked everything."""
    row = await (await tx.execute("SELECT value FROM settings WHERE key = %s", (_RESULT,))).fetchone()
    if row is None:
        return None
    found = row["value"]
    return Checked(datetime.fromisoformat(found["at"]), found["entries"], found["broken"])


async def check(context: JobContext, tx: Tx, payload: Mapping[str, Any]) -> None:
    """The worker's part: so many entries; another row goes on from there."""
    if context.tenant.state == "ReadOnly":
        return
    newest = (await (await tx.execute("SELECT max(sequence) AS n FROM audit_log")).fetchone() or {})["n"] or 0
    first = int(payload.get("first", 1))
    last = min(first + AT_ONCE, newest)
    at = await broken(tx, first, last)
    if at is None and last < newest:
        await enqueue(tx, KIND, {"first": last})
        return
    if at is not None:
        log.error("audit log broken", tenant=context.tenant.id_text, entry=at)
    result = {"at": datetime.now(UTC).isoformat(), "entries": newest, "broken": at}
    await tx.execute(
        "INSERT INTO settings (key, value) VALUES (%s, %s)"
        " ON CONFLICT (tenant_id, key) DO UPDATE SET value = excluded.value, updated_at = now()",
        (_RESULT, Jsonb(result)),
    )

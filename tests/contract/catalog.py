"""What a migration did to a real database: catalogs before and after, and the locks and scans of its statements.

It knows nothing of SQL, so it cannot be misled by how something is written; it is the other half of hack/migrations.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

RELATIONS = """SELECT relname, relkind::text, relfilenode::bigint AS file, relrowsecurity AND relforcerowsecurity
    AND EXISTS (SELECT FROM pg_policy WHERE polrelid = c.oid) AS held
    FROM pg_class c WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v')"""
COLUMNS = """SELECT c.relname || '.' || attname, format_type(atttypid, atttypmod) AS type, attnotnull, atthasdef
    FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid
    WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND attnum > 0 AND NOT attisdropped"""
# What refuses rows: constraints, and unique indexes that no constraint stands for.
RULES = """SELECT conname, c.relname, ARRAY(SELECT attname::text FROM pg_attribute WHERE attrelid = conrelid
        AND attnum = ANY(conkey)) AS columns
    FROM pg_constraint JOIN pg_class c ON c.oid = conrelid WHERE c.relnamespace = 'public'::regnamespace
    UNION SELECT i.relname, c.relname, ARRAY(SELECT attname::text FROM pg_attribute WHERE attrelid = c.oid
        AND attnum = ANY(indkey))
    FROM pg_index JOIN pg_class i ON i.oid = indexrelid JOIN pg_class c ON c.oid = indrelid
    WHERE indisunique AND indisvalid AND c.relnamespace = 'public'::regnamespace"""
INVALID = "SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid"
# Told by Postgres after each statement of DDL, in its own transaction.
WATCH = """
CREATE SCHEMA watch;
CREATE TABLE watch.seen (relation text, mode text, rows bigint);
CREATE FUNCTION watch.look() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    INSERT INTO watch.seen SELECT c.relname, l.mode, coalesce(s.seq_tup_read, 0)
    FROM pg_locks l JOIN pg_class c ON c.oid = l.relation LEFT JOIN pg_stat_xact_user_tables s ON s.relid = c.oid
    WHERE l.pid = pg_backend_pid() AND c.relnamespace = 'public'::regnamespace AND c.relkind = 'r';
END $$;
CREATE EVENT TRIGGER watch ON ddl_command_end EXECUTE FUNCTION watch.look();
"""


@dataclass(frozen=True)
class Catalog:
    """The tables of a tenant's database at one moment."""

    relations: dict[str, tuple[Any, ...]]
    columns: dict[str, tuple[Any, ...]]
    rules: dict[str, tuple[Any, ...]]
    invalid: list[str]

    @classmethod
    def read(cls, connection: psycopg.Connection[Any]) -> Catalog:
        """Look, as the superuser."""

        def by_name(query: str) -> dict[str, tuple[Any, ...]]:
            return {row[0]: row[1:] for row in connection.execute(query).fetchall()}

        invalid = [name for (name,) in connection.execute(INVALID).fetchall()]
        return cls(by_name(RELATIONS), by_name(COLUMNS), by_name(RULES), invalid)


def harm(before: Catalog, after: Catalog, connection: psycopg.Connection[Any]) -> list[tuple[str, str]]:
    """Return what the version before could not live with and what kept people waiting, as thing and words."""
    return [*_taken(before, after), *_narrowed(before, after), *_unheld(before, after), *_waited(before, connection)]


def _taken(before: Catalog, after: Catalog) -> Iterator[tuple[str, str]]:
    for name, (kind, file, _held) in before.relations.items():
        if name not in after.relations:
            yield name, "is gone"
        elif kind == "r" and after.relations[name][1] != file:
            yield name, "was rewritten"
    for name, (kind, _notnull, _default) in before.columns.items():
        if name not in after.columns:
            yield name, "is gone"
        elif after.columns[name][0] != kind:
            yield name, "has another type"


def _narrowed(before: Catalog, after: Catalog) -> Iterator[tuple[str, str]]:
    for name, (_type, notnull, default) in after.columns.items():
        table, known = name.split(".")[0], before.columns.get(name)
        if known is None and table in before.relations and notnull and not default:
            yield name, "must be given, and the version before does not know it"
        if known is not None and (notnull, not default) > (known[1], not known[2]):
            yield name, "must be given now"
    for name, (table, columns) in after.rules.items():
        old = all(f"{table}.{column}" in before.columns for column in columns)
        if name not in before.rules and table in before.relations and old:
            yield name, "refuses rows"
    for name, (table, _columns) in before.rules.items():
        if name not in after.rules and table in after.relations:
            yield name, "is gone"


def _unheld(before: Catalog, after: Catalog) -> Iterator[tuple[str, str]]:
    for name, (kind, _file, held) in after.relations.items():
        known = before.relations.get(name)
        lost = known is not None and known[2] and not held
        new = known is None and kind == "r" and not (held and f"{name}.tenant_id" in after.columns)
        if lost or new:
            yield name, "shows rows of every tenant"
    for name in after.invalid:
        yield name, "is an invalid index"


def _waited(before: Catalog, connection: psycopg.Connection[Any]) -> Iterator[tuple[str, str]]:
    seen = connection.execute("SELECT relation, mode, max(rows) FROM watch.seen GROUP BY 1, 2 ORDER BY 1, 2").fetchall()
    for name, mode, read in seen:
        if name in before.relations and mode == "ShareLock":
            yield name, "could not be written while an index was built"
        if name in before.relations and mode == "AccessExclusiveLock" and read:
            yield name, "was read row by row while nobody could get at it"

"""What a revision may do to tables that people use, statement by statement. What is not known here is refused.

Two things are held: the version before goes on working on the new schema (nothing it reads or writes is taken away or
narrowed, unless `contracts` names the release from which on nobody needs it), and no statement keeps people waiting.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from hack.migrations.changes import ONLINE, Change
from hack.migrations.tables import alter_table
from hack.migrations.words import Reader, Word, has, split

#: Read-only, or without effect on what others do.
HARMLESS = (
    ("comment", "on"), ("revoke",), ("analyze",), ("create", "type"), ("create", "sequence"), ("create", "schema"),
    ("create", "view"), ("create", "or", "replace", "view"), ("create", "trigger"),
    ("create", "or", "replace", "trigger"), ("create", "constraint", "trigger"), ("alter", "index"),
)  # fmt: skip


def check(statement: list[Word], change: Change, *, alone: bool, batches: bool) -> Iterator[str]:
    """Return what is wrong with a statement, in words, and note what it makes."""
    if batches:
        yield from _batch(statement)
        return
    reader = Reader(statement)
    for start, rule in _RULES:
        if reader.take(*start):
            yield from rule(reader, change, alone)
            return
    yield f"{' '.join(word.text for word in statement[:3])!r} is not among the statements that migrations here use"


def _batch(statement: list[Word]) -> Iterator[str]:
    if statement[0].text not in ("update", "delete", "insert") or not has(statement, "limit"):
        yield "in_batches runs an UPDATE, DELETE or INSERT that takes some rows each time: ... (SELECT id ... LIMIT 1000)"


def _create_table(reader: Reader, change: Change, _alone: bool) -> Iterator[str]:
    table = reader.maybe("if", "not", "exists").name()
    change.made.add(table)
    columns = reader.group()
    if not columns:
        yield f"CREATE TABLE {table} without columns, or as a copy of rows: list its columns"
    if any(part and part[0].text == "tenant_id" for part in split(columns, ",")):
        change.tenant_columns.add(table)


def _create_index(reader: Reader, change: Change, alone: bool) -> Iterator[str]:
    yield from _index(reader, change, alone, unique=False)


def _create_unique_index(reader: Reader, change: Change, alone: bool) -> Iterator[str]:
    yield from _index(reader, change, alone, unique=True)


def _index(reader: Reader, change: Change, alone: bool, *, unique: bool) -> Iterator[str]:
    concurrently = reader.take("concurrently")
    name = reader.maybe("if", "not", "exists").name()
    table = reader.maybe("on").maybe("only").name()
    if concurrently and not alone:
        yield f"CREATE INDEX CONCURRENTLY does not work in a transaction: create_index of {ONLINE}"
    if not concurrently and not change.is_new(table):
        yield f"index {name} on {table} stops every write until it is built: create_index of {ONLINE}, in a revision of its own"
    if unique and not change.is_new(table) and not change.on_new_column(table, reader.rest):
        yield from change.released(name, f"unique index {name} refuses rows", table)
    if unique:
        change.unique_indexes.add(name)
    change.dropped_indexes.discard(name)
    change.made.add(name)


def _function(reader: Reader, change: Change, _alone: bool) -> Iterator[str]:
    name = reader.name()
    rest = reader.rest
    if has(rest, "security", "definer") and not has(rest, "search_path"):
        yield f"function {name} is SECURITY DEFINER without SET search_path: others could put their own tables before ours"
    change.made.add(name)


def _policy(reader: Reader, change: Change, _alone: bool) -> Iterator[str]:
    reader.name()
    table = reader.maybe("on").name()
    if has(reader.rest, "current_tenant"):
        change.policies.add(table)
    yield from ()


def _drop(reader: Reader, change: Change, alone: bool) -> Iterator[str]:
    kind = reader.name()
    concurrently = reader.take("concurrently")
    reader.take("if", "exists")
    if has(reader.rest, "cascade"):
        yield f"DROP {kind.upper()} ... CASCADE takes away what is not named here: name it"
    for part in split(reader.rest, ","):
        name = Reader(part).name()
        if kind == "index" and concurrently and alone:
            change.dropped_indexes.add(name)
        elif kind == "index" and not change.lenient and name not in change.made:
            yield f"DROP INDEX {name} waits for everybody who uses the table: drop_index of {ONLINE}"
        elif kind == "policy" and not change.lenient:
            yield f"policy {name} is one of the locks between tenants (docs/security.md) and stays"
        else:
            yield from change.released(name, f"{kind} {name} is dropped")


def _insert(reader: Reader, _change: Change, _alone: bool) -> Iterator[str]:
    if has(reader.rest, "select"):
        yield f"INSERT ... SELECT copies rows in one go: in_batches of {ONLINE}, in a revision of its own"


def _rows(_reader: Reader, _change: Change, _alone: bool) -> Iterator[str]:
    yield f"rows are changed in one go, and stay locked until the end: in_batches of {ONLINE}, in a revision of its own"


def dropped(change: Change) -> Iterator[str]:
    """Return what is wrong with indexes that were dropped and not made anew, as create_index does."""
    for name in sorted(change.dropped_indexes & change.schema.unique_indexes):
        yield from change.released(name, f"unique index {name}, which ON CONFLICT may name, is dropped")


def _select(reader: Reader, _change: Change, _alone: bool) -> Iterator[str]:
    for word in ("into", "set_config"):
        if has(reader.rest, word):
            yield f"SELECT with {word.upper()} does more than read: write the statement itself"


def _grant(reader: Reader, change: Change, _alone: bool) -> Iterator[str]:
    if has(reader.rest, "to", "public") and not change.lenient:
        yield "rights are given to the tenant's own roles, by the migration Job (hoa_app/grants.py), and never to PUBLIC"


def _timeouts(_reader: Reader, _change: Change, _alone: bool) -> Iterator[str]:
    yield "the migration Job sets the timeouts: a revision that needs longer is not one for people at work"


def _dynamic(_reader: Reader, _change: Change, _alone: bool) -> Iterator[str]:
    yield "what a DO block does is seen only when it runs: write the statements themselves"


def _type(reader: Reader, _change: Change, _alone: bool) -> Iterator[str]:
    name = reader.name()
    if not reader.take("add", "value"):
        yield f"type {name}: only ADD VALUE leaves the version before as it is"


def _nothing(_reader: Reader, _change: Change, _alone: bool) -> Iterator[str]:
    yield from ()


_RULES: tuple[tuple[tuple[str, ...], Callable[[Reader, Change, bool], Iterator[str]]], ...] = (
    (("create", "table"), _create_table),
    (("create", "index"), _create_index),
    (("create", "unique", "index"), _create_unique_index),
    (("create", "function"), _function),
    (("create", "or", "replace", "function"), _function),
    (("alter", "table"), alter_table),
    (("alter", "type"), _type),
    (("create", "policy"), _policy),
    (("drop",), _drop),
    (("select",), _select),
    (("grant",), _grant),
    (("insert",), _insert),
    (("update",), _rows),
    (("delete",), _rows),
    (("truncate",), _rows),
    (("set",), _timeouts),
    (("do",), _dynamic),
    *((start, _nothing) for start in HARMLESS),
)

"""What ALTER TABLE may do to a table that people use, action by action. What is not known here is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise

from hack.migrations.changes import ONLINE, Change
from hack.migrations.words import Reader, Word, has, split

_NOT_A_DEFAULT = frozenset(
    {"not", "null", "check", "references", "unique", "primary", "constraint", "collate", "generated"}
)
_CHEAP_CALLS = frozenset({"now", "current_date", "current_timestamp"})


def alter_table(reader: Reader, change: Change, alone: bool) -> Iterator[str]:
    """Return what is wrong with an ALTER TABLE whose first two words are read."""
    table = reader.maybe("if", "exists").maybe("only").name()
    for action in split(reader.rest, ","):
        yield from _action(table, Reader(action), change)
    if alone:
        yield f"ALTER TABLE {table} outside of a transaction: a revision that breaks off would be half done"


def _action(table: str, action: Reader, change: Change) -> Iterator[str]:
    said = " ".join(word.text for word in action.rest[:4])
    for start, rule in _ACTIONS:
        if action.take(*start):
            found = list(rule(table, action, change))
            if start != ("validate", "constraint"):
                change.locked.add(table)
            yield from found
            return
    yield f"ALTER TABLE {table} {said}: not among the changes that migrations here make"


def _add_column(table: str, action: Reader, change: Change) -> Iterator[str]:
    column = action.maybe("if", "not", "exists").name()
    rest = action.rest
    change.columns.add((table, column))
    change.made.add(f"{table}.{column}")
    if column == "tenant_id":
        change.tenant_columns.add(table)
    if change.is_new(table):
        return
    what = f"column {table}.{column}"
    default = _default(rest)
    if has(rest, "not", "null") and not default:
        yield f"{what} is NOT NULL without a default: rows of the version before, which does not know it, are refused"
    if _is_computed(default):
        yield f"{what} has a default that is computed for each row, which rewrites the table: add it without, set it afterwards"
    if has(rest, "stored") or has(rest, "as", "identity") or any(word.text.endswith("serial") for word in rest[:1]):
        yield f"{what} is computed for each row, which rewrites the table: add a plain column, fill it by in_batches of {ONLINE}"
    for word in ("unique", "primary", "references", "check"):
        if has(rest, word):
            yield (
                f"{what} with {word.upper()} checks every row while nobody gets at {table}: add the column, then the "
                "constraint NOT VALID, and validate it in the next revision"
            )


def _default(given: list[Word]) -> list[Word]:
    texts = [word.text if word.kind == "word" else "" for word in given]
    if "default" not in texts:
        return []
    start = texts.index("default") + 1
    end = next((at for at in range(start, len(given)) if texts[at] in _NOT_A_DEFAULT and at > start), len(given))
    return given[start:end]


def _is_computed(default: list[Word]) -> bool:
    return any(a.kind == "word" and b.text == "(" and a.text not in _CHEAP_CALLS for a, b in pairwise(default))


def _add_constraint(table: str, action: Reader, change: Change) -> Iterator[str]:
    name, rest = action.name(), action.rest
    thing = f"constraint {name} on {table}"
    if len(rest) > 7 and rest[0].text == "check" and has(rest, "is", "not", "null"):
        change.not_null_checks.add((table, rest[2].text))
    if change.is_new(table):
        return
    if rest[0].text in ("unique", "primary", "exclude"):
        if not has(rest, "using", "index"):
            yield f"{thing} builds an index while nobody gets at the table: create_index of {ONLINE}, then ADD CONSTRAINT ... USING INDEX"
    elif not has(rest, "not", "valid"):
        yield f"{thing} checks every row while nobody gets at the table: add it NOT VALID, and validate it in the next revision"
    if not change.on_new_column(table, Reader(rest).maybe("foreign", "key").group()):
        yield from change.released(name, f"{thing} refuses rows", table)
    change.made.add(name)


def _add_unnamed(table: str, _action: Reader, change: Change) -> Iterator[str]:
    if not change.is_new(table):
        yield f"a constraint on {table} without a name cannot be validated or dropped: ADD CONSTRAINT <name> ..."


def _validate(table: str, action: Reader, change: Change) -> Iterator[str]:
    if table in change.locked and not change.is_new(table):
        yield (
            f"constraint {action.name()} is validated in the transaction that already keeps everybody from {table}: "
            "validate it in the next revision"
        )


def _alter_column(table: str, action: Reader, change: Change) -> Iterator[str]:
    column = action.name()
    what = f"column {table}.{column}"
    if change.is_new(table) or action.take("set", "default") or action.take("drop", "not", "null"):
        return
    if action.take("type") or action.take("set", "data", "type"):
        yield (
            f"another type of {what} rewrites the table: add a column beside it, fill it by in_batches of {ONLINE}, "
            "drop the old one later"
        )
    elif action.take("set", "not", "null"):
        if (table, column) not in change.schema.not_null_checks:
            yield (
                f"{what} NOT NULL reads every row while nobody gets at {table}: in the revisions before, ADD CONSTRAINT ... "
                f"CHECK ({column} IS NOT NULL) NOT VALID and validate it"
            )
        yield from change.released(f"{table}.{column}", f"{what} NOT NULL refuses rows", table)
    elif action.take("drop", "default"):
        yield from change.released(f"{table}.{column}", f"the default of {what} is taken away", table)
    elif not action.take("set", "statistics"):
        yield f"{what}: not among the changes that migrations here make"


def _drop_column(table: str, action: Reader, change: Change) -> Iterator[str]:
    column = action.maybe("if", "exists").name()
    if not change.is_new(table):
        yield from change.released(f"{table}.{column}", f"column {table}.{column} is dropped", table)


def _drop_constraint(table: str, action: Reader, change: Change) -> Iterator[str]:
    name = action.maybe("if", "exists").name()
    if not change.is_new(table):
        yield from change.released(name, f"constraint {name} on {table} is dropped", table)


def _rename(table: str, action: Reader, change: Change) -> Iterator[str]:
    if not change.is_new(table) and not action.take("constraint"):
        yield f"a new name in {table}, which the version before does not know: add the new one beside the old one, and drop that later"


def _row_security(field_name: str) -> Callable[[str, Reader, Change], Iterator[str]]:
    def note(table: str, _action: Reader, change: Change) -> Iterator[str]:
        getattr(change, field_name).add(table)
        yield from ()

    return note


def _no_security(table: str, _action: Reader, _change: Change) -> Iterator[str]:
    yield f"row-level security of {table} is one of the locks between tenants (docs/security.md) and stays"


_ACTIONS: tuple[tuple[tuple[str, ...], Callable[[str, Reader, Change], Iterator[str]]], ...] = (
    (("add", "constraint"), _add_constraint),
    *(((("add", kind)), _add_unnamed) for kind in ("unique", "primary", "foreign", "check", "exclude")),
    (("add", "column"), _add_column),
    (("add",), _add_column),
    (("validate", "constraint"), _validate),
    (("alter", "column"), _alter_column),
    (("alter",), _alter_column),
    (("drop", "constraint"), _drop_constraint),
    (("drop", "column"), _drop_column),
    (("drop",), _drop_column),
    (("rename",), _rename),
    (("enable", "row", "level", "security"), _row_security("enabled")),
    (("force", "row", "level", "security"), _row_security("forced")),
    (("disable", "row", "level", "security"), _no_security),
    (("no", "force", "row", "level", "security"), _no_security),
)

"""A register says the same as a spreadsheet, which the import reads without a complaint, and as rows for COPY."""

from __future__ import annotations

from datetime import date
from uuid import uuid4

from hoa_app.features.imports.csvfile import parse
from tests.bench.register import HOMES_OF_A_COMMUNITY, TABLES, Register

SIZE = HOMES_OF_A_COMMUNITY + 3


def test_the_import_reads_it() -> None:
    (file,) = Register(SIZE).spreadsheets()
    parsed = parse(file, "", date(2031, 1, 1))
    assert (parsed.line_count, parsed.errors, parsed.unknown_columns) == (SIZE, (), ())
    assert len({row.unit_key for row in parsed.rows}) == len({row.email for row in parsed.rows}) == SIZE


def test_copy_gets_the_same_people() -> None:
    register = Register(SIZE)
    copies = register.copies(str(uuid4()))
    assert {table: copies[table].count(b"\n") for table in TABLES} == {
        "communities": 2,
        "units": SIZE,
        "people": SIZE,
        "ownerships": SIZE,
    }
    rows = parse(register.spreadsheets()[0], "", date(2031, 1, 1)).rows
    copied = [line.split(b"\t") for line in copies["people"].splitlines()]
    assert [(name.decode(), email.decode()) for _, name, email, *_ in copied] == [(row.name, row.email) for row in rows]


def test_a_file_is_no_longer_than_the_import_takes() -> None:
    files = Register(100_000).spreadsheets()
    assert sum(file.count(b"\n") for file in files) == 100_000 + len(files)

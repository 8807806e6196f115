"""What a spreadsheet may look like, and what is said of one that cannot be read."""

from __future__ import annotations

import csv
import io
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hoa_app.features.imports.columns import COLUMNS, TEMPLATE, recognised
from hoa_app.features.imports.csvfile import MAX_ROWS, FileRefusedError, ParsedFile, parse

TODAY = date(2026, 11, 23)
HEADER = "community,unit,name,email,phone,owner_since,primary_contact"


def read(text: str | bytes, community: str = "") -> ParsedFile:
    return parse(text.encode() if isinstance(text, str) else text, community, TODAY)


def lines(*rows: str) -> ParsedFile:
    return read("\n".join((HEADER, *rows)))


def test_a_plain_file_reads_as_rows() -> None:
    found = lines("Harbor Point,1A,Ana Torres,Ana@Example.com,(555) 010-4477,2021-04-30,yes", "Harbor Point,2,Bo,,,,")
    assert found.errors == ()
    first, second = found.rows
    assert (first.line, first.community, first.unit, first.name) == (2, "Harbor Point", "1A", "Ana Torres")
    assert (first.email, first.owner_since, first.primary) == ("ana@example.com", date(2021, 4, 30), True)
    assert (second.line, second.email, second.owner_since, second.primary) == (3, "", None, None)


@pytest.mark.parametrize(("delimiter", "name"), [(",", "comma"), (";", "semicolon"), ("\t", "tab")])
def test_the_delimiter_is_found(delimiter: str, name: str) -> None:
    found = read(f"unit{delimiter}name\n1{delimiter}Ana\n", "Harbor Point")
    assert found.delimiter == name
    assert [row.unit for row in found.rows] == ["1"]


def test_a_line_that_says_the_delimiter_is_not_a_row() -> None:
    found = read("sep=;\r\nunit;name\r\n1;Ana, Maria\r\n", "Harbor Point")
    assert [(row.line, row.name) for row in found.rows] == [(3, "Ana, Maria")]


@pytest.mark.parametrize("header", ["Unit #,Owner Name", "LOT NUMBER,Full  name", '"unit_no","HomeOwner"'])
def test_headers_go_by_many_names(header: str) -> None:
    assert len(read(f"{header}\n7,Ana\n", "Harbor Point").rows) == 1


def test_first_and_last_name_make_one() -> None:
    assert read("unit,First Name,Surname\n1,Ana,Torres\n", "H").rows[0].name == "Ana Torres"


def test_a_byte_order_mark_is_no_part_of_the_header() -> None:
    assert len(read(b"\xef\xbb\xbfunit,name\n1,Zo\xc3\xab\n", "H").rows) == 1


def test_unknown_columns_are_named_and_left_out() -> None:
    assert read("unit,name,Gate code\n1,Ana,99\n", "H").unknown_columns == ("Gate code",)


def test_a_cell_of_several_lines_does_not_shift_line_numbers() -> None:
    found = read('unit,name,unit_address\n1,Ana,"1 Harbor Way\nUnit 1"\n2,,\n', "H")
    assert found.rows[0].unit_address == "1 Harbor Way Unit 1"
    assert [(error.line, error.column) for error in found.errors] == [(4, "name")]


def test_blank_lines_are_no_rows_and_keep_line_numbers() -> None:
    found = lines("", ",,,,,,", "Harbor Point,1,Ana,,,,")
    assert [row.line for row in found.rows] == [4]


@pytest.mark.parametrize(
    ("data", "line", "says"),
    [
        (b"", None, "empty"),
        (b"  \n ", None, "empty"),
        (b"PK\x03\x04rest", None, "Excel workbook"),
        ("unit,name\n1,Ana".encode("utf-16"), 1, "UTF-16"),
        ("unit,name\n1,Ana".encode("utf-16-le"), 1, "UTF-16"),
        (b"unit,name\n1,Ana\n2,Ren\xe9\n", 3, "0xE9, probably “é” in the Windows-1252"),
        (b"\xef\xbb\xbfunit,name\n1,\x81\n", 2, "0x81"),
        (b"unit,name\n1,A\x00na\n", 2, "NUL"),
        (b'unit,name\n1,"Ana\n2,Bo\n', 2, "never closed"),
        (b"unit,name\n1," + b"x" * 140_000, 2, "more than 100,000"),
        (b"colour,shape\nred,round\n", 1, "“unit” and “name”"),
        (b"unit,name,owner\n1,Ana,Bo\n", 1, "Two columns"),
        (b"unit,name\n", 1, "no rows"),
    ],
)
def test_a_file_that_cannot_be_trusted_is_refused_whole(data: bytes, line: int | None, says: str) -> None:
    with pytest.raises(FileRefusedError) as refused:
        read(data, "Harbor Point")
    assert says in refused.value.problem
    assert refused.value.line == line
    assert refused.value.remedy


def test_too_many_rows_are_refused() -> None:
    with pytest.raises(FileRefusedError, match="50,000"):
        read("unit,name\n" + "".join(f"{n},Ana\n" for n in range(MAX_ROWS + 1)), "H")


@pytest.mark.parametrize(
    ("row", "column", "says"),
    [
        (",1,Ana,,,,", "community", "No community"),
        ("H,,Ana,,,,", "unit", "missing"),
        ("H,1,,,,,", "name", "missing"),
        ("H,1,Ana,ana at example,,,", "email", "not an email"),
        ("H,1,Ana,a@b@c.example,,,", "email", "not an email"),
        ("H,1,Ana,,12,,", "phone", "not a phone"),
        ("H,1,Ana,,,soon,", "owner_since", "not a date"),
        ("H,1,Ana,,,2026-02-30,", "owner_since", "not a date"),
        ("H,1,Ana,,,20260203,", "owner_since", "not a date"),
        ("H,1,Ana,,,1799-12-31,", "owner_since", "not a date"),
        ("H,1,Ana,,,2026-11-24,", "owner_since", "future"),
        ("H,1,Ana,,,,perhaps", "primary_contact", "neither yes nor no"),
        (f"H,1,{'x' * 200},,,,", "name", "200 characters"),
        ("H,1,Ana,,,,,surplus", "", "8 cells"),
    ],
)
def test_each_mistake_names_line_column_and_cure(row: str, column: str, says: str) -> None:
    (error,) = lines("Harbor Point,9,Bo,,,,", row).errors
    assert (error.line, error.column) == (3, column)
    assert says in error.problem
    assert error.remedy


def test_all_mistakes_of_a_line_are_told_at_once() -> None:
    found = lines("H,,Ana,nope,1,never,maybe")
    assert {error.column for error in found.errors} == {"unit", "email", "phone", "owner_since", "primary_contact"}
    assert found.rows == ()


def test_a_repeated_line_points_at_the_first() -> None:
    found = lines("H,1,Ana,ana@x.example,,,", "h,1,ANA,Ana@x.example,,,")
    assert "line 2" in found.errors[0].problem
    assert found.errors[0].line == 3
    assert len(found.rows) == 1


def test_one_person_may_own_two_units() -> None:
    assert lines("H,1,Ana,ana@x.example,,,", "H,2,Ana,ana@x.example,,,").errors == ()


@pytest.mark.parametrize(
    ("rows", "column"),
    [
        (("H,1,Ana,a@x.example,,,", "H,2,Bo,a@x.example,,,"), "email"),
        (("H,1,Ana,a@x.example,5550104477,,", "H,2,Ana,a@x.example,5550104478,,"), "phone"),
        (("H,1,Ana,,,,yes", "H,1,Bo,,,,yes"), "primary_contact"),
    ],
)
def test_lines_that_contradict_each_other_are_errors(rows: tuple[str, str], column: str) -> None:
    (error,) = lines(*rows).errors
    assert (error.line, error.column) == (3, column)


def test_an_apostrophe_that_the_export_put_there_comes_off() -> None:
    assert lines("H,1,Ana,,'+1 555 010 4477,,").rows[0].phone == "+1 555 010 4477"


def test_ten_thousand_bad_rows_are_ten_thousand_errors() -> None:
    found = lines(*(f"H,{n},Person {n},broken-{n},,," for n in range(10_000)))
    assert len(found.errors) == 10_000
    assert found.errors[-1].line == 10_001


def test_reading_ends_with_ten_thousand_mistakes_and_says_so() -> None:
    found = lines(*(f"H,,,broken-{n},broken,never,maybe" for n in range(40_000)))
    assert 10_000 < len(found.errors) < 10_010
    assert found.line_count == 40_000
    last = found.errors[-1]
    assert last.line < 2_502
    assert "From this line on nothing was looked at" in last.problem
    assert "upload the file again" in last.remedy


def test_every_column_is_recognised_by_its_own_name_and_by_no_other() -> None:
    for column in COLUMNS:
        assert {recognised(alias) for alias in column.aliases} == {column.key}
        assert recognised(column.key.upper().replace("_", " ")) == column.key


def test_the_template_reads_without_an_error() -> None:
    out = io.StringIO()
    csv.writer(out).writerows([[column.key for column in TEMPLATE], [column.example for column in TEMPLATE]])
    assert len(read(out.getvalue()).rows) == 1


@given(st.binary(max_size=400))
def test_no_bytes_crash_the_reader(data: bytes) -> None:
    try:
        found = parse(data, "H", TODAY)
    except FileRefusedError:
        return
    assert found.line_count >= len(found.rows)


CELL = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp")), min_size=1, max_size=30
).filter(lambda text: text.strip() != "" and text[0] != "'")


@given(st.lists(st.tuples(CELL, CELL), min_size=1, max_size=8), st.sampled_from([",", ";", "\t"]), st.booleans())
def test_whatever_a_spreadsheet_writes_is_read_back(pairs: list[tuple[str, str]], delimiter: str, crlf: bool) -> None:
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, lineterminator="\r\n" if crlf else "\n")
    writer.writerow(["unit", "name"])
    writer.writerows(pairs)
    found = read(out.getvalue(), "H")
    assert found.line_count == len(pairs)
    assert len(found.rows) + len({error.line for error in found.errors}) == len(pairs)

"""The small things every feature leans on."""

from __future__ import annotations

import csv
import io
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hoa_app.features.home.limits import Room
from hoa_app.features.kit.answers import Rejected, camel
from hoa_app.features.kit.forms import FormReader, one_line, prose, valid_email, valid_phone
from hoa_app.features.kit.moments import age, day, moment, today, zone_choices
from hoa_app.features.kit.paging import BadCursorError, decode_cursor, encode_cursor, paged
from hoa_app.features.kit.spreadsheets import BOM, csv_blocks, neutral, plain

NOON = datetime(2026, 11, 23, 17, 0, tzinfo=UTC)
UUID_TEXT = "0f8fad5b-d9cb-469f-a165-70867728950e"


def test_an_instant_is_shown_in_the_zone_with_utc_beside_it() -> None:
    assert moment(NOON, "America/New_York") == (
        '<time datetime="2026-11-23T17:00:00+00:00" title="2026-11-23 17:00 UTC">Nov 23, 2026, 12:00 PM</time>'
    )
    assert "Nov 24, 2026, 2:00 AM" in moment(NOON, "Asia/Tokyo")
    assert "12:00 PM" in moment(NOON, "Nowhere/Land")


def test_days_begin_in_the_zone() -> None:
    late = datetime(2026, 11, 23, 2, 0, tzinfo=UTC)
    assert today("America/New_York", late) == date(2026, 11, 22)
    assert today("Asia/Tokyo", late) == date(2026, 11, 23)
    assert day(date(2026, 3, 1)) == '<time datetime="2026-03-01">Mar 1, 2026</time>'
    assert day(None) == ""


@pytest.mark.parametrize(
    ("minutes", "says"),
    [
        (0, "just now"),
        (1, "just now"),
        (5, "5 minutes ago"),
        (60, "1 hour ago"),
        (60 * 23, "23 hours ago"),
        (60 * 24, "1 day ago"),
        (60 * 24 * 9, "9 days ago"),
    ],
)
def test_ages_use_one_unit(minutes: int, says: str) -> None:
    assert age(NOON - timedelta(minutes=minutes), NOON) == says
    assert age(NOON + timedelta(minutes=5), NOON) == "just now"


def test_the_zones_begin_at_home() -> None:
    names = [name for name, _ in zone_choices()]
    assert names[0] == "America/New_York"
    assert len(names) == len(set(names)) > 300


@given(st.text(max_size=40), st.uuids())
def test_a_cursor_comes_back_as_it_went(name: str, key: object) -> None:
    cursor = encode_cursor(name.replace("\x00", ""), str(key))
    assert decode_cursor(cursor, "text", "uuid") == [name.replace("\x00", ""), str(key)]
    assert "=" not in cursor


@pytest.mark.parametrize(
    "cursor",
    [
        "x",
        "%%%",
        "e30",
        encode_cursor("a"),
        encode_cursor("a", "b"),
        encode_cursor("a", UUID_TEXT, "c"),
        encode_cursor("a\x00", UUID_TEXT),
        "\u00e9",
    ],
)
def test_a_damaged_cursor_is_a_bad_request(cursor: str) -> None:
    with pytest.raises(BadCursorError) as refused:
        decode_cursor(cursor, "text", "uuid")
    assert refused.value.status == 400


@pytest.mark.parametrize("number", ["-1", "1.5", "9" * 30, "\u0663"])
def test_a_number_in_a_cursor_fits_the_database(number: str) -> None:
    with pytest.raises(BadCursorError):
        decode_cursor(encode_cursor(number), "number")


def test_no_cursor_is_the_first_page() -> None:
    assert decode_cursor(None, "number") is None
    assert decode_cursor("", "number") is None
    page = paged([1, 2, 3], 2, lambda row: (row,))
    assert page.items == [1, 2]
    assert decode_cursor(page.next, "number") == ["2"]
    assert paged([1, 2], 2, lambda row: (row,)).next is None
    assert paged([], 2, lambda row: (row,)).next is None


@pytest.mark.parametrize("cell", ["=1+1", "+1 555", "-2", "@sum", "\t=1", "\r=1"])
def test_no_cell_runs_as_a_formula(cell: str) -> None:
    assert neutral(cell) == f"'{cell}"
    assert plain(neutral(cell)) == cell


@given(st.one_of(st.none(), st.integers(), st.text()))
def test_neutral_cells_never_start_a_formula(value: object) -> None:
    assert not neutral(value).startswith(("=", "+", "-", "@", "\t", "\r"))


def test_a_csv_opens_in_a_spreadsheet_as_it_was_written() -> None:
    data = b"".join(csv_blocks(["name", "note"], [["Zoë", "a,b"], ["=cmd", None]])).decode()
    assert data.startswith(BOM)
    assert list(csv.reader(io.StringIO(data.removeprefix(BOM)))) == [["name", "note"], ["Zoë", "a,b"], ["'=cmd", ""]]


def test_a_long_csv_comes_in_few_blocks_and_whole() -> None:
    rows = [[f"Person {number}", "x" * 90] for number in range(3_000)]
    blocks = list(csv_blocks(["name", "note"], iter(rows)))
    assert 2 < len(blocks) < 20
    assert list(csv.reader(io.StringIO(b"".join(blocks).decode().removeprefix(BOM)))) == [["name", "note"], *rows]


@pytest.mark.parametrize("text", ["ana@example.com", "a.b+c@sub.example.co", "o'neil@example.org"])
def test_addresses_that_mail_reaches(text: str) -> None:
    assert valid_email(text)


@pytest.mark.parametrize(
    "text",
    [
        "ana",
        "ana@",
        "@example.com",
        "a b@example.com",
        "a@example",
        "a@b@c.com",
        ".a@example.com",
        "a..b@example.com",
        "a@-x.com",
        f"{'a' * 65}@example.com",
        f"a@{'b' * 260}.com",
        "a@example.com\n",
    ],
)
def test_addresses_that_it_does_not(text: str) -> None:
    assert not valid_email(text)


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("(555) 010-4477", True),
        ("+49 30 901820", True),
        ("555.010.4477 x12", True),
        ("12", False),
        ("call me", False),
        ("1" * 20, False),
    ],
)
def test_phone_numbers(text: str, good: bool) -> None:
    assert valid_phone(text) is good


@given(st.text())
def test_one_line_is_one_line_and_stays_so(text: str) -> None:
    clean = one_line(text)
    assert "\n" not in clean
    assert "\x00" not in clean
    assert one_line(clean) == clean


def test_prose_keeps_its_lines() -> None:
    assert prose("  a \r\nb\x00\r\n\r\n") == "a\nb"


def test_a_reader_gathers_one_message_for_each_field() -> None:
    reader = FormReader(
        {"name": " ", "email": "x", "phone": "1", "day": "2026-13-01", "id": "7", "zone": "Mars", "long": "x" * 9}
    )
    reader.line("name", "a name", limit=5, required=True)
    reader.email("email")
    reader.phone("phone")
    assert reader.day("day") is None
    assert reader.identifier("id", "a unit", required=True) is None
    reader.zone("zone")
    reader.line("long", "a text", limit=5)
    assert set(reader.errors) == {"name", "email", "phone", "day", "id", "zone", "long"}
    assert reader.errors["name"] == "Enter a name."
    assert reader.errors["long"] == "At most 5 characters fit into a text; this is 9."


def test_a_number_of_the_page_is_read_or_zero() -> None:
    assert FormReader({"version": "12"}).number("version", 0) == 12
    for damaged in ("", "-1", "1e3", "\u0661", "9" * 12):
        assert FormReader({"version": damaged}).number("version", 0) == 0


def test_a_rejection_speaks_to_forms_and_to_programs() -> None:
    document = Rejected({"valid_from": "Choose a date."}).document("r1")
    assert document["errors"] == [{"field": "valid_from", "pointer": "/validFrom", "detail": "Choose a date."}]
    assert camel("name") == "name"


@pytest.mark.parametrize(
    ("used", "most", "tone"),
    [(0, None, ""), (10**6, None, ""), (89, 100, ""), (90, 100, "warn"), (100, 100, "warn"), (101, 100, "bad")],
)
def test_the_plan_warns_before_it_is_full(used: int, most: int | None, tone: str) -> None:
    assert Room(used, most).tone == tone

"""Spreadsheets as people save them: read in any usual form, refused with the cure, mended line by line."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

import pytest

from tests.contract.features.office import shown
from tests.contract.features.pages import faults
from tests.contract.features.test_imports import Clock, file, owners

if TYPE_CHECKING:
    from tests.contract.features.office import Office


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "The file is empty."),
        ("unit,name\n1,Ana".encode("utf-16"), "saved as UTF-16 (Excel calls it “Unicode Text”). In Excel choose File"),
        ("unit,name\n1,Ana".encode("utf-16-be"), "saved as UTF-16"),
        (b"\xff\xfe" + "unit\tname\n1\tŽofie".encode("utf-16-le"), "saved as UTF-16"),
        (b"unit,name\n1,Ana\n2,Ren\xe9\n", "Line 3 holds a byte that is not UTF-8 (0xE9, probably “é”"),
        (b"unit,name\n1,D\x92Arcy\n", "Line 2 holds a byte that is not UTF-8 (0x92, probably “\u2019” in the Windows"),
        (b"\xef\xbb\xbfunit,name\n1,Ren\xe9\n", "Line 2 holds a byte that is not UTF-8"),
        ("unit,name\n1,René".encode()[:-1], "Line 2 holds a byte that is not UTF-8"),
        (b"unit,name\n1,Ana\n2,Bo\x00b\n", "Line 3 holds a NUL character, so this is not a text file. In Excel"),
        (b" \n\n", "The file is empty."),
        (b"unit,name\n", "a header but no rows below it"),
        (b"unit,lot,name\n1,2,Ana\n", "Two columns both mean “unit”. Keep one of them"),
        (b"PK\x03\x04xxxx", "Excel workbook"),
        (b'unit,name\n1,"Ana\n', "never closed"),
        (b"a,b\n1,2\n", "names no “unit” and “name” column"),
        (b"unit,name\n" + b"1,Ana\n" * 60_000, "more than 50,000 rows"),
        (b"unit,name\n" + b"x" * (10 * 1024 * 1024), "larger than 10 MB"),
    ],
)
async def test_a_file_that_cannot_be_read_is_refused_with_the_cure(office: Office, data: bytes, says: str) -> None:
    before = office.rows("SELECT count(*) FROM imports")
    answer = await office.upload(data)
    assert answer.status_code == 422
    assert says in shown(answer.text)
    assert 'role="alert"' in answer.text
    assert office.rows("SELECT count(*) FROM imports") == before


async def test_no_file_is_a_message_too(office: Office) -> None:
    answer = await office.owner.post("/imports", {"community": ""})
    assert answer.status_code == 422
    assert "No file was chosen." in answer.text


async def test_errors_are_told_line_by_line_and_nothing_can_be_confirmed(office: Office) -> None:
    place = office.unique("Harbor")
    path = await office.preview(
        file(f"{place},1,,Ana,not-mail,,,,", f"{place},2,,Bo,,,,,", f"{place},2,,Bo,,,,,", f"{place},3,,=SUM(A1),x,,,,")
    )
    page = shown(await office.owner.see(path))
    assert "Line 2 email not-mail This is not an email address." in page
    assert "already on line 3" in page
    report = await office.owner.get(f"{path}/errors.csv")
    lines = list(csv.reader(io.StringIO(report.text.removeprefix("\ufeff"))))
    assert [line[0] for line in lines] == ["line", "2", "4", "5"]
    refused = await office.owner.post(f"{path}/confirm")
    assert refused.status_code == 409
    assert "The file still has errors" in refused.text
    assert await owners(office, place) == []


async def test_ten_thousand_bad_rows_make_a_short_page_and_a_whole_report(office: Office) -> None:
    path = await office.preview(file(*(f"H,{n},,P {n},=bad{n},,,," for n in range(10_000))))
    page = await office.owner.see(path)
    assert page.count("<tr>") <= 102
    assert "The first 100 of 10,000" in page
    assert faults(page) == []
    at_once, more = page.split("<summary class", 1)
    assert (at_once.count('number nowrap">Line'), more.count('number nowrap">Line')) == (10, 90)
    assert "90 more" in shown(page)
    report = (await office.owner.get(f"{path}/errors.csv")).text.splitlines()
    assert len(report) == 10_001
    assert "'=bad9999" in report[-1]


async def test_a_file_with_too_many_mistakes_is_read_only_so_far_and_the_page_says_so(office: Office) -> None:
    path = await office.preview(file(*(f"H,{n},,,bad,bad,,never,maybe" for n in range(49_000))))
    page = shown(await office.owner.see(path))
    assert "What to mend All 10,00" in page
    assert "Mend what is listed and upload the file again: what comes after 10,000 mistakes was not looked at." in page
    report = (await office.owner.get(f"{path}/errors.csv")).text.splitlines()
    assert "From this line on nothing was looked at" in report[-1]


async def test_ten_thousand_lines_half_of_them_wrong_are_told_one_by_one(office: Office) -> None:
    place = office.unique("Marsh")
    rows = (f"{place},{n},,P {n},{'bad' if n % 2 else f'm{n}@x.example'},,,," for n in range(10_000))
    clock = Clock()
    path = await office.preview(file(*rows))
    clock.lap("preview with 5,000 errors")
    report = (await office.owner.get(f"{path}/errors.csv")).text.splitlines()
    clock.lap("report of 5,000 errors")
    assert len(report) == 5_001
    assert report[1] == (
        '3,email,bad,This is not an email address.,"Write one address like ana@example.com, or leave it empty."'
    )
    assert sum(clock.laps.values()) < 20


async def test_semicolons_tabs_and_a_byte_order_mark_are_read(office: Office) -> None:
    place = office.unique("Harbor")
    for number, (text, said) in enumerate(
        (
            ("\ufeffcommunity;unit;name\r\n{};1;Zoë; Ltd\r\n", "This line has 4 cells, the header has 3."),
            ("\ufeffcommunity;unit;name\r\n{};1;Zoë Müller\r\n", "1 line, semicolon between cells"),
            ("sep=;\ncommunity;unit;name\n{};2;Bo, Jr\n", "1 line, semicolon between cells"),
            ("community\tunit\tname\n{}\t3\tTab\n", "1 line, tab between cells"),
            ('community;unit;name\n{};4;"Semi; Colon"\n', "1 line, semicolon between cells"),
        )
    ):
        path = await office.preview(text.format(place))
        page = shown(await office.owner.see(path))
        assert said in page
        if number:
            assert "1 new" in page
            await office.owner.done(f"{path}/confirm")
    assert [row[1] for row in await owners(office, place)] == ["Zoë Müller", "Bo, Jr", "Tab", "Semi; Colon"]


async def test_lines_that_repeat_or_contradict_each_other_are_named(office: Office) -> None:
    place = office.unique("Harbor")
    path = await office.preview(
        file(
            f"{place},1,,Ana,ana@dup.example,,,,yes",
            f"{place.upper()},1,,ANA,Ana@Dup.example,,,,",
            f"{place},2,,Bea,ana@dup.example,,,,",
            f"{place},1,,Cem,,,,,yes",
        )
    )
    page = shown(await office.owner.see(path))
    assert "Line 3 ANA The same homeowner and unit are already on line 2. Remove one of the two lines." in page
    assert "Line 4 email ana@dup.example Line 2 gives this address to Ana." in page
    assert "Line 5 primary_contact yes Line 2 already names the primary contact of this unit." in page
    assert 'id="errors">What to mend' in await office.owner.see(path)


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\uff1d"])
async def test_no_cell_of_the_report_can_calculate(office: Office, start: str) -> None:
    formula = f"{start}HYPERLINK(1)"
    path = await office.preview(file(f'H,1,,Ana,{formula},{formula},,{formula},"\t{formula}"'))
    report = await office.owner.get(f"{path}/errors.csv")
    assert report.headers["content-disposition"] == 'attachment; filename="import-errors.csv"'
    lines = list(csv.reader(io.StringIO(report.text.removeprefix("\ufeff"))))[1:]
    assert {line[1] for line in lines} == {"email", "phone", "owner_since", "primary_contact"}
    assert {line[2].lower().removesuffix("…") for line in lines} == {f"'{formula.lower()}"}
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\uff1d")) for line in lines for cell in line)

"""Homeowners from a spreadsheet: previewed, imported whole or not at all, once."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import TYPE_CHECKING

from tests.contract.features.office import id_of, shown
from tests.contract.features.pages import faults

if TYPE_CHECKING:
    from tests.contract.features.office import Office

HEADER = "community,unit,unit_address,name,email,phone,mailing_address,owner_since,primary_contact"


def file(*rows: str) -> str:
    return "\n".join((HEADER, *rows)) + "\n"


def mailbox(place: str) -> str:
    """An address of the person of this place only; the id of a string may come again."""
    return f"{place.replace(' ', '').lower()}@x.example"


async def owners(office: Office, community: str) -> list[tuple[object, ...]]:
    return office.rows(
        "SELECT u.label, p.name, p.email, p.phone, o.valid_from::text, o.is_primary FROM ownerships o"
        " JOIN people p ON p.id = o.person_id JOIN units u ON u.id = o.unit_id JOIN communities c ON c.id = u.community_id"
        " WHERE c.name = %s ORDER BY u.sort_key, p.name",
        community,
    )


async def test_nothing_is_imported_before_it_is_confirmed(office: Office) -> None:
    place = office.unique("Harbor")
    path = await office.preview(
        file(f"{place},1A,,Ana Torres,{mailbox(place)},(555) 010-4477,,2021-04-30,yes", f"{place},2,,Bo Stone,,,,,")
    )
    page = shown(await office.owner.see(path))
    assert "2 new 0 updated 0 unchanged 0 errors" in page
    assert f"1 new community will be made {place}" in page
    assert await owners(office, place) == []

    assert await office.owner.done(f"{path}/confirm") == path
    assert "Imported 2 lines: 2 new people, 2 new units, 1 new community." in shown(await office.owner.see(path))
    first, second = await owners(office, place)
    assert first == ("1A", "Ana Torres", mailbox(place), "(555) 010-4477", "2021-04-30", True)
    assert second[:2] == ("2", "Bo Stone")


async def test_confirming_twice_and_importing_again_change_nothing(office: Office) -> None:
    place = office.unique("Harbor")
    text = file(f"{place},1,1 Way,Ana,{mailbox(place)},5550104477,Box 1,2020-01-01,yes", f"{place},2,,Bo,,,,,")
    path = await office.preview(text)
    await asyncio.gather(*(office.owner.done(f"{path}/confirm") for _ in range(3)))
    before = await owners(office, place)
    assert len(before) == 2
    again = await office.preview(text)
    assert "0 new 0 updated 2 unchanged" in shown(await office.owner.see(again))
    await office.owner.done(f"{again}/confirm")
    assert await owners(office, place) == before
    versions = office.rows("SELECT version FROM people WHERE email = %s", mailbox(place))
    assert versions == [(1,)]


async def test_a_later_file_updates_and_never_erases(office: Office) -> None:
    place, mail = office.unique("Harbor"), f"{office.unique('u').replace(' ', '')}@x.example"
    first = await office.preview(file(f"{place},1,,Ana,{mail},5550104477,Box 1,2020-01-01,"))
    await office.owner.done(f"{first}/confirm")
    second = await office.preview(file(f"{place},1,,Ana Torres,{mail},,,2019-06-01,yes"))
    assert "0 new 1 updated 0 unchanged" in shown(await office.owner.see(second))
    await office.owner.done(f"{second}/confirm")
    assert await owners(office, place) == [("1", "Ana Torres", mail, "5550104477", "2019-06-01", True)]


async def test_the_preview_tells_each_value_that_changes(office: Office) -> None:
    place, mail = office.unique("Harbor"), f"{office.unique('c').replace(' ', '')}@x.example"
    first = await office.preview(file(f"{place},1,1 Way,Ana,{mail},5550104477,,2020-01-01,", f"{place},2,,Bo,,,,,"))
    assert "What changes" not in await office.owner.see(first)
    await office.owner.done(f"{first}/confirm")
    second = await office.preview(
        file(
            f"{place},1,2 Way,Ana Torres,{mail},,Box 7,2019-06-01,yes",
            f"{place},2,,Bo,,,,,",
            f"{place},3,,Ana Torres,{mail},5550104478,,,",
        )
    )
    page = await office.owner.see(second)
    assert faults(page) == []
    words = shown(page)
    assert (
        f"Line 2 Ana Torres {place} 1 name Ana → Ana Torres mailing_address empty → Box 7"
        " unit_address 1 Way → 2 Way owner_since 2020-01-01 → 2019-06-01 primary_contact no → yes"
    ) in words
    assert f"Line 4 Ana Torres {place} 3 name Ana → Ana Torres phone 5550104477 → 5550104478" in words
    assert "Line 3 Bo" not in words
    answer = await office.api("GET", second)
    assert answer["changes"][0]["cells"][0] == {"column": "name", "before": "Ana", "after": "Ana Torres"}


async def test_a_name_in_a_unit_is_known_again_and_learns_its_address(office: Office) -> None:
    place, mail = office.unique("Harbor"), f"{office.unique('n').replace(' ', '')}@x.example"
    for text in (file(f"{place},1,,Bo Stone,,,,,"), file(f"{place},1,,bo stone,{mail},,,,")):
        path = await office.preview(text)
        await office.owner.done(f"{path}/confirm")
    ((_, name, email, *_rest),) = await owners(office, place)
    assert (name, email) == ("bo stone", mail)


async def test_one_person_of_two_units_is_one_person(office: Office) -> None:
    place, mail = office.unique("Harbor"), f"{office.unique('t').replace(' ', '')}@x.example"
    path = await office.preview(file(f"{place},1,,Ana,{mail},,,,", f"{place},2,,Ana,{mail},,,,"))
    await office.owner.done(f"{path}/confirm")
    assert len(await owners(office, place)) == 2
    assert office.rows("SELECT count(*) FROM people WHERE email = %s", mail) == [(1,)]


async def test_the_primary_contact_moves(office: Office) -> None:
    place = office.unique("Harbor")
    for rows in ((f"{place},1,,Ana,,,,,yes",), (f"{place},1,,Bo,,,,,yes",)):
        path = await office.preview(file(*rows))
        await office.owner.done(f"{path}/confirm")
    assert [(row[1], row[5]) for row in await owners(office, place)] == [("Ana", False), ("Bo", True)]


async def test_ten_thousand_rows_take_seconds(office: Office) -> None:
    place = office.unique("Lake")
    text = file(
        *(
            f"{place},{n},{n} Road,P {n},{place.replace(' ', '')}{n}@x.example,555010{n:04d},,2020-01-01,yes"
            for n in range(10_000)
        )
    )
    clock = Clock()
    path = await office.preview(text)
    clock.lap("preview of 10,000 lines")
    assert "10,000 new 0 updated 0 unchanged 0 errors" in shown(await office.owner.see(path))
    clock.lap("its page")
    await office.owner.done(f"{path}/confirm")
    clock.lap("import")
    assert len(await owners(office, place)) == 10_000
    again = await office.preview(text)
    assert "0 new 0 updated 10,000 unchanged" in shown(await office.owner.see(again))
    clock.lap("preview of the same file again")
    for page in ("/communities", "/people", "/people?q=p+9999", "/"):
        await office.owner.see(page)
        clock.lap(page)
    assert clock.laps["preview of 10,000 lines"] + clock.laps["import"] < 30
    assert max(clock.laps[page] for page in clock.laps if page.startswith("/")) < 3


class Clock:
    """Measures lap by lap, and prints."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.monotonic()

    def lap(self, name: str) -> None:
        now = time.monotonic()
        self.laps[name], self._last = now - self._last, now
        sys.stdout.write(f"{name}: {self.laps[name]:.2f} s\n")


async def test_what_the_records_hold_already_is_not_made_twice(office: Office) -> None:
    place, mail = office.unique("Harbor"), f"{office.unique('k').replace(' ', '')}@x.example"
    first = await office.preview(file(f"{place},1,,Ana,{mail},,,,", f"{place},2,,Bo,,,,,"))
    await office.owner.done(f"{first}/confirm")
    second = await office.preview(
        file(f"{place.upper()},1,,Ana,{mail.upper()},,,,", f"{place},2,,BO,,5550104477,,,", f"{place},3,,Cy,,,,,")
    )
    assert "1 new 1 updated 1 unchanged 0 errors" in shown(await office.owner.see(second))
    await office.owner.done(f"{second}/confirm")
    assert "Imported 3 lines: 1 new person, 1 new unit, 0 new communities." in shown(await office.owner.see(second))
    assert [row[:2] for row in await owners(office, place)] == [("1", "Ana"), ("2", "BO"), ("3", "Cy")]


async def test_a_file_uploaded_and_confirmed_twice_at_once_is_imported_once(office: Office) -> None:
    place = office.unique("Harbor")
    text = file(*(f"{place},{n},,P {n},,,,," for n in range(20)))
    paths = await asyncio.gather(*(office.preview(text) for _ in range(3)))
    assert len(set(paths)) == 3
    await asyncio.gather(*(office.owner.post(f"{path}/confirm") for path in (*paths, *paths)))
    assert len(await owners(office, place)) == 20
    pages = [shown(await office.owner.see(path)) for path in paths]
    assert sorted("20 new 0 updated 0 unchanged" in page for page in pages) == [False, False, True]
    assert sum("0 new 0 updated 20 unchanged" in page for page in pages) == 2
    assert all("Your homeowners are in" in page for page in pages)


async def test_a_failure_in_the_middle_leaves_nothing(office: Office) -> None:
    """Someone takes an address of the file between preview and confirmation, for a person who once owned the unit."""
    place, mail = office.unique("Harbor"), f"{office.unique('m').replace(' ', '')}@x.example"
    path = await office.preview(file(f"{place},1,,Ana,{mail},,,2020-01-01,", f"{place},2,,Bo,,,,,"))
    community = await office.api("POST", "/communities", {"name": place, "timeZone": "UTC"}, status=201)
    unit = await office.api("POST", f"/communities/{community['id']}/units", {"label": "1"}, status=201)
    await office.own(await office.person(email=mail), unit, validFrom="2018-01-01", validTo="2024-01-01")
    refused = await office.owner.post(f"{path}/confirm")
    assert refused.status_code == 409
    assert "changed since the preview" in refused.text
    assert len(await owners(office, place)) == 1
    again = await office.preview(file(f"{place},1,,Ana,{mail},,,2020-01-01,"))
    assert "owned this unit before, until 2024-01-01" in shown(await office.owner.see(again))


async def test_a_preview_belongs_to_whoever_uploaded_it(office: Office) -> None:
    path = await office.preview(file("H,1,,Ana,,,,,"))
    for method, where in (
        ("get", path),
        ("get", f"{path}/errors.csv"),
        ("post", f"{path}/confirm"),
        ("post", f"{path}/discard"),
    ):
        answer = await getattr(office.manager, method)(where)
        assert answer.status_code == 404
    assert await office.owner.done(f"{path}/discard") == "/imports"
    assert (await office.owner.get(path)).status_code == 404


async def test_what_is_exported_can_be_imported(office: Office) -> None:
    place = office.unique("Harbor")
    path = await office.preview(file(f'{place},1,"1 Way, Town",=HYPERLINK(1),,+1 555 010 4477,@box,2020-01-01,yes'))
    await office.owner.done(f"{path}/confirm")
    exported = (await office.owner.get("/people/export.csv")).text
    line = next(line for line in exported.splitlines() if line.startswith(place))
    assert "'=HYPERLINK(1)" in line
    assert "'+1 555 010 4477" in line
    again = await office.preview(f"{HEADER}\n{line}\n")
    assert "0 new 0 updated 1 unchanged" in shown(await office.owner.see(again))


async def test_one_community_for_the_whole_file(office: Office) -> None:
    community = await office.community()
    path = await office.preview("unit;name\n7;Ana\n", community["id"])
    await office.owner.done(f"{path}/confirm")
    assert [row[:2] for row in await owners(office, community["name"])] == [("7", "Ana")]


async def test_the_template_can_be_uploaded_as_it_is(office: Office) -> None:
    template = (await office.owner.get("/imports/template.csv")).content
    path = await office.preview(template)
    assert "0 errors" in shown(await office.owner.see(path))
    assert office.rows("SELECT created_by IS NOT NULL FROM imports WHERE id = %s", id_of(path)) == [(True,)]


async def test_programs_import_too(office: Office) -> None:
    place, program = office.unique("Harbor"), office.programs["manager"]
    answer = await program.post("/api/v1/imports?filename=x.csv", content=file(f"{place},1,,Ana,,,,,").encode())
    assert answer.status_code == 201, answer.text
    made = answer.json()["import"]
    assert made["counts"]["new"] == 1
    for _ in range(2):
        confirmed = await program.post(f"/api/v1/imports/{made['id']}/confirm")
        assert confirmed.json()["state"] == "Imported"
    assert len(await owners(office, place)) == 1
    refused = await program.post("/api/v1/imports", content=b"unit,name\n1,Ren\xe9\n")
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["line"] == 2

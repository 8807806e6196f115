"""Communities, units, people and what they own from when to when."""

from __future__ import annotations

import asyncio
import re
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from hoa_app.features.kit.moments import today
from hoa_app.features.people import store
from tests.contract.app.browser import PASSWORD
from tests.contract.features.office import hidden, id_of, shown

if TYPE_CHECKING:
    from tests.contract.features.office import Office


async def test_a_community_is_made_changed_and_named_once(office: Office) -> None:
    name = office.unique("Dunes")
    path = await office.owner.done("/communities", {"name": f"  {name} ", "time_zone": "America/Chicago"})
    assert name in await office.owner.see(path)
    taken = await office.owner.post(
        "/communities", {"name": name.upper(), "time_zone": "America/Chicago", "address": "keep me"}
    )
    assert taken.status_code == 422
    assert "There is already a community called" in taken.text
    assert "keep me" in taken.text
    data = {"name": f"{name} East", "time_zone": "UTC/Nowhere", "version": "1"}
    wrong = await office.owner.post(path, data)
    assert wrong.status_code == 422
    assert "Choose a time zone" in wrong.text
    assert await office.owner.done(path, {**data, "time_zone": "America/Denver"}) == path
    stale = await office.owner.post(path, {**data, "time_zone": "America/Denver", "name": "Lost?"})
    assert stale.status_code == 409
    assert 'value="Lost?"' in stale.text
    other = await office.community()
    clash = await office.owner.post(path, {"name": other["name"], "time_zone": "America/Denver", "version": "2"})
    assert clash.status_code == 422


async def test_units_are_listed_as_doors_are_counted(office: Office) -> None:
    community = await office.community()
    for label in ("10", "2", "1A", "1", "B 3", "B 12"):
        await office.owner.done(f"/communities/{community['id']}/units", {"label": label})
    page = await office.owner.see(f"/communities/{community['id']}")
    assert re.findall(r'<a href="/units/[^"]+">([^<]+)</a>', page) == ["1", "1A", "2", "10", "B 3", "B 12"]
    twice = await office.owner.post(f"/communities/{community['id']}/units", {"label": "1a"})
    assert twice.status_code == 422
    assert "already has a unit 1a" in twice.text
    pages, after = [], ""
    while after is not None:
        answer = await office.api("GET", f"/communities/{community['id']}/units?limit=4&after={after}")
        pages += [unit["label"] for unit in answer["items"]]
        after = answer["next"]
    assert pages == ["1", "1A", "2", "10", "B 3", "B 12"]


async def test_a_unit_with_a_history_stays(office: Office) -> None:
    empty, owned = await office.unit(), await office.unit()
    await office.own(await office.person(), owned)
    kept = await office.owner.post(f"/units/{owned['id']}/remove")
    assert kept.status_code == 409
    assert "has a history" in kept.text
    await office.owner.done(f"/units/{empty['id']}/remove")
    assert (await office.owner.get(f"/units/{empty['id']}")).status_code == 404
    saved = await office.owner.done(f"/units/{owned['id']}", {"label": office.unique("New"), "version": "1"})
    assert saved == f"/units/{owned['id']}"
    assert (await office.owner.post(f"/units/{owned['id']}", {"label": "Old", "version": "1"})).status_code == 409


async def test_a_person_needs_a_name_and_an_address_of_their_own(office: Office) -> None:
    mail = f"{uuid4().hex}@x.example"
    path = await office.owner.done("/people", {"name": "Ana", "email": mail.upper()})
    assert mail in await office.owner.see(path)
    for data, says in (
        ({"name": " "}, "Enter the person"),
        ({"name": "B", "email": "nope"}, "does not look like an email"),
        ({"name": "B", "phone": "1"}, "does not look like a phone"),
        ({"name": "B", "email": mail}, "Another person already has this address"),
    ):
        answer = await office.owner.post("/people", data)
        assert answer.status_code == 422
        assert says in answer.text
    assert await office.owner.done(path, {"name": "Ana T", "email": mail, "version": "1"}) == path
    stale = await office.owner.post(path, {"name": "Lost?", "email": mail, "version": "1"})
    assert stale.status_code == 409
    assert 'value="Lost?"' in stale.text


async def test_an_ownership_cannot_overlap_itself(office: Office) -> None:
    person, unit = await office.person(), await office.unit()
    await office.own(person, unit, validFrom="2020-01-01", validTo="2022-01-01")
    await office.own(person, unit, validFrom="2022-01-01")
    body = {"unitId": unit["id"], "validFrom": "2021-06-01", "validTo": "2021-07-01"}
    refused = await office.api("POST", f"/people/{person['id']}/ownerships", body, status=422)
    assert "already owns this unit" in refused["errors"][0]["detail"]
    backwards = {**body, "validTo": "2021-06-01"}
    await office.api("POST", f"/people/{person['id']}/ownerships", backwards, status=422)
    other = await office.person()
    await office.own(other, unit, validFrom="2021-06-01")


async def test_of_two_that_overlap_at_once_the_database_takes_one(office: Office) -> None:
    for _ in range(10):
        person, unit = await office.person(), await office.unit()
        path = f"/api/v1/people/{person['id']}/ownerships"
        body = {"unitId": unit["id"], "validFrom": "2020-01-01"}
        answers = await asyncio.gather(*(office.programs["owner"].post(path, json=body) for _ in range(4)))
        assert sorted(answer.status_code for answer in answers) == [201, 422, 422, 422]


async def test_of_primary_contacts_named_at_once_one_stays(office: Office) -> None:
    unit, people = await office.unit(), [await office.person() for _ in range(4)]
    data = {"unit_id": unit["id"], "valid_from": "2020-01-01", "is_primary": "yes"}
    answers = await asyncio.gather(*(office.owner.post(f"/people/{one['id']}/ownerships", data) for one in people))
    assert [answer.status_code for answer in answers] == [303] * 4
    page = shown(await office.owner.see(f"/units/{unit['id']}"))
    assert all(one["name"] in page for one in people)
    assert page.count("Primary contact") == 1


async def test_two_clicks_make_one_and_lead_to_it(office: Office) -> None:
    key = hidden(await office.owner.see("/people/new"), "submission_key")
    facts = {"name": office.unique("Paul"), "submission_key": key}
    assert len({await clicked(office, "/people", facts) for _ in range(2)}) == 1
    assert office.rows("SELECT count(*) FROM people WHERE name = %s", facts["name"]) == [(1,)]
    other = await office.owner.done("/people", {**facts, "name": office.unique("Paula")})
    assert "Paula" in shown(await office.owner.see(other))

    place = {"name": office.unique("Dunes"), "address": "1 Dune Road", "time_zone": "America/Chicago"}
    path = await clicked(office, "/communities", place)
    assert place["name"] in await office.owner.see(path)
    assert await clicked(office, f"{path}/units", {"label": "1A"}) == path
    unit = (await office.api("GET", f"{path}/units"))["items"][0]

    person = await office.person()
    data = {"unit_id": unit["id"], "valid_from": "2020-01-01", "is_primary": "yes"}
    page = f"/people/{person['id']}"
    assert await clicked(office, f"{page}/ownerships", data) == page
    (ownership,) = (await office.api("GET", f"{page}/ownerships"))["items"]
    assert ownership["isPrimary"]
    assert await clicked(office, f"/ownerships/{ownership['id']}/end", {"valid_to": "2024-05-01"}) == page
    assert "May 1, 2024" in await office.owner.see(page)


async def test_a_second_click_on_save_finds_it_saved(office: Office) -> None:
    person, unit = await office.person(), await office.unit()
    community = f"/communities/{unit['communityId']}"
    name = office.unique("Saved")
    place = {"name": name, "time_zone": "America/Denver", "version": "1"}
    assert await clicked(office, f"/people/{person['id']}", {"name": name, "version": "1"})
    assert await clicked(office, community, place) == community
    assert await clicked(office, f"/units/{unit['id']}", {"label": name, "address": "1 Way", "version": "1"})
    for path in (f"/people/{person['id']}", community, f"/units/{unit['id']}"):
        page = await office.owner.see(f"{path}/edit" if path == community else path)
        assert f'value="{name}"' in page
        assert hidden(page, "version") == "2"
    other = await office.owner.post(community, {**place, "name": f"{name} too"})
    assert other.status_code == 409


async def clicked(office: Office, path: str, data: dict[str, str]) -> str:
    """Press a button three times at once; where every answer leads."""
    answers = await asyncio.gather(*(office.owner.post(path, data) for _ in range(3)))
    assert [answer.status_code for answer in answers] == [303] * 3, [shown(answer.text) for answer in answers]
    (place,) = {answer.headers["location"] for answer in answers}
    return place


async def test_a_unit_has_one_primary_contact(office: Office) -> None:
    ana, bob, unit = await office.person(), await office.person(), await office.unit()
    first = await office.own(ana, unit, isPrimary=True)
    second = await office.own(bob, unit, isPrimary=True)
    assert (await office.api("GET", f"/ownerships/{first['id']}"))["isPrimary"] is False
    await office.owner.done(f"/ownerships/{first['id']}/primary")
    assert (await office.api("GET", f"/ownerships/{second['id']}"))["isPrimary"] is False
    assert (await office.api("GET", f"/ownerships/{first['id']}"))["isPrimary"] is True


async def test_an_ownership_ends_and_stays_in_the_history(office: Office) -> None:
    person, unit = await office.person(), await office.unit()
    ownership = await office.own(person, unit, isPrimary=True)
    early = await office.owner.post(f"/ownerships/{ownership['id']}/end", {"valid_to": "2019-01-01"})
    assert early.status_code == 422
    assert "The end must be after" in early.text
    await office.owner.done(f"/ownerships/{ownership['id']}/end", {"valid_to": "2024-05-01"})
    assert (
        await office.owner.post(f"/ownerships/{ownership['id']}/end", {"valid_to": "2025-05-01"})
    ).status_code == 409
    assert (await office.owner.post(f"/ownerships/{ownership['id']}/primary")).status_code == 409
    (kept,) = (await office.api("GET", f"/people/{person['id']}/ownerships"))["items"]
    assert (kept["validTo"], kept["current"], kept["isPrimary"]) == ("2024-05-01", False, False)
    assert (await office.api("GET", f"/people/{person['id']}"))["units"] == []
    assert "May 1, 2024" in await office.owner.see(f"/units/{unit['id']}")


async def test_everybody_is_on_exactly_one_page_in_the_order_of_a_register(office: Office) -> None:
    word = uuid4().hex[:10]
    made = [
        await office.person(name=f"{name} {word}") for name in ("ana", "Bo", "Ágnes", "ana", "Žofie", "bo", "C'mon")
    ]
    seen, after = [], ""
    while after is not None:
        answer = await office.api("GET", f"/people?q={word}&limit=2&after={after}")
        seen += answer["items"]
        after = answer["next"]
    assert sorted(person["id"] for person in seen) == sorted(person["id"] for person in made)
    assert [person["name"].split()[0] for person in seen] == ["Ágnes", "ana", "ana", "bo", "Bo", "C'mon", "Žofie"]


def test_the_list_goes_on_where_an_index_says(office: Office) -> None:
    """Else who turns to page 1000 waits for 50 000 people to be looked at, and row-level security rules most indexes out."""
    last = f"('M', '{uuid4()}')"
    with office.tenant.as_app() as connection:
        connection.execute("SET enable_seqscan = off")
        connection.execute("SET enable_sort = off")
        query = f"EXPLAIN SELECT FROM people p WHERE ({store.BY_NAME}) > {last} ORDER BY {store.BY_NAME}"
        plan = "\n".join(row[0] for row in connection.execute(query))
    assert re.search(r"Index.* Scan using people_order .*\n +Index Cond: \(ROW\(", plan), plan


async def test_the_search_takes_every_word_literally(office: Office) -> None:
    word = uuid4().hex[:10]
    await office.person(name=f"Percy 100%_{word}", phone="(555) 010-9876")
    for query, found in (
        (f"percy {word}", 1),
        ("%25_" + word, 1),
        (f"{word} 9876", 1),
        (f"{word} nobody", 0),
        (f"1000%25{word}", 0),
    ):
        listed = await office.api("GET", f"/people?q={query}")
        assert len(listed["items"]) == found, query
    person, unit = await office.person(), await office.unit()
    await office.own(person, unit)
    listed = await office.api("GET", f"/people?q={unit['label'].split()[-1]}&community={unit['communityId']}")
    assert [item["id"] for item in listed["items"]] == [person["id"]]


async def test_the_search_takes_capitals_for_small_letters(office: Office) -> None:
    word = uuid4().hex[:10]
    person = await office.person(name=f"Éva {word}", email=f"{word}@x.example", phone="555 010 9876 X12")
    community = await office.api("POST", "/communities", {"name": f"Été {word}", "timeZone": "UTC"}, status=201)
    path = f"/communities/{community['id']}/units"
    await office.own(person, await office.api("POST", path, {"label": f"Tower Ä{word}"}, status=201))
    for query, found in (
        (f"ÉVA {word}", 1),
        (f"{word.upper()}@X", 1),
        (f"x12 {word}", 1),
        (f"éTÉ {word}", 1),
        (f"ä{word}", 1),
        (f"TOWER {word}", 1),
        (f"ower {word}", 0),
    ):
        listed = await office.api("GET", f"/people?q={query}")
        assert len(listed["items"]) == found, query


async def test_an_invited_homeowner_becomes_the_person(office: Office) -> None:
    mail = f"{uuid4().hex}@x.example"
    person = await office.person(email=mail)
    await office.own(person, await office.unit())
    await office.owner.done(f"/people/{person['id']}/invite")
    assert "Invited just now" in shown(await office.owner.see(f"/people/{person['id']}"))
    await office.owner.done(f"/people/{person['id']}/invite")
    open_ones = office.rows("SELECT id FROM invitations WHERE email = %s AND revoked_at IS NULL", mail)
    assert len(open_ones) == 1
    office.rows(
        "UPDATE invitations SET token_hash = sha256('a-known-token') WHERE id = %s RETURNING 1", open_ones[0][0]
    )
    visitor = office.site.browser(office.tenant)
    accepted = await visitor.post(
        "/invitation/a-known-token", {"name": "Ana T", "password": PASSWORD, "repeat": PASSWORD, "consent": "yes"}
    )
    assert accepted.status_code == 303, accepted.text
    home = shown((await visitor.get("/")).text)
    assert "Hello, Ana" in home
    assert person["name"] not in home
    assert "My home" in home
    record = await office.api("GET", f"/people/{person['id']}")
    assert (record["portal"], len(record["units"])) == ("Active", 1)
    again = await office.owner.post(f"/people/{person['id']}/invite")
    assert again.status_code == 409
    assert (await visitor.get("/people")).status_code == 403


async def test_nobody_without_an_address_is_invited(office: Office) -> None:
    person = await office.person()
    answer = await office.owner.post(f"/people/{person['id']}/invite")
    assert answer.status_code == 422
    assert "Add an email address" in answer.text


async def test_staff_is_invited_by_those_who_may(office: Office) -> None:
    mail = f"{uuid4().hex}@x.example"
    data = {"name": "Mia", "email": mail, "role": "board"}
    assert await office.manager.done("/team/invitations", data) == "/team"
    page = await office.manager.see("/team")
    assert mail in page
    assert 'value="owner"' not in page
    refused = await office.manager.post("/team/invitations", {**data, "role": "owner", "email": f"x{mail}"})
    assert refused.status_code == 422
    known = await office.manager.post("/team/invitations", {**data, "email": "board@seabreeze.example"})
    assert known.status_code == 422
    assert "has an account already" in known.text
    (row,) = office.rows("SELECT id FROM invitations WHERE email = %s", mail)
    await office.manager.done(f"/team/invitations/{row[0]}/withdraw")
    assert f"The link that {mail} got no longer works." in await office.manager.see("/team")
    assert mail not in await office.manager.see("/team")
    assert (await office.manager.post(f"/team/invitations/{row[0]}/withdraw")).status_code == 404


async def test_the_time_zone_moves_every_instant(office: Office) -> None:
    path = await office.owner.done("/requests", {"category": "Question", "title": "When?", "description": "d"})
    office.rows("UPDATE requests SET created_at = '2026-01-15T20:30:00Z' WHERE id = %s RETURNING 1", id_of(path))
    for zone, says in (("America/New_York", "Jan 15, 2026, 3:30 PM"), ("Pacific/Honolulu", "Jan 15, 2026, 10:30 AM")):
        await office.owner.done("/settings", {"time_zone": zone})
        page = await office.owner.see(path)
        assert says in page
        assert 'title="2026-01-15 20:30 UTC"' in page
    wrong = await office.owner.post("/settings", {"time_zone": "Mars/Base"})
    assert wrong.status_code == 422


async def test_the_audit_log_names_who_did_what(office: Office) -> None:
    community = await office.community()
    page = shown(await office.owner.see("/audit"))
    assert "The chain holds" in page
    assert f"owner@seabreeze.example communities.created name: {community['name']}" in page


async def test_the_operator_counts_those_who_own_today(office: Office) -> None:
    def counted() -> int:
        with office.tenant.as_admin() as connection:
            row = connection.execute("SELECT homeowners FROM hoa_usage").fetchone()
        assert row is not None
        return int(row[0])

    before = counted()
    person = await office.person()
    await office.own(person, await office.unit())
    await office.own(person, await office.unit())
    past = await office.person()
    await office.own(past, await office.unit(), validTo="2021-01-01")
    assert counted() == before + 1


@pytest.mark.parametrize("after", ["broken", "WyJhIl0", "WyJhIiwiYiJd"])
async def test_damaged_page_links_are_bad_requests(office: Office, after: str) -> None:
    for path in ("/people", "/communities", "/requests", "/audit"):
        answer = await office.owner.get(f"{path}?after={after}")
        assert answer.status_code == 400, path
        assert "page link is damaged" in answer.text


async def test_today_is_the_day_where_the_home_stands(office: Office) -> None:
    """Kiritimati and Pago Pago are 25 hours apart: whatever the server's day is, one of them has another one."""

    async def at_home() -> int:
        page = (await office.owner.get("/")).text
        found = re.search(r'<b>([\d,]+)</b><span><a href="/people">homeowner', page)
        assert found, page
        return int(found[1].replace(",", ""))

    for zone in ("Pacific/Kiritimati", "Pacific/Pago_Pago"):
        before = await at_home()
        body = {"name": office.unique("Atoll"), "timeZone": zone}
        community = await office.api("POST", "/communities", body, status=201)
        leaving, coming, later = [await office.person() for _ in range(3)]
        unit = await office.unit(community)
        day = today(zone)
        begin, end = (day - timedelta(days=9)).isoformat(), day.isoformat()
        await office.own(leaving, unit, validFrom=begin, validTo=end)
        await office.own(coming, unit, validFrom=end)
        await office.own(later, unit, validFrom=(day + timedelta(days=1)).isoformat())
        owners = await office.api("GET", f"/units/{unit['id']}")
        listed = await office.api("GET", f"/people?community={community['id']}")
        found = await office.api("GET", f"/people?q={unit['label'].split()[-1]}&community={community['id']}")
        person = await office.api("GET", f"/people/{coming['id']}")
        history = await office.api("GET", f"/people/{leaving['id']}/ownerships")
        place = await office.api("GET", f"/communities/{community['id']}")
        exported = (await office.owner.get("/people/export.csv")).text
        counted = await at_home()
        if today(zone) != day:
            pytest.skip("midnight passed there while the test ran")
        assert owners["owners"] == [coming["name"]], zone
        assert [one["name"] for one in listed["items"]] == [coming["name"]]
        assert [one["name"] for one in found["items"]] == [coming["name"]]
        assert person["units"] == [f"{community['name']} {unit['label']}"]
        assert [one["current"] for one in history["items"]] == [False]
        assert (place["homeowners"], counted) == (1, before + 1)
        assert [line.split(",")[3] for line in exported.splitlines() if community["name"] in line] == [coming["name"]]

"""An admin's first hour: from the invitation, led by the hand, to homeowners who are invited."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

import pytest_asyncio

from tests.contract.app.browser import PASSWORD, invite
from tests.contract.app.conftest import serving
from tests.contract.app.workers import eventually
from tests.contract.features.office import Office, Visitor, hidden, shown
from tests.contract.features.pages import faults

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.contract.app.platform import Platform


@pytest_asyncio.fixture
async def fresh(platform: Platform) -> AsyncIterator[Office]:
    """A company on the day it was made: nobody has been there."""
    tenant = platform.make_tenant(f"fresh{len(platform.tenants)}")
    async with serving(platform) as site:
        yield Office(site, tenant)


async def admitted(fresh: Office, role: str = "owner") -> Visitor:
    """Someone who has followed their invitation and chosen a password."""
    browser = fresh.site.browser(fresh.tenant)
    invite(fresh.tenant, f"{role}.new@x.example", role, f"token-of-{role}")
    answer = await browser.post(
        f"/invitation/token-of-{role}", {"name": "Ina", "password": PASSWORD, "repeat": PASSWORD, "consent": "yes"}
    )
    assert answer.status_code == 303, answer.text
    assert answer.headers["location"] == "/"
    visitor = Visitor(browser, await browser.token("/"))
    fresh.visitors[role] = visitor
    return visitor


def next_link(page: str) -> tuple[str, str]:
    """Where the guide's button leads, and what it says."""
    found = re.search(r'<a class="btn btn-primary" href="([^"]+)">([^<]+)</a></p>', page)
    assert found, shown(page)
    return found[1], found[2]


async def test_the_guide_leads_from_the_invitation_to_invited_homeowners(fresh: Office) -> None:
    ina = await admitted(fresh)
    page = await ina.see("/")
    assert faults(page) == []
    assert "5 steps to a running portal" in shown(page)
    assert "All caught up" not in page
    assert next_link(page) == ("/settings", "Look it over")
    assert "Your brand" in await ina.see("/settings")

    assert await ina.done("/settings", {"time_zone": "America/Chicago"}) == "/"
    page = await ina.see("/")
    assert "Setting up: 1 of 5 done" in shown(page)
    assert next_link(page) == ("/communities/new", "Add a community")

    place = await ina.done("/communities", {"name": "Harbor Point", "time_zone": "America/Chicago"})
    assert "Import homeowners" in await ina.see(place)
    assert next_link(await ina.see("/")) == ("/imports", "Import homeowners")
    assert "No homeowners yet Bring them in first" in shown(await ina.see("/people/invite"))

    path = await fresh.preview(
        "community,unit,name,email\nHarbor Point,1,Ana,ana@x.example\nHarbor Point,2,Bo,\nHarbor Point,3,Cy,cy@x.example\n"
    )
    await ina.done(f"{path}/confirm")
    page = await ina.see(path)
    assert 'href="/people/invite"' in page
    assert next_link(await ina.see("/")) == ("/people/invite", "Invite homeowners")

    page = await ina.see("/people/invite")
    assert faults(page) == []
    assert "2 homeowners have an email address and no invitation yet." in shown(page)
    assert "Send 2 invitations" in shown(page)
    assert await ina.done("/people/invite", {"waiting": "2"}) == "/people"
    page = await ina.see("/people")
    assert "2 invitations are on the way." in shown(page)
    assert page.count("Invited</span>") == 2
    assert "Nobody is waiting for an invitation" in shown(await ina.see("/people/invite"))

    assert next_link(await ina.see("/")) == ("/team", "Invite someone")
    await ina.done("/team/invitations", {"name": "Mo", "email": "mo@x.example", "role": "manager"})
    page = shown(await ina.see("/"))
    assert "Setting up" not in page
    assert "steps to" not in page
    assert "All caught up" in page
    assert await ina.done("/settings", {"time_zone": "America/Chicago"}) == "/settings"


async def test_the_guide_can_be_put_away(fresh: Office) -> None:
    ina = await admitted(fresh)
    assert "Put this guide away" not in await ina.see("/")
    await ina.done("/communities", {"name": "Harbor Point", "time_zone": "America/Chicago"})
    assert "Put this guide away" in await ina.see("/")
    assert await ina.done("/guide/hide") == "/"
    page = shown(await ina.see("/"))
    assert "The guide is put away." in page
    assert "Setting up" not in page


async def test_each_role_is_shown_only_the_steps_it_may_take(fresh: Office) -> None:
    manager, board = await admitted(fresh, "manager"), await admitted(fresh, "board")
    page = await manager.see("/")
    assert "4 steps to a running portal" in shown(page)
    assert 'href="/settings"' not in page
    page = await board.see("/")
    assert "your company is still setting up its portal" in shown(page)
    assert "steps to" not in page
    assert faults(page) == []


async def test_many_are_invited_in_portions_and_each_once(fresh: Office) -> None:
    ina = await admitted(fresh)
    rows = "".join(f"Harbor Point,{n},P {n},p{n}@many.example\n" for n in range(250))
    path = await fresh.preview(f"community,unit,name,email\n{rows}Palm Court,1,Zoe,zoe@many.example\n")
    await ina.done(f"{path}/confirm")
    page = await ina.see("/people/invite")
    assert "Send 200 invitations" in shown(page)
    palm = re.findall(r'<option value="([^"]+)">Palm Court', page)[0]
    assert "Send 1 invitation " in shown(await ina.see(f"/people/invite?community={palm}"))
    assert await ina.done(f"/people/invite?community={palm}", {"waiting": "1"}) == "/people"

    waiting = {"waiting": hidden(await ina.see("/people/invite"), "waiting")}
    assert waiting == {"waiting": "250"}
    answers = await asyncio.gather(*(ina.post("/people/invite", waiting) for _ in range(3)))
    assert {answer.status_code for answer in answers} == {303}
    assert "200 of them were invited a moment ago, and nobody twice. 50 more can be sent." in shown(
        await ina.see("/people/invite")
    )
    invited = "SELECT count(*), count(DISTINCT email) FROM invitations WHERE email LIKE '%%@many.example'"
    queued = "SELECT count(*) FROM outbox WHERE kind = 'mail.invitation' AND dedupe_key LIKE 'invitation:%%'"
    assert fresh.rows(invited) == [(201, 201)]
    assert "Send 50 invitations" in shown(await ina.see("/people/invite"))
    await ina.done("/people/invite", {"waiting": "50"})
    assert fresh.rows(invited) == [(251, 251)]
    assert fresh.rows(queued) == [(251,)]
    assert await ina.done("/people/invite", {"waiting": "50"}) == "/people"
    assert "Everyone with an email address is invited already." in shown(await ina.see("/people"))


async def test_one_who_is_invited_at_that_moment_holds_up_nobody_else(fresh: Office) -> None:
    ina = await admitted(fresh)
    rows = "".join(f"Harbor Point,{n},P {n},p{n}@held.example\n" for n in range(3))
    path = await fresh.preview("community,unit,name,email\n" + rows)
    await ina.done(f"{path}/confirm")
    waits = (
        "SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'transactionid'"
    )
    with fresh.tenant.as_admin() as other:
        with other.transaction():
            other.execute("INSERT INTO invitations (email, name, role) VALUES ('p1@held.example', 'P', 'board')")
            sending = asyncio.create_task(ina.done("/people/invite", {"waiting": "3"}))
            await eventually(lambda: fresh.rows(waits) == [(True,)])
        assert await sending == "/people"
    page = shown(await ina.see("/people"))
    assert "2 invitations are on the way. Not invited, open their pages to see why: P 1." in page


async def test_a_call_is_noted_from_the_homeowners_page(office: Office) -> None:
    _, person, unit = await office.homeowner("called")
    page = await office.manager.see(f"/people/{person['id']}")
    assert f'href="/requests/new?person={person["id"]}"' in page
    form = shown(await office.manager.see(f"/requests/new?person={person['id']}"))
    assert f"New request for {person['name']}" in form
    assert f"For {unit['community']} {unit['label']}" in form
    assert "For a homeowner who called" in shown(await office.manager.see("/requests/new"))


async def test_a_search_finds_people_by_their_community(office: Office) -> None:
    _, person, unit = await office.homeowner("found")
    community, name = unit["community"].split()[-1], person["name"].replace(" ", "+")
    assert person["name"] in shown(await office.manager.see(f"/people?q={name}+{community}"))
    assert "Nobody found" in shown(await office.manager.see(f"/people?q={name}+Nowhere"))

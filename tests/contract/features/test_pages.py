"""Every page can be used by everyone, and asks for nothing that its security policy forbids."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.contract.features.office import PNG
from tests.contract.features.pages import faults

if TYPE_CHECKING:
    from tests.contract.features.office import Office

STAFF = (
    "/",
    "/requests",
    "/requests/new",
    "/people",
    "/people/new",
    "/people/invite",
    "/communities",
    "/communities/new",
    "/imports",
    "/team",
    "/settings",
    "/audit",
    "/account",
    "/nowhere",
)


@pytest.mark.parametrize("path", STAFF)
@pytest.mark.parametrize("role", ["owner", "manager", "board", "homeowner"])
async def test_pages_are_sound(office: Office, path: str, role: str) -> None:
    answer = await office.visitors[role].get(path)
    assert faults(answer.text) == []


async def test_pages_of_one_thing_are_sound(office: Office) -> None:
    person, unit = await office.person(email="sound@x.example"), await office.unit()
    ownership = await office.own(person, unit)
    await office.own(await office.person(), unit, isPrimary=True)
    filed = {"category": "Question", "title": "t", "description": "d"}
    request = await office.manager.done("/requests", filed, [("photos", ("a.png", PNG, "image/png"))])
    await office.manager.done(f"{request}/reply", {"body": "Hello", "visibility": "Internal"})
    good = await office.preview("community,unit,name,notes\nNew place,1,Ana,x\n")
    bad = await office.preview("community,unit,name,email\nH,1,Ana,nope\n")
    for path in (
        f"/people/{person['id']}",
        f"/people/{person['id']}?community={unit['communityId']}",
        f"/communities/{unit['communityId']}",
        f"/communities/{unit['communityId']}/edit",
        f"/units/{unit['id']}",
        request,
        good,
        bad,
        f"/requests/new?person={person['id']}",
    ):
        assert faults(await office.owner.see(path)) == [], path
    await office.owner.done(f"{good}/confirm")
    assert faults(await office.owner.see(good)) == []
    for path, data in (
        ("/people", {"email": "x"}),
        ("/communities", {}),
        (f"/communities/{unit['communityId']}/units", {}),
        (f"/units/{unit['id']}", {"version": "1"}),
        (f"/people/{person['id']}", {"version": "1"}),
        (f"/people/{person['id']}/ownerships?community={unit['communityId']}", {"valid_from": "x"}),
        (f"/ownerships/{ownership['id']}/end", {}),
        ("/requests", {}),
        (f"{request}/reply", {}),
        ("/team/invitations", {}),
        ("/settings", {}),
    ):
        answer = await office.owner.post(path, data)
        assert answer.status_code == 422, path
        assert faults(answer.text) == [], path


@pytest.mark.parametrize("path", ["/sign-in", "/forgot-password", "/invitation/unknown"])
async def test_the_doors_are_sound(office: Office, path: str) -> None:
    answer = await office.site.browser(office.tenant).get(path)
    assert faults(answer.text) == []


async def test_the_stylesheet_has_the_companys_colors(office: Office) -> None:
    first = await office.owner.get("/assets/brand.css")
    assert first.headers["content-type"].startswith("text/css")
    assert "--brand:#123456" in first.text
    again = await office.owner.client.get("/assets/brand.css", headers={"if-none-match": first.headers["etag"]})
    assert again.status_code == 304
    assert again.text == ""


async def test_every_asset_a_page_names_is_there(office: Office) -> None:
    page = await office.owner.see("/")
    assets = set(re.findall(r'(?:href|src)="(/assets/[^"#]+)', page))
    assert {"/assets/app.css", "/assets/brand.css", "/assets/icons.svg"} <= assets
    for asset in assets:
        assert (await office.owner.get(asset)).status_code == 200, asset
    icons = (await office.owner.get("/assets/icons.svg")).text
    for name in set(re.findall(r"icons\.svg#([\w-]+)", page)):
        assert f'id="{name}"' in icons


@pytest.mark.parametrize(
    ("agent", "says"),
    [
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605 Version/19.0 Safari/604",
            "Safari on an iPhone",
        ),
        (
            "Mozilla/5.0 (Linux; Android 16) AppleWebKit/537 Chrome/150.0 Mobile Safari/537",
            "Chrome on an Android phone",
        ),
        ("Mozilla/5.0 (Windows NT 10.0; Win64) AppleWebKit/537 Chrome/150.0 Safari/537 Edg/150.0", "Edge on Windows"),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 15.1; rv:150.0) Gecko/20100101 Firefox/150.0", "Firefox on a Mac"),
        ("curl/8.9", "curl/8.9"),
        ("", "Unknown device"),
    ],
)
def test_a_device_is_called_what_people_call_it(office: Office, agent: str, says: str) -> None:
    ui = office.site.services.templates.get_template("ui.html").make_module({})
    assert str(ui.device(agent)).strip() == says  # type: ignore[attr-defined]


async def test_a_word_too_many_is_told_with_the_field(office: Office) -> None:
    answer = await office.manager.post("/requests", {"category": "Question", "title": "x" * 141, "description": "d"})
    assert "At most 140 characters fit into a short title; this is 141." in answer.text

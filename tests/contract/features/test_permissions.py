"""Who may do what: every page and every operation of the features, for every role; and things of others are not there."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from starlette.routing import Route

from hoa_app.features import FEATURES
from hoa_app.identity.api import OPERATIONS as SPINE
from hoa_app.identity.roles import Role
from tests.contract.features.office import PNG, ROLES

if TYPE_CHECKING:
    from tests.contract.features.office import Office

PAGES = {
    "GET /": None,
    "POST /guide/hide": "settings:write",
    "GET /requests": "requests:read",
    "POST /requests": "requests:create",
    "GET /requests/new": "requests:create",
    "GET /requests/{id:uuid}": "requests:read",
    "POST /requests/{id:uuid}/reply": "requests:read",
    "POST /requests/{id:uuid}/assign": "requests:write",
    "POST /requests/{id:uuid}/photos": "requests:create",
    "GET /requests/{id:uuid}/photos/{photo:uuid}": "requests:read",
    "POST /requests/{id:uuid}/photos/{photo:uuid}/remove": "requests:write",
    "GET /people": "people:read",
    "POST /people": "people:write",
    "GET /people/new": "people:write",
    "GET /people/export.csv": "people:read",
    "GET /people/invite": "users:invite",
    "POST /people/invite": "users:invite",
    "GET /people/{id:uuid}": "people:read",
    "POST /people/{id:uuid}": "people:write",
    "POST /people/{id:uuid}/ownerships": "people:write",
    "POST /people/{id:uuid}/invite": "users:invite",
    "POST /ownerships/{id:uuid}/end": "people:write",
    "POST /ownerships/{id:uuid}/primary": "people:write",
    "GET /communities": "communities:read",
    "POST /communities": "communities:write",
    "GET /communities/new": "communities:write",
    "GET /communities/{id:uuid}": "communities:read",
    "POST /communities/{id:uuid}": "communities:write",
    "GET /communities/{id:uuid}/edit": "communities:write",
    "POST /communities/{id:uuid}/units": "communities:write",
    "GET /units/{id:uuid}": "communities:read",
    "POST /units/{id:uuid}": "communities:write",
    "POST /units/{id:uuid}/remove": "communities:write",
    "GET /imports": "imports:run",
    "POST /imports": "imports:run",
    "GET /imports/template.csv": "imports:run",
    "GET /imports/{id:uuid}": "imports:run",
    "POST /imports/{id:uuid}/confirm": "imports:run",
    "POST /imports/{id:uuid}/discard": "imports:run",
    "GET /imports/{id:uuid}/errors.csv": "imports:run",
    "GET /team": "users:read",
    "POST /team/{id:uuid}": "users:write",
    "POST /team/invitations": "users:invite",
    "POST /team/invitations/{id:uuid}/withdraw": "users:invite",
    "GET /settings": "settings:write",
    "POST /settings": "settings:write",
    "GET /audit": "audit:read",
}
#: All of the API but signing in and out; those of the spine ask for a permission, or only for somebody signed in.
OPERATIONS = [
    *(operation for feature in FEATURES for operation in feature.operations),
    *(operation for operation in SPINE if operation.path != "/session"),
]


def routes() -> set[str]:
    found = set()
    for feature in FEATURES:
        for route in feature.routes:
            assert isinstance(route, Route)
            found |= {f"{method} {route.path}" for method in (route.methods or ()) if method != "HEAD"}
    return found - {"GET /assets/brand.css"}


def filled(path: str) -> str:
    return re.sub(r"\{\w+:uuid\}", lambda _: str(uuid4()), path)


def test_the_table_names_every_page() -> None:
    assert routes() == set(PAGES)


@pytest.mark.parametrize("page", PAGES)
async def test_pages_open_to_those_who_may(office: Office, page: str) -> None:
    method, path = page.split(" ")
    for role in ROLES:
        visitor = office.visitors[role]
        answer = await (visitor.get(filled(path)) if method == "GET" else visitor.post(filled(path)))
        permission = PAGES[page]
        if permission is None or permission in Role(role).permissions:
            assert answer.status_code in (200, 303, 404, 422), (role, answer.text)
        else:
            assert answer.status_code == 403, (role, answer.status_code)


@pytest.mark.parametrize("page", PAGES)
async def test_strangers_are_asked_to_sign_in(office: Office, page: str) -> None:
    method, path = page.split(" ")
    browser = office.site.browser(office.tenant)
    answer = await (browser.get(filled(path)) if method == "GET" else browser.post(filled(path), {}, "/sign-in"))
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/sign-in")


@pytest.mark.parametrize("page", [page for page in PAGES if page.startswith("POST")])
async def test_forms_of_other_sites_are_refused(office: Office, page: str) -> None:
    answer = await office.owner.client.post(filled(page.split(" ")[1]), data={"csrf_token": "0" * 64})
    assert answer.status_code == 403
    assert "can no longer be sent" in answer.text


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
async def test_operations_answer_those_who_may(office: Office, operation: object) -> None:
    method, path, permission = operation.method, filled(operation.path), operation.permission  # type: ignore[attr-defined]
    stranger = await office.site.client(office.tenant.host).request(method, f"/api/v1{path}", json={})
    assert stranger.status_code == 401
    for role in ROLES:
        answer = await office.programs[role].request(method, f"/api/v1{path}", json={})
        if permission is None or permission in Role(role).permissions:
            assert answer.status_code in (200, 201, 404, 422), (role, answer.text)
        else:
            assert answer.status_code == 403, (role, answer.text)
            assert answer.headers["content-type"] == "application/problem+json"


async def test_what_another_company_has_is_not_there(office: Office, other_office: Office) -> None:
    unit, person = await other_office.unit(), await other_office.person()
    ownership = await other_office.own(person, unit)
    request = await other_office.request()
    imported = await other_office.preview("community,unit,name\nH,1,Ana\n")
    for path in (
        f"/communities/{unit['communityId']}",
        f"/communities/{unit['communityId']}/edit",
        f"/units/{unit['id']}",
        f"/people/{person['id']}",
        f"/requests/{request['id']}",
        imported,
        f"{imported}/errors.csv",
    ):
        assert (await other_office.owner.get(path)).status_code == 200, path
        assert (await office.owner.get(path)).status_code == 404, path
    for path in (
        f"/communities/{unit['communityId']}",
        f"/communities/{unit['communityId']}/units",
        f"/units/{unit['id']}",
        f"/people/{person['id']}",
        f"/people/{person['id']}/ownerships",
        f"/ownerships/{ownership['id']}",
        f"/requests/{request['id']}",
        f"/requests/{request['id']}/comments",
    ):
        await other_office.api("GET", path)
        await office.api("GET", path, status=404)


async def test_what_another_company_has_cannot_be_named_either(office: Office, other_office: Office) -> None:
    unit, person = await other_office.unit(), await other_office.person()
    own_person = await office.person()
    body = {"unitId": unit["id"], "validFrom": "2020-01-01"}
    await office.api("POST", f"/people/{own_person['id']}/ownerships", body, status=422)
    filed = {"category": "Question", "title": "t", "description": "d"}
    await office.api("POST", "/requests", {**filed, "unitId": unit["id"]}, status=404)
    await office.api("POST", "/requests", {**filed, "personId": person["id"]}, status=404)
    listed = await office.api("GET", f"/people?community={unit['communityId']}")
    assert listed["items"] == []


async def test_a_homeowner_sees_their_own_requests_only(office: Office) -> None:
    ana, _, _ = await office.homeowner("ana.own")
    await office.homeowner("bob.own")
    bob = office.visitors["bob.own"]
    filed = {"category": "Question", "title": "Mine alone", "description": "d"}
    path = await ana.done("/requests", filed, [("photos", ("a.png", PNG, "image/png"))])
    photo = re.findall(rf'src="({path}/photos/[^"]+)"', await ana.see(path))[0]
    assert (await ana.get(photo)).status_code == 200
    assert (await office.manager.get(photo)).status_code == 200
    assert (await bob.get(path)).status_code == 404
    assert (await bob.get(photo)).status_code == 404
    assert (await bob.post(f"{path}/reply", {"body": "hello"})).status_code == 404
    assert (await bob.post(f"{path}/photos", files=[("photos", ("a.png", PNG, "image/png"))])).status_code == 404
    assert "Mine alone" not in await bob.see("/requests")
    assert "Mine alone" not in await bob.see("/")
    for listed in ("/requests", "/requests?q=Mine"):
        assert (await office.api("GET", listed, role="bob.own"))["items"] == []
    await office.api("GET", path, role="bob.own", status=404)
    await office.api("GET", photo, role="bob.own", status=404)
    assert (await office.programs["ana.own"].get(f"/api/v1{photo}")).headers["content-type"] == "image/png"


async def test_a_photo_is_found_under_its_own_request_only(office: Office) -> None:
    filed = {"category": "Question", "title": "one", "description": "d"}
    first = await office.manager.done("/requests", filed, [("photos", ("a.png", PNG, "image/png"))])
    second = await office.manager.done("/requests", filed)
    photo = re.findall(rf'src="{first}/photos/([^"]+)"', await office.manager.see(first))[0]
    assert (await office.manager.get(f"{second}/photos/{photo}")).status_code == 404

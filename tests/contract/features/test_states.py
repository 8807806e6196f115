"""ReadOnly and Suspended through the real app and database: every way to write gives the same clear answer, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import pytest_asyncio

from tests.contract.app.browser import eventually
from tests.contract.app.conftest import serving
from tests.contract.features.office import PNG, Office
from tests.contract.features.test_permissions import OPERATIONS, PAGES, filled

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.contract.app.platform import Platform

FILED = {"category": "Maintenance", "title": "The gate is broken", "description": "Since Monday."}
TITLE = "This portal is read-only for now"
DETAIL = "nothing can be changed until your provider lifts the restriction"
WRITING_PAGES = [page for page in PAGES if page.startswith("POST")]
READING_PAGES = [page.split()[1] for page in PAGES if page.startswith("GET") and "{" not in page]
WRITING = [operation for operation in OPERATIONS if operation.method != "GET"]


@pytest_asyncio.fixture(scope="module")
async def company(platform: Platform) -> AsyncIterator[Office]:
    """A company of its own, whose state the tests change."""
    tenant = platform.make_tenant("tidewater")
    async with serving(platform) as site:
        yield await Office.open(site, tenant)


@pytest_asyncio.fixture
async def frozen(company: Office) -> AsyncIterator[Office]:
    """The company while it is ReadOnly."""
    await becomes(company, "ReadOnly")
    yield company
    await becomes(company, "Active")


async def becomes(company: Office, state: str) -> None:
    """Have the operator bring the tenant to a state, and wait until the app knows."""
    company.tenant.set_state(state)
    registry = company.site.services.registry

    def known() -> bool:
        tenant = registry.get(company.tenant.id)
        return tenant is not None and tenant.state == state

    await eventually(known)


async def test_every_form_gives_the_same_page(frozen: Office) -> None:
    for page in WRITING_PAGES:
        answer = await frozen.owner.post(filled(page.split()[1]))
        assert answer.status_code == 403, page
        assert f"<h1>{TITLE}</h1>" in answer.text, page
        assert DETAIL in answer.text, page


async def test_every_operation_gives_the_same_problem_document(frozen: Office) -> None:
    for operation in WRITING:
        answer = await frozen.programs["owner"].request(operation.method, f"/api/v1{filled(operation.path)}", json={})
        assert answer.headers["content-type"] == "application/problem+json", operation.name
        body = answer.json()
        assert (answer.status_code, body["title"]) == (403, TITLE), operation.name
        assert DETAIL in body["detail"]


async def test_an_upload_gives_it_too_and_leaves_no_file(frozen: Office) -> None:
    answer = await frozen.owner.post("/requests", FILED, [("photos", ("a.png", PNG, "image/png"))])
    assert (answer.status_code, TITLE in answer.text) == (403, True)
    assert frozen.rows("SELECT count(*) FROM request_photos") == [(0,)]


async def test_everything_can_be_read(frozen: Office) -> None:
    for path in READING_PAGES:
        answer = await frozen.owner.get(path)
        assert answer.status_code == 200, (path, answer.text)


async def test_the_database_holds_it_although_the_app_does_not_know_yet(company: Office) -> None:
    """The moment between the database's change and the registry's: the same answer, from the database."""
    company.tenant.platform.make_database(company.tenant, read_only=True)
    try:
        with company.tenant.as_app() as app:
            app.execute("SET default_transaction_read_only = off")
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                app.execute("UPDATE users SET name = name")
        answer = await company.owner.post("/requests", FILED)
        assert (answer.status_code, TITLE in answer.text) == (403, True)
        body = {"category": "Question", "title": "t", "description": "d"}
        document = await company.programs["owner"].post("/api/v1/requests", json=body)
        assert (document.status_code, document.json()["title"]) == (403, TITLE)
    finally:
        company.tenant.platform.make_database(company.tenant)


def sessions(company: Office) -> int:
    """Sessions that the app's login has at the server."""
    [(count,)] = company.rows(
        "SELECT count(*) FROM pg_stat_activity WHERE usename = %s", f"{company.tenant.prefix}_app"
    )
    return int(count)


async def test_a_suspension_ends_sessions_and_says_so_and_everything_comes_back(company: Office) -> None:
    assert "Home" in await company.owner.see("/")
    assert sessions(company) > 0
    await becomes(company, "Suspended")
    assert sessions(company) == 0
    with pytest.raises(psycopg.OperationalError, match="not permitted to log in"), company.tenant.as_app():
        pass
    for path in ("/", "/requests", "/sign-in"):
        answer = await company.owner.get(path)
        assert answer.status_code == 403, path
        assert "This portal is suspended" in answer.text
        assert "help@tidewater.example" in answer.text
    posted = await company.owner.post("/requests", FILED)
    assert (posted.status_code, "This portal is suspended" in posted.text) == (403, True)
    document: Any = await company.programs["owner"].get("/api/v1/requests")
    assert (document.status_code, document.json()["title"]) == (403, "This portal is suspended")
    assert sessions(company) == 0
    await becomes(company, "Active")
    assert "Home" in await company.owner.see("/"), "who was signed in still is"
    assert await company.owner.done("/requests", FILED)

"""Storage near its limit and over it: uploads are refused in words on every way in, all else works, and removing helps."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest_asyncio

from tests.contract.app.browser import eventually
from tests.contract.app.conftest import serving
from tests.contract.features.office import PNG, Office, id_of
from tests.contract.features.test_photos import files_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.contract.app.platform import Platform

FILED = {"category": "Maintenance", "title": "The gate is broken", "description": "Since Monday."}
PHOTO = [("photos", ("gate.png", PNG, "image/png"))]
CSV = "community,unit,name\nHarbor Point,1,Ana Torres\n"
ROOM = 1024**2  # much more than the database moves by while a test runs
PNG_TYPE = {"content-type": "image/png"}
CSV_TYPE = {"content-type": "text/csv"}


@pytest_asyncio.fixture(scope="module")
async def company(platform: Platform) -> AsyncIterator[Office]:
    """A company of its own, whose limit the tests move."""
    tenant = platform.make_tenant("coastal")
    async with serving(platform) as site:
        yield await Office.open(site, tenant)


async def grant(company: Office, room: int) -> None:
    """Have the operator grant so many bytes beyond what the tenant uses now."""
    [(used,)] = company.rows(
        "SELECT pg_database_size(current_database()) + (SELECT coalesce(sum(bytes), 0) FROM request_photos)::bigint"
    )
    limit = int(used) + room
    company.tenant.update(limits={"storageBytes": limit, "requestsPerSecond": 1000})
    registry = company.site.services.registry

    def followed() -> bool:
        tenant = registry.get(company.tenant.id)
        return tenant is not None and tenant.limits.storage_bytes == limit

    await eventually(followed)


async def test_a_full_storage_refuses_uploads_in_words_and_nothing_else(company: Office) -> None:
    await grant(company, 1024 * ROOM)
    path = await company.manager.done("/requests", FILED, PHOTO)
    await grant(company, -ROOM)
    for where, data in (("/requests", FILED), (f"{path}/photos", {})):
        answer = await company.manager.post(where, data, PHOTO)
        assert answer.status_code == 507
        assert "The storage of this portal is full" in answer.text
        assert "Remove photos of old requests that nobody needs any more" in answer.text
    assert 'value="The gate is broken"' in (await company.manager.post("/requests", FILED, PHOTO)).text
    upload = await company.upload(CSV)
    assert upload.status_code == 507
    assert "The storage of this portal is full" in upload.text
    # Reading, writing words and what is there already goes on.
    [photo] = re.findall(rf'src="({path}/photos/[^"]+)"', await company.manager.see(path))
    assert (await company.manager.get(photo)).status_code == 200
    assert await company.manager.done("/requests", FILED)
    assert await company.manager.done(f"{path}/reply", {"body": "We look after it."})
    assert "The storage is full" in await company.manager.see("/")


async def test_programs_get_a_problem_document(company: Office) -> None:
    await grant(company, 1024 * ROOM)
    filed = await company.request()
    await grant(company, -ROOM)
    program = company.programs["manager"]
    for path, content, headers in (
        (f"/api/v1/requests/{filed['id']}/photos", PNG, PNG_TYPE),
        ("/api/v1/imports", CSV.encode(), CSV_TYPE),
    ):
        answer = await program.post(path, content=content, headers=headers)
        assert answer.status_code == 507, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["title"] == "No room for more files"
        assert "ask your provider for a larger plan" in answer.json()["detail"]
    assert company.rows("SELECT count(*) FROM request_photos WHERE request_id = %s", filed["id"]) == [(0,)]


async def test_a_homeowner_is_told_what_they_can_do(company: Office) -> None:
    await grant(company, -ROOM)
    answer = await company.visitors["homeowner"].post("/requests", FILED, PHOTO)
    assert answer.status_code == 507
    assert "Send it without photos, and tell the management" in answer.text
    assert "Since Monday." in answer.text


async def test_near_the_limit_what_fits_is_taken_and_the_company_is_warned(company: Office) -> None:
    await grant(company, ROOM)
    assert "The storage is nearly full" in await company.manager.see("/")
    path = await company.manager.done("/requests", FILED, PHOTO)
    assert len(company.rows("SELECT FROM request_photos WHERE request_id = %s", id_of(path))) == 1


async def test_removing_photos_makes_room_and_takes_the_files_away(company: Office, platform: Platform) -> None:
    await grant(company, 1024 * ROOM)
    path = await company.manager.done("/requests", FILED, PHOTO * 2)
    first, second = re.findall(rf'src="({path}/photos/[^"]+)"', await company.manager.see(path))
    kept = files_of(platform, str(id_of(path)))
    assert len(kept) == 2
    company.rows("UPDATE request_photos SET bytes = %s WHERE request_id = %s RETURNING id", 2 * ROOM, id_of(path))
    await grant(company, -ROOM)
    assert (await company.manager.post("/requests", FILED, PHOTO)).status_code == 507
    await company.manager.done(f"{first}/remove")
    assert [file for file in kept if file.exists()] == [
        file for file in kept if first.rsplit("/", 1)[1] not in file.name
    ]
    assert (await company.manager.get(first)).status_code == 404
    assert await company.manager.done("/requests", FILED, PHOTO)
    gone = await company.programs["manager"].delete(f"/api/v1{second}")
    assert gone.status_code == 204, gone.text
    assert not any(file.exists() for file in kept)
    assert (await company.programs["manager"].delete(f"/api/v1{second}")).status_code == 404
    noted = company.rows("SELECT count(*) FROM audit_log WHERE action = 'requests.photo_removed'")
    assert noted == [(2,)]


async def test_only_who_runs_requests_may_remove_photos(company: Office) -> None:
    await grant(company, 1024 * ROOM)
    path = await company.visitors["homeowner"].done("/requests", FILED, PHOTO)
    [photo] = re.findall(rf'src="({path}/photos/[^"]+)"', await company.manager.see(path))
    for role in ("homeowner", "board"):
        assert (await company.visitors[role].post(f"{photo}/remove")).status_code == 403
        assert (await company.programs[role].delete(f"/api/v1{photo}")).status_code == 403
        assert "Remove photo" not in await company.visitors[role].see(path)
    assert "Remove photo 1 for good" in await company.manager.see(path)

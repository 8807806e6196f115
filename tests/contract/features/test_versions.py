"""The app on schemas that are not its own: the oldest it serves, the next one while it is made, and those it refuses."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from hoa_app import migrate
from hoa_app.migrations import serving
from tests.contract.app.browser import eventually
from tests.contract.features.office import Office, hidden, shown
from tests.overlay import HEAD, NEXT, Release, make_earlier, make_release, poison

if TYPE_CHECKING:
    from tests.contract.app.browser import Site
    from tests.contract.app.platform import MadeTenant, Platform

CSV = "community,unit,name,email\nBay Court,1A,Ana Torres,ana.torres@x.example\nBay Court,2,Bo Stone,\n"


@pytest.fixture(scope="module")
def later(tmp_path_factory: pytest.TempPathFactory) -> Release:
    return make_release(tmp_path_factory.mktemp("later"), "expand")


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Release:
    return make_earlier(tmp_path_factory.mktemp("earlier"))


@pytest_asyncio.fixture(scope="module")
async def upgraded(site: Site, platform: Platform, later: Release) -> Office:
    """A company at work whose database moves on while the app stays."""
    return await Office.open(site, await known(site, platform.make_tenant("upgraded")))


async def known(site: Site, tenant: MadeTenant) -> MadeTenant:
    await eventually(lambda: site.services.registry.find(tenant.host) is not None)
    return tenant


def migrated(platform: Platform, tenant: MadeTenant, release: Release, **more: str) -> dict[str, Any]:
    outcome = platform.run_job(tenant, **release.job(), **more)
    return {**json.loads(outcome.stdout), "exit": outcome.returncode}


async def main_flow(office: Office) -> None:
    """What a company does all day: a homeowner files a request with an answer, an import, lists, the audit log."""
    ana, person, _unit = await office.homeowner(office.unique("ana").replace(" ", "."))
    title = office.unique("Gate")
    path = await ana.done("/requests", {"category": "Maintenance", "title": title, "description": "It is broken."})
    page = await office.manager.see(path)
    version = hidden(page, "version")
    answer = await office.manager.post(f"{path}/reply", {"version": version, "body": "Tomorrow.", "state": "Answered"})
    assert answer.status_code == 303
    assert "Tomorrow." in shown(await ana.see(path))
    preview = await office.preview(CSV)
    await office.owner.done(f"{preview}/confirm")
    assert "Imported 2 lines" in shown(await office.owner.see(preview))
    for place in ("/", "/communities", "/people", "/requests", "/team", "/audit"):
        await office.owner.see(place)
    listed = await office.api("GET", f"/requests?q={title.replace(' ', '+')}")
    assert [(item["title"], item["state"]) for item in listed["items"]] == [(title, "Answered")]
    found = await office.api("GET", f"/people?q={person['name'].replace(' ', '+')}")
    assert person["id"] in [item["id"] for item in found["items"]]


async def test_this_app_serves_the_oldest_schema_it_says(site: Site, platform: Platform, earlier: Release) -> None:
    tenant = platform.make_tenant("onceold", release=earlier)
    with tenant.as_admin() as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchone() == (serving.OLDEST_SERVED,)
    await main_flow(await Office.open(site, await known(site, tenant)))


async def test_people_work_on_while_their_database_is_migrated_and_after(
    site: Site, platform: Platform, upgraded: Office, later: Release
) -> None:
    answers: list[int] = []
    done = asyncio.Event()

    async def visits() -> None:
        while not done.is_set():
            answers.append((await upgraded.owner.get("/people")).status_code)
            await upgraded.person()

    working = asyncio.create_task(visits())
    await eventually(lambda: bool(answers))
    result = await asyncio.to_thread(migrated, platform, upgraded.tenant, later)
    done.set()
    await working
    assert (result["exit"], result["fromRevision"], result["revision"]) == (0, HEAD, NEXT), result
    assert set(answers) == {200}
    upgraded.tenant.update(schema_revision=NEXT)
    await main_flow(upgraded)


async def test_a_session_that_holds_a_lock_stops_neither_people_nor_the_migration(
    site: Site, platform: Platform, later: Release
) -> None:
    office = await Office.open(site, await known(site, platform.make_tenant("lockedout")))
    with office.tenant.as_admin() as report, report.transaction():
        report.execute("SELECT count(*) FROM users")  # as a long report does
        job = asyncio.create_task(asyncio.to_thread(migrated, platform, office.tenant, later))
        with office.tenant.as_admin() as look:
            waits = "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted AND mode = 'AccessExclusiveLock'"
            await eventually(lambda: look.execute(waits).fetchone() == (True,))
        began = time.monotonic()
        assert (await office.owner.get("/team")).status_code == 200
        # Behind the change that waits, and no longer than that may wait.
        assert time.monotonic() - began < 5
        assert not job.done()
    result = await job
    assert (result["exit"], result["revision"]) == (0, NEXT), result


async def test_a_migration_that_is_ended_leaves_no_session_behind(
    site: Site, platform: Platform, tmp_path_factory: pytest.TempPathFactory
) -> None:
    hangs = make_release(tmp_path_factory.mktemp("hangs"), "hangs", upgrade='    op.execute("SELECT pg_sleep(500)")\n')
    tenant = platform.make_tenant("ended")
    sleeping = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        " AND query LIKE '%pg_sleep(500)%'"
    )
    with tenant.as_admin() as look:
        for ending, code in (("terminate", migrate.PASSING), ("kill", -9)):
            job = platform.start_job(tenant, **hangs.job())
            await eventually(lambda: look.execute(sleeping + " AND state = 'active'").fetchone() == (1,))
            getattr(job, ending)()
            said = job.communicate(timeout=30)[0]
            assert job.returncode == code
            assert ending == "kill" or json.loads(said)["reason"] == "Stopped"
            await eventually(lambda: look.execute(sleeping).fetchone() == (0,))
        assert look.execute("SELECT version_num FROM alembic_version").fetchone() == (HEAD,)


def test_what_the_data_does_not_allow_is_final_and_leaves_the_schema(platform: Platform, later: Release) -> None:
    tenant = platform.make_tenant("unfit")
    with tenant.as_admin() as connection:
        poison(connection, str(tenant.id))
        result = migrated(platform, tenant, later)
        assert (result["exit"], result["reason"], result["revision"]) == (migrate.PERMANENT, "CheckViolation", HEAD)
        assert "mend the data" in result["message"]
        assert connection.execute("SELECT version_num FROM alembic_version").fetchone() == (HEAD,)
        assert connection.execute("SELECT to_regclass('overlay_notes')").fetchone() == (None,)


async def test_a_schema_that_is_too_old_is_said_until_it_is_there(site: Site, platform: Platform) -> None:
    office = await Office.open(site, await known(site, platform.make_tenant("tooold")))
    office.tenant.update(schema_revision="0001")
    program = office.programs["owner"]

    def served() -> str | None:
        found = site.services.registry.get(office.tenant.id)
        return found.schema_revision if found else None

    await eventually(lambda: served() == "0001")
    page = await office.owner.get("/people")
    assert (page.status_code, page.headers["retry-after"]) == (503, "60")
    assert "This portal is being upgraded" in shown(page.text)
    refused = await program.get("/api/v1/people")
    assert (refused.status_code, refused.json()["title"]) == (503, "This portal is being upgraded")
    office.tenant.update(schema_revision=HEAD)
    await eventually(lambda: served() == HEAD)
    await office.owner.see("/people")


async def test_a_schema_that_lacks_what_this_app_needs_is_said(site: Site, platform: Platform) -> None:
    tenant = await known(site, platform.make_tenant("toonew"))
    with tenant.as_admin() as connection:
        note = connection.execute("SELECT obj_description('alembic_version'::regclass)").fetchone()
        assert note == (serving.note(),)
        connection.execute(f"COMMENT ON TABLE alembic_version IS 'served by apps from revision {NEXT} on'")
    answer = await site.client(tenant.host).post("/api/v1/session", json={"email": "a@b.example", "password": "x" * 12})
    assert (answer.status_code, answer.json()["title"]) == (503, "This portal is being upgraded")

"""What probes, people and programs are told while something the app needs is away: which, for how long, what to do."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import sql

from hoa_app.db.pools import Pools
from tests.contract.app.browser import add_user, eventually
from tests.contract.app.conftest import serving
from tests.contract.app.platform import Platform

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import httpx

    from tests.contract.app.browser import Site
    from tests.contract.app.platform import MadeTenant
    from tests.fix_postgres import PostgresServer

POD = "10.1.1.1:8000"


def checks(answer: httpx.Response) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in answer.json()["checks"]}


def silent_port() -> socket.socket:
    """Takes connections and says nothing, as a machine does that hangs."""
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen()
    return listening


async def test_health_when_all_is_well(platform: Platform, site: Site) -> None:
    answer = await site.client(POD).get("/health")
    assert (answer.status_code, answer.json()["status"], answer.json()["version"]) == (200, "healthy", "test")
    found = checks(answer)
    assert {name: one["status"] for name, one in found.items()} == {
        "database": "ok",
        "registry": "ok",
        "storage": "ok",
        "mail": "unconfigured",
    }
    assert all(0 < found[name]["latencyMs"] < 3000 for name in ("database", "registry", "storage"))


async def test_mail_that_is_away_is_said_and_not_needed(platform: Platform, seabreeze: MadeTenant) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        async with serving(platform, HOA_SMTP_URL=f"smtp://127.0.0.1:{nobody.getsockname()[1]}") as site:
            answer = await site.client(POD).get("/health")
    mail = checks(answer)["mail"]
    assert (answer.status_code, answer.json()["status"]) == (200, "healthy")
    assert (mail["status"], mail["needed"], mail["detail"]) == ("error", False, "failed")
    assert mail["latencyMs"] > 0


async def test_mail_that_hangs_is_waited_for_no_longer_than_it_may(platform: Platform, seabreeze: MadeTenant) -> None:
    with silent_port() as hanging:
        async with serving(platform, HOA_SMTP_URL=f"smtp://127.0.0.1:{hanging.getsockname()[1]}") as site:
            answer = await site.client(POD).get("/health")
    mail = checks(answer)["mail"]
    assert (answer.status_code, mail["status"], mail["detail"]) == (200, "error", "no answer in time")
    assert 3000 <= mail["latencyMs"] < 6000


async def test_without_storage_the_pod_is_not_healthy(platform: Platform, seabreeze: MadeTenant) -> None:
    with silent_port() as hanging:
        url = f"http://127.0.0.1:{hanging.getsockname()[1]}/files"
        async with serving(platform, HOA_STORAGE_URL=url) as site:
            answer = await site.client(POD).get("/health")
            page = await site.browser(seabreeze).get("/sign-in")
    storage = checks(answer)["storage"]
    assert (answer.status_code, answer.json()["status"]) == (503, "unhealthy")
    assert (storage["status"], storage["needed"]) == ("error", True)
    assert storage["latencyMs"] > 0
    assert "127.0.0.1" not in answer.text
    assert page.status_code == 200


async def test_a_pod_whose_work_has_ended_is_restarted(
    platform: Platform, seabreeze: MadeTenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    fall = asyncio.Event()

    async def fails(_pools: Pools) -> None:
        await fall.wait()
        raise RuntimeError("nobody foresaw this")

    monkeypatch.setattr(Pools, "housekeep", fails)
    async with serving(platform) as site:
        client = site.client(POD)
        assert (await client.get("/livez")).status_code == 200
        fall.set()
        await asyncio.sleep(0)
        answer = await client.get("/livez")
        assert (answer.status_code, answer.text) == (503, "no longer running: pools\n")


async def test_one_listener_that_fails_does_not_end_following(platform: Platform) -> None:
    tenant = platform.make_tenant("followed")
    async with serving(platform) as site:
        registry = site.services.registry

        def fails(_tenant_id: object, _tenant: object) -> None:
            raise RuntimeError("nobody foresaw this")

        registry.on_change.insert(0, fails)

        def served_as(name: str) -> Callable[[], bool]:
            return lambda: getattr(registry.find(tenant.host), "display_name", "") == name

        for name in ("Renamed", "Renamed Again"):
            tenant.update(display_name=name)
            await eventually(served_as(name))
        assert (await site.client(POD).get("/livez")).status_code == 200


class TestWhatPeopleRead:
    """A page with the tenant's name, words that say what became of their change, and when to come back."""

    async def test_a_stopped_postgres(self, own_postgres: PostgresServer, tmp_path: Path) -> None:
        place = Platform(own_postgres.access, tmp_path)
        tenant = place.make_tenant("becalmed")
        email = add_user(tenant, "owner")
        async with serving(place) as site:
            browser, program = await site.signed_in(tenant, email), await site.program(tenant, email)
            await asyncio.to_thread(own_postgres.stop)
            async with asyncio.timeout(20):
                while (page := await browser.get("/people")).status_code == 200:
                    assert page.text
            assert page.status_code == 503
            assert "The database is" in page.text
            assert "Becalmed Management" in page.text
            assert 'href="">Try again</a>' in page.text
            assert "I forgot my password" not in page.text
            assert int(page.headers["retry-after"]) > 0
            answer = await program.get("/api/v1/me")
            document = answer.json()
            assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")
            assert (document["status"], document["title"]) == (503, "Try again shortly")
            assert document["detail"].startswith("The database is")
            assert str(own_postgres.access.port) not in page.text + answer.text
            sent = await site.client(tenant.host, accept="text/html").post("/sign-in", data={"email": email})
            assert sent.status_code in (403, 503)
            await asyncio.to_thread(own_postgres.start)
            await eventually(lambda: site.services.registry.connected, 20)

    async def test_a_postgres_whose_disk_is_full(self, platform: Platform) -> None:
        tenant = platform.make_tenant("brimful")
        email = add_user(tenant, "owner")
        with tenant.as_admin() as connection:
            # What Postgres says when a table cannot grow; a disk that is really full would be every test's.
            connection.execute(
                "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
                " RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = 'disk_full';"
                " END $$"
            )
            for table in ("password_resets", "api_tokens"):
                connection.execute(
                    sql.SQL("CREATE TRIGGER full_disk BEFORE INSERT ON {} EXECUTE FUNCTION full_disk()").format(
                        sql.Identifier(table)
                    )
                )
        async with serving(platform) as site:
            page = await site.browser(tenant).post("/forgot-password", {"email": email})
            assert page.status_code == 503
            assert "The database has no room left." in page.text
            assert "Go back with your browser" in page.text
            assert "extend file" not in page.text
            program = await site.program(tenant, email)
            answer = await program.post("/api/v1/tokens", json={"name": "x"})
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "60")
            assert answer.json()["detail"].startswith("The database has no room left.")
            assert (await program.get("/api/v1/me")).status_code == 200

    async def test_a_postgres_that_takes_no_more_connections(self, platform: Platform) -> None:
        tenant = platform.make_tenant("crowded")
        with psycopg.connect(platform.access.dsn(), autocommit=True) as connection:
            connection.execute(
                sql.SQL("ALTER ROLE {} CONNECTION LIMIT 0").format(sql.Identifier(f"{tenant.prefix}_app"))
            )
        async with serving(platform) as site:
            page = await site.browser(tenant).get("/invitation/x")
            assert (page.status_code, page.headers["retry-after"]) == (503, "2")
            assert "Every database connection is in use." in page.text
            assert 'href="">Try again</a>' in page.text
            answer = await site.client(tenant.host).post("/api/v1/session", json={"email": "a@b.c", "password": "x"})
            assert answer.json()["detail"] == "Every database connection is in use."

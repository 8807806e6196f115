"""What a tier grants is held, tenant by tenant; a tenant's state decides what it may do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from hoa_app.feature import Feature
from hoa_app.main import create_app
from hoa_app.settings import Settings
from hoa_app.tenancy import bodies, limits, line
from hoa_app.tenancy.line import AMONG_OTHERS
from tests.contract.app.browser import PASSWORD, Site, add_user, eventually
from tests.contract.app.conftest import serving
from tests.contract.app.platform import LIMITS

if TYPE_CHECKING:
    from tests.contract.app.platform import MadeTenant, Platform


def known(site: Site, tenant: MadeTenant, state: str) -> bool:
    found = site.services.registry.get(tenant.id)
    return found is not None and found.state == state


async def test_too_fast_is_429_for_one_tenant_only(platform: Platform, seabreeze: MadeTenant) -> None:
    hasty = platform.make_tenant("hasty", limits={"requestsPerSecond": 5})
    async with serving(platform) as site:
        client = site.client(hasty.host)
        answers = [await client.get("/api/v1/me") for _ in range(20)]
        refused = [answer for answer in answers if answer.status_code == 429]
        assert refused
        assert refused[0].headers["retry-after"] == "1"
        assert refused[0].headers["content-type"] == "application/problem+json"
        assert refused[0].json()["title"] == "Too many requests"
        assert (await site.client(seabreeze.host).get("/api/v1/me")).status_code == 401
        labels = {"tenant_id": str(hasty.id), "limit": "rate"}
        counted = site.services.metrics.registry.get_sample_value("hoa_requests_refused_total", labels)
        assert counted == len(refused)
        page = await site.client(hasty.host, accept="text/html").get("/sign-in")
        assert page.status_code in (200, 429)
        assert (await site.client(hasty.host).get("/assets/app.css")).status_code == 200


async def test_who_is_too_fast_reads_a_page_of_their_own(platform: Platform) -> None:
    hasty = [platform.make_tenant(slug, limits={"requestsPerSecond": 1}) for slug in ("brisk", "rapid")]
    async with serving(platform) as site:
        for tenant in hasty:
            client = site.client(tenant.host, accept="text/html")
            pages = [await client.get("/people?q=x") for _ in range(5)]
            refused = [page for page in pages if page.status_code == 429]
            assert len(refused) > 1
            for page in refused:
                assert f"{tenant.slug.title()} Management" in page.text
                assert f"Request {page.headers['x-request-id']}" in page.text
                assert 'href="">Try again</a>' in page.text
            assert len({page.headers["x-request-id"] for page in refused}) == len(refused)
            sent = await client.post("/sign-in", data={"email": "a@b.example"})
            assert (sent.status_code, "Go back with your browser" in sent.text) == (429, True)


async def test_too_many_at_once_is_503_for_one_tenant_only(
    platform: Platform, seabreeze: MadeTenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line, "PATIENCE", 0.1)
    narrow = platform.make_tenant("narrow", limits={"concurrentRequests": 2})
    release, arrived = asyncio.Event(), asyncio.Semaphore(0)

    async def slow(_request: Request) -> Response:
        arrived.release()
        await release.wait()
        return PlainTextResponse("done")

    app = create_app(Settings.from_env(platform.environment()), [Feature("slow", [Route("/slow", slow)])])
    async with app.router.lifespan_context(app):
        site = Site(app)
        await site.services.registry.loaded.wait()
        client = site.client(narrow.host)
        held = [asyncio.create_task(client.get("/slow")) for _ in range(2)]
        for _ in held:
            await arrived.acquire()
        refused = await client.get("/slow", headers={"accept": "application/json"})
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        other = asyncio.create_task(site.client(seabreeze.host).get("/slow"))
        await arrived.acquire()
        release.set()
        assert [(await task).status_code for task in [*held, other]] == [200, 200, 200]
        assert (await client.get("/slow")).status_code == 200
        await site.close()


async def test_a_rush_waits_behind_itself(
    platform: Platform, seabreeze: MadeTenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line, "LONG_SECONDS", 60.0)
    monkeypatch.setattr(line, "SHARED_SECONDS", 60.0)
    monkeypatch.setattr(line, "PATIENCE", 60.0)
    rash = platform.make_tenant("rash", limits={"concurrentRequests": 40})
    release, arrived = asyncio.Event(), asyncio.Semaphore(0)
    begun: list[str] = []

    async def held(request: Request) -> Response:
        begun.append(request.url.hostname or "")
        arrived.release()
        await release.wait()
        return PlainTextResponse("done")

    app = create_app(Settings.from_env(platform.environment()), [Feature("held", [Route("/held", held)])])
    async with app.router.lifespan_context(app):
        site = Site(app)
        await site.services.registry.loaded.wait()
        client = site.client(rash.host)
        for host in (rash.host, seabreeze.host):  # now the process has several tenants
            assert (await site.client(host).get("/api/v1/me")).status_code == 401
        most = AMONG_OTHERS + 40
        rush = [asyncio.create_task(client.get("/held")) for _ in range(most + 1)]
        for _ in range(AMONG_OTHERS):
            await arrived.acquire()
        (over,), _ = await asyncio.wait(rush, return_when=asyncio.FIRST_COMPLETED)
        assert over.result().status_code == 503
        other = asyncio.create_task(site.client(seabreeze.host).get("/held"))
        await arrived.acquire()
        assert begun == [rash.host, rash.host, seabreeze.host]
        release.set()
        answers = await asyncio.gather(*rush, other)
        assert sorted(answer.status_code for answer in answers) == [200] * (most + 1) + [503]
        waited = site.services.metrics.registry.get_sample_value("hoa_request_line_seconds_count")
        assert waited == most - AMONG_OTHERS
        await site.close()


@pytest.mark.parametrize("door", ["header", "suspended", "asset"])
async def test_what_is_refused_anyway_counts_too(
    platform: Platform, monkeypatch: pytest.MonkeyPatch, door: str
) -> None:
    monkeypatch.setattr(limits, "ASSETS_FOR_A_REQUEST", 1)
    state = "Suspended" if door == "suspended" else "Active"
    tenant = platform.make_tenant(f"round-{door}", state=state, limits={"requestsPerSecond": 1})
    path = "/assets/none.css" if door == "asset" else "/api/v1/me"
    headers = {"x-tenant-id": "x"} if door == "header" else {}
    async with serving(platform) as site:
        codes = [(await site.client(tenant.host).get(path, headers=headers)).status_code for _ in range(10)]
        assert codes[0] in (400, 403, 404)
        assert 429 in codes


async def test_suspended(platform: Platform) -> None:
    tenant = platform.make_tenant("closed", state="Suspended")
    async with serving(platform) as site:
        page = await site.browser(tenant).get("/")
        assert page.status_code == 403
        assert "suspended" in page.text
        assert "help@closed.example" in page.text
        document = (await site.client(tenant.host).get("/api/v1/me")).json()
        assert document["title"] == "This portal is suspended"
        tenant.update(state="Active")
        await eventually(lambda: known(site, tenant, "Active"))
        assert (await site.browser(tenant).get("/sign-in")).status_code == 200


async def test_read_only(platform: Platform) -> None:
    tenant = platform.make_tenant("frozen")
    email = add_user(tenant, "owner")
    async with serving(platform) as site:
        browser = await site.signed_in(tenant, email)
        tenant.set_state("ReadOnly")
        await eventually(lambda: known(site, tenant, "ReadOnly"))
        page = await browser.get("/account")
        assert page.status_code == 200
        assert "read-only for now" in page.text
        refused = await browser.post("/account/tokens", {"token_name": "x"}, page="/account")
        assert refused.status_code == 403
        assert "read-only for now" in refused.text
        program = await site.program(tenant, email)
        answer = await program.post("/api/v1/tokens", json={"name": "x"})
        assert (answer.status_code, answer.json()["title"]) == (403, "This portal is read-only for now")
        assert (await browser.post("/sign-out", {}, page="/account")).status_code == 303
        assert (await site.browser(tenant).sign_in(email, "wrong")).status_code == 401
        again = await site.signed_in(tenant, email)
        tenant.set_state("Active")
        await eventually(lambda: known(site, tenant, "Active"))
        made = await again.post("/account/tokens", {"token_name": "x"}, page="/account")
        assert made.status_code in {200, 201, 303}, made.text


async def test_states_that_are_not_served(platform: Platform) -> None:
    tenant = platform.make_tenant("coming", state="Provisioning")
    async with serving(platform) as site:
        assert (await site.client(tenant.host).get("/sign-in")).status_code == 404
        for state in ("Deleting", "Deleted"):
            tenant.update(state=state)
            await eventually(lambda: site.services.registry.get(tenant.id) is None)
            assert (await site.client(tenant.host).get("/sign-in")).status_code == 404


async def test_only_one_tenant(platform: Platform, seabreeze: MadeTenant, pinnacle: MadeTenant) -> None:
    async with serving(platform, HOA_ONLY_TENANT="seabreeze") as site:
        assert (await site.client(seabreeze.host).get("/sign-in")).status_code == 200
        assert (await site.client(pinnacle.host).get("/sign-in")).status_code == 404


async def test_bodies_are_held_to_a_size(platform: Platform, seabreeze: MadeTenant) -> None:
    async with serving(platform, HOA_MAX_BODY_BYTES="2048") as site:
        client = site.client(seabreeze.host)
        body = b'{"email": "' + b"x" * 4096 + b'"}'
        assert (await client.post("/api/v1/session", content=body)).status_code == 413

        async def pieces() -> AsyncIterator[bytes]:
            for _ in range(8):
                yield b"x" * 512

        assert (await client.post("/api/v1/session", content=pieces())).status_code == 413
        fits = {"email": "a@b.example", "password": PASSWORD}
        assert (await client.post("/api/v1/session", json=fits)).status_code == 401


class TestSlowAndLarge:
    """What arrives slowly or in masses costs its sender, not the tenant and not the process."""

    async def test_open_bodies_hold_no_place(self, platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
        tenant = platform.make_tenant("unhurried", limits={"concurrentRequests": 2})
        add_user(tenant, "owner")
        arrived, never = asyncio.Semaphore(0), asyncio.Event()

        async def held_back() -> AsyncIterator[bytes]:
            yield b'{"email": "'
            arrived.release()
            await never.wait()

        async with serving(platform) as site:
            client = site.client(tenant.host)
            slow = [
                asyncio.create_task(client.post("/api/v1/session", content=held_back()))
                for _ in range(limits.ARRIVING_PER_ADDRESS)
            ]
            for _ in slow:
                await arrived.acquire()
            elsewhere = site.browser(tenant, peer="192.0.2.8")
            assert (await elsewhere.get("/sign-in")).status_code == 200
            assert (await elsewhere.sign_in(f"owner@{tenant.slug}.example")).status_code == 303
            assert (await client.post("/api/v1/session", json={})).status_code == 503
            for task in slow:
                task.cancel()
            await asyncio.gather(*slow, return_exceptions=True)
            monkeypatch.setattr(bodies, "FIRST_SECONDS", 0.05)
            late = await client.post("/api/v1/session", content=held_back())
            assert (late.status_code, late.headers["connection"]) == (408, "close")
            assert late.json()["title"] == "It took too long to arrive"

    async def test_only_an_upload_may_be_large(self, site: Site, seabreeze: MadeTenant) -> None:
        large = b"x" * (bodies.PLAIN_BYTES + 1)
        anyone = site.client(seabreeze.host)
        manager = await site.program(seabreeze, add_user(seabreeze, "manager"))
        sent = [
            await anyone.post("/api/v1/session", content=large),
            await anyone.post("/sign-in", files={"file": ("x", large)}),
            await manager.post("/api/v1/invitations", content=large),
            await manager.post("/people", data={"name": large.decode()}),
        ]
        assert [answer.status_code for answer in sent] == [413] * 4
        assert "64 KiB" in sent[0].json()["detail"]
        answer = await manager.post("/api/v1/imports", content=b"unit,name\n" + large)
        assert answer.status_code == 201, answer.text

    async def test_the_process_holds_so_much_of_all_together(
        self, platform: Platform, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tenant = platform.make_tenant("heavy")
        monkeypatch.setattr(bodies.Intake.__init__, "__defaults__", (8192,))
        arrived, last = asyncio.Semaphore(0), asyncio.Event()

        async def all_but_the_end() -> AsyncIterator[bytes]:
            yield b" " * 3000
            arrived.release()
            await last.wait()
            yield b"{}"

        async with serving(platform, HOA_MAX_BODY_BYTES="4096") as site:
            client = site.client(tenant.host)
            first = asyncio.create_task(client.post("/api/v1/session", content=all_but_the_end()))
            await arrived.acquire()
            refused = await client.post("/api/v1/session", content=b" " * 3000)
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
            last.set()
            assert (await first).status_code == 422
            assert (await client.post("/api/v1/session", content=b" " * 3000 + b"{}")).status_code == 422


async def test_limits_follow_the_tier(platform: Platform) -> None:
    tenant = platform.make_tenant("growing", limits={"requestsPerSecond": 1})
    async with serving(platform) as site:
        tenant.update(limits={**LIMITS, "requestsPerSecond": 500})

        def grown() -> bool:
            found = site.services.registry.get(tenant.id)
            return found is not None and found.limits.requests_per_second == 500

        await eventually(grown)
        answers = {(await site.client(tenant.host).get("/api/v1/me")).status_code for _ in range(20)}
        assert answers == {401}

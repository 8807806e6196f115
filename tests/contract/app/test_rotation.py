"""Credentials rotate under load: no request fails, nobody is signed out, and pools are opened once each."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from hoa_app.identity import invitations
from hoa_app.identity.tokens import link_secrets
from tests.contract.app.browser import add_user, eventually, invite
from tests.contract.app.conftest import serving
from tests.contract.app.test_outages import database
from tests.figures import record

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from tests.contract.app.browser import Site
    from tests.contract.app.platform import MadeTenant, Platform

SLOW = 0.3


@dataclass
class Load:
    """What steady load came to: answers by what was asked and how it ended."""

    answers: Counter[tuple[str, str]] = field(default_factory=Counter)

    def total(self, what: str) -> int:
        return sum(count for (asked, _), count in self.answers.items() if asked == what)

    @property
    def failed(self) -> dict[tuple[str, str], int]:
        return {key: count for key, count in self.answers.items() if key[1] != "done"}

    async def more(self, count: int = 15) -> None:
        """Return when each kind of work was done that often again, from now on."""
        before = {what: self.total(what) for what in ("page", "program", "write", "slow")}
        least = {what: count if what != "slow" else 3 for what in before}
        await eventually(lambda: all(self.total(w) >= n + least[w] for w, n in before.items()) or bool(self.failed), 60)
        assert self.failed == {}


@asynccontextmanager
async def steady_load(site: Site, tenant: MadeTenant, email: str) -> AsyncIterator[Load]:
    """Nine requests and transactions under way at any time, with a session and a token from before all rotations."""
    load, over, browser = Load(), asyncio.Event(), await site.signed_in(tenant, email)
    program = await site.program(tenant, email)

    async def page() -> str:
        return ok((await browser.get("/account")).status_code)

    async def call() -> str:
        return ok((await program.get("/api/v1/me")).status_code)

    async def write() -> str:
        async with database(site, tenant).transaction() as tx:
            await tx.execute("INSERT INTO settings (key, value) VALUES (gen_random_uuid()::text, '1')")
        return "done"

    async def slow() -> str:
        async with database(site, tenant).transaction(readonly=True) as tx:
            await tx.execute("SELECT pg_sleep(%s)", (SLOW,))
        return "done"

    async def again(what: str, work: Callable[[], Awaitable[str]]) -> None:
        while not (load.failed or over.is_set()):
            try:
                ended = await work()
            except Exception as error:
                ended = repr(error)
            load.answers[what, ended] += 1
            await asyncio.sleep(0)  # an answer that waited for nothing must not keep the others from theirs

    works = {"page": page, "program": call, "write": write, "slow": slow}
    lanes = ["page"] * 3 + ["program"] * 2 + ["write"] * 2 + ["slow"] * 2
    tasks = [asyncio.create_task(again(what, works[what])) for what in lanes]
    try:
        yield load
    finally:
        over.set()
        await asyncio.gather(*tasks)


def ok(status: int) -> str:
    return "done" if status == 200 else str(status)


def sessions(platform: Platform, role: str) -> int:
    """How many sessions a role has on the server."""
    with psycopg.connect(platform.access.dsn(), autocommit=True) as connection:
        row = connection.execute("SELECT count(*) FROM pg_stat_activity WHERE usename = %s", (role,)).fetchone()
    assert row is not None
    return int(row[0])


def pool_events(site: Site, event: str) -> float:
    found = site.services.metrics.pool_events.labels(event)
    return float(found._value.get())


@pytest.mark.figures
async def test_two_rotations_under_load_fail_no_request(platform: Platform) -> None:
    tenant = platform.make_tenant("rolling")
    email = add_user(tenant, "owner")
    async with serving(platform) as site, steady_load(site, tenant, email) as load:
        await load.more()
        opened = pool_events(site, "opened")
        for _ in range(2):
            before = f"{tenant.prefix}_{tenant.login}"
            await asyncio.to_thread(platform.rotate, tenant)
            now = f"{tenant.prefix}_{tenant.login}"
            await eventually(lambda name=now: database(site, tenant).tenant.database.username == name)  # type: ignore[misc]
            await load.more()
            await eventually(lambda name=before: sessions(platform, name) == 0)  # type: ignore[misc]
            await asyncio.to_thread(platform.retire, tenant)
            await load.more()
            assert sessions(platform, now) > 0
        assert pool_events(site, "opened") - opened == 2, "each rotation opens one pool, and no other"
        done = sum(load.answers.values())
        record("failed requests during 2 rotations", sum(load.failed.values()), 0, note=f"of {done}, 9 at a time")
        assert load.failed == {}


async def test_an_invitation_sent_again_carries_the_link_of_before(platform: Platform) -> None:
    tenant = platform.make_tenant("inviting")
    invitation = invite(tenant, "ina@inviting.example")
    async with serving(platform) as site:

        async def mint() -> str:
            found = database(site, tenant)
            async with found.transaction() as tx:
                minted = await invitations.mint_link(tx, found.tenant, invitation)
            assert minted is not None
            return minted[0]

        first = await mint()
        await asyncio.to_thread(platform.rotate, tenant)
        await eventually(lambda: database(site, tenant).tenant.keys.keys[0].kid == tenant.keys[0]["kid"])
        assert await mint() == first
        other = invite(tenant, "ian@inviting.example", token="another-token")
        links = link_secrets(database(site, tenant).tenant, "invitation", other)
        assert len(links.hashes) == 2
        async with database(site, tenant).transaction() as tx:
            minted = await invitations.mint_link(tx, database(site, tenant).tenant, other)
        assert minted is not None
        assert minted[0] == links.token(links.preferred)


async def test_a_request_that_began_before_does_not_bring_the_old_pool_back(platform: Platform) -> None:
    tenant = platform.make_tenant("late")
    async with serving(platform) as site:
        began = database(site, tenant)
        async with began.transaction(readonly=True) as tx:
            await tx.execute("SELECT 1")
        await asyncio.to_thread(platform.rotate, tenant)
        await eventually(lambda: database(site, tenant).tenant != began.tenant)
        await asyncio.to_thread(platform.retire, tenant)
        async with began.transaction(readonly=True) as tx:
            row: Any = await (await tx.execute("SELECT session_user::text AS login")).fetchone()
        assert row["login"] == f"{tenant.prefix}_{tenant.login}"


async def test_a_pod_that_follows_late_refuses_nothing_of_the_others(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = platform.make_tenant("behind")
    email = add_user(tenant, "owner")
    async with serving(platform) as ahead, serving(platform) as behind:
        monkeypatch.setattr(behind.services.registry, "_apply", lambda *_args, **_kwargs: None)
        await asyncio.to_thread(platform.rotate, tenant)
        await eventually(lambda: database(ahead, tenant).tenant.keys.keys[0].kid == tenant.keys[0]["kid"])
        assert len(database(behind, tenant).tenant.keys.keys) == 1

        browser, there = await ahead.signed_in(tenant, email), behind.browser(tenant)
        there.client.cookies = browser.client.cookies
        assert (await there.get("/account")).status_code == 200
        form = {"csrf_token": await browser.token("/account")}
        assert (await there.client.post("/sign-out", data=form)).status_code == 303
        program, other = await ahead.program(tenant, email), behind.client(tenant.host)
        answer = await other.get("/api/v1/me", headers={"authorization": program.headers["authorization"]})
        assert answer.status_code == 200

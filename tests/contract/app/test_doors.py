"""Coming in and going out: sign-in, invitation, forgotten password, sessions, tokens, and forms that cannot be forged."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from markupsafe import escape

from hoa_app.identity import accounts
from tests.contract.app.browser import HIDDEN, PASSWORD, Browser, add_user, invite
from tests.contract.app.conftest import serving

if TYPE_CHECKING:
    import httpx

    from tests.contract.app.browser import Site
    from tests.contract.app.platform import MadeTenant, Platform

NEW = "four words in a row"


@pytest.fixture
def someone(seabreeze: MadeTenant) -> str:
    """A manager of the first tenant whom no other test knows."""
    return add_user(seabreeze, "manager", f"{uuid4().hex}@seabreeze.example")


async def test_sign_in_and_out(site: Site, seabreeze: MadeTenant, someone: str) -> None:
    browser = site.browser(seabreeze)
    answer = await browser.get("/people?after=x")
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in?next=%2Fpeople%3Fafter%3Dx")
    answer = await browser.sign_in(someone, following="/account")
    assert (answer.status_code, answer.headers["location"]) == (303, "/account")
    cookie = next(one for one in answer.headers.get_list("set-cookie") if one.startswith("hoa_session="))
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert "Domain" not in cookie
    page = await browser.get("/account")
    assert someone in page.text
    token = browser.client.cookies["hoa_session"]
    assert (await browser.post("/sign-out", {}, page="/account")).status_code == 303
    late = site.client(seabreeze.host, cookie=f"hoa_session={token}")
    assert (await late.get("/api/v1/me")).status_code == 401


async def test_sign_in_rotates_the_session(site: Site, seabreeze: MadeTenant, someone: str) -> None:
    browser = await site.signed_in(seabreeze, someone)
    first = browser.client.cookies["hoa_session"]
    answer = await browser.post("/sign-in", {"email": someone, "password": PASSWORD}, page="/account")
    assert answer.status_code == 303
    assert browser.client.cookies["hoa_session"] != first
    assert (await site.client(seabreeze.host, cookie=f"hoa_session={first}").get("/api/v1/me")).status_code == 401


@pytest.mark.parametrize(
    "target", ["//evil.example", "https://evil.example", "/\\evil.example", "/\tx", "javascript:alert(1)"]
)
async def test_next_stays_here(site: Site, seabreeze: MadeTenant, someone: str, target: str) -> None:
    answer = await site.browser(seabreeze).sign_in(someone, following=target)
    assert answer.headers["location"] == "/"


async def test_wrong_password_and_unknown_address_look_alike(site: Site, seabreeze: MadeTenant, someone: str) -> None:
    wrong = await site.browser(seabreeze).sign_in(someone, "not the password")
    unknown = await site.browser(seabreeze).sign_in("nobody@nowhere.example", "not the password")
    assert wrong.status_code == unknown.status_code == 401

    def blanked(text: str) -> str:
        return re.sub(r'value="[^"]*"', "", text)

    assert blanked(wrong.text) == blanked(unknown.text)
    assert "is not right" in wrong.text


async def test_guessing_is_throttled_per_account_and_address(site: Site, seabreeze: MadeTenant, someone: str) -> None:
    client = site.client(seabreeze.host, peer="192.0.2.66")
    for _ in range(accounts.PER_ACCOUNT_AND_IP):
        answer = await client.post("/api/v1/session", json={"email": someone, "password": "a guess"})
        assert answer.status_code == 401
    answer = await client.post("/api/v1/session", json={"email": someone, "password": PASSWORD})
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) > 0
    elsewhere = site.client(seabreeze.host, peer="192.0.2.67")
    assert (await elsewhere.post("/api/v1/session", json={"email": someone, "password": PASSWORD})).status_code == 201


class TestGuessing:
    """Guessing is slowed down; the person whose account it is gets in all the same."""

    async def guess(self, site: Site, tenant: MadeTenant, email: str, peer: str, times: int) -> int:
        client = site.client(tenant.host, peer=peer)
        for _ in range(times):
            last = await client.post("/api/v1/session", json={"email": email, "password": "a guess"})
        return last.status_code

    async def test_a_reset_is_a_way_back_in(self, site: Site, seabreeze: MadeTenant, someone: str) -> None:
        peer = "192.0.2.68"
        assert await self.guess(site, seabreeze, someone, peer, accounts.PER_ACCOUNT_AND_IP + 1) == 429
        locked = await site.browser(seabreeze, peer).sign_in(someone)
        assert (locked.status_code, "or reset the password" in locked.text) == (429, True)
        reset = TestPasswordReset()
        await reset.ask(site, seabreeze, someone)
        link = f"/reset-password/{reset.minted(seabreeze, someone)}"
        assert (await site.browser(seabreeze, peer).post(link, {"password": NEW})).status_code == 303
        assert (await site.browser(seabreeze, peer).sign_in(someone, NEW)).status_code == 303

    async def test_from_everywhere_locks_out_strangers_only(
        self, site: Site, seabreeze: MadeTenant, someone: str
    ) -> None:
        home, cafe = "192.0.2.70", "192.0.2.71"
        assert (await site.browser(seabreeze, home).sign_in(someone)).status_code == 303
        with seabreeze.as_admin() as connection:
            connection.execute(
                "INSERT INTO sign_in_failures (account_hash, ip) SELECT %s, '198.51.100.' || n"
                " FROM generate_series(1, %s) n",
                (accounts.account_hash(someone), accounts.PER_ACCOUNT),
            )
        assert (await site.browser(seabreeze, cafe).sign_in(someone)).status_code == 429
        assert (await site.browser(seabreeze, home).sign_in(someone)).status_code == 303

    async def test_the_password_of_an_open_session(self, site: Site, seabreeze: MadeTenant, someone: str) -> None:
        browser = await site.signed_in(seabreeze, someone)
        guess = {"current": "a guess", "password": NEW}
        for _ in range(accounts.PER_ACCOUNT_AND_IP):
            assert (await browser.post("/account/password", guess, page="/account")).status_code == 422
        right = {"current": PASSWORD, "password": NEW}
        answer = await browser.post("/account/password", right, page="/account")
        assert (answer.status_code, "Too many attempts" in answer.text) == (429, True)


async def test_old_parameters_are_rehashed_at_sign_in(site: Site, seabreeze: MadeTenant, someone: str) -> None:
    from argon2 import PasswordHasher

    weak = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
    with seabreeze.as_admin() as connection:
        connection.execute("UPDATE users SET password_hash = %s WHERE email = %s", (weak, someone))
    await site.signed_in(seabreeze, someone)
    with seabreeze.as_admin() as connection:
        row = connection.execute("SELECT password_hash FROM users WHERE email = %s", (someone,)).fetchone()
    assert row is not None
    assert row[0].startswith("$argon2id$v=19$m=19456,t=2,p=1$")


async def test_a_disabled_user_is_out_at_once(site: Site, seabreeze: MadeTenant, someone: str) -> None:
    program = await site.program(seabreeze, someone)
    with seabreeze.as_admin() as connection:
        connection.execute("UPDATE users SET disabled_at = now() WHERE email = %s", (someone,))
    assert (await program.get("/api/v1/me")).status_code == 401
    assert (await site.browser(seabreeze).sign_in(someone)).status_code == 401


@pytest.mark.parametrize(
    "sets",
    [
        "expires_at = now() - interval '1 second'",
        "last_seen_at = now() - interval '8 days'",
        "revoked_at = now()",
    ],
)
async def test_sessions_end(site: Site, seabreeze: MadeTenant, someone: str, sets: str) -> None:
    browser = await site.signed_in(seabreeze, someone)
    with seabreeze.as_admin() as connection:
        connection.execute(
            f"UPDATE sessions SET {sets} WHERE user_id = (SELECT id FROM users WHERE email = %s)", (someone,)
        )
    assert (await browser.get("/account")).status_code == 303


async def test_being_here_keeps_a_session_alive(site: Site, seabreeze: MadeTenant, someone: str) -> None:
    browser = await site.signed_in(seabreeze, someone)
    with seabreeze.as_admin() as connection:
        connection.execute("UPDATE sessions SET last_seen_at = now() - interval '6 days'")
    assert (await browser.get("/account")).status_code == 200
    with seabreeze.as_admin() as connection:
        seen = connection.execute(
            "SELECT now() - s.last_seen_at < interval '1 minute' FROM sessions s JOIN users u ON u.id = s.user_id"
            " WHERE u.email = %s",
            (someone,),
        ).fetchall()
    assert seen == [(True,)]


class TestInvitation:
    """One link, one account."""

    async def test_accept(self, site: Site, seabreeze: MadeTenant) -> None:
        email, link = f"{uuid4().hex}@new.example", f"/invitation/{uuid4().hex}"
        invite(seabreeze, email, "manager", link.rpartition("/")[2])
        browser = site.browser(seabreeze)
        page = await browser.get(link)
        assert page.status_code == 200
        assert email in page.text
        assert page.headers["referrer-policy"] == "same-origin"
        answer = await browser.post(link, {"name": "Ina Invited", "password": NEW, "consent": "yes"})
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        me = (await browser.get("/api/v1/me")).json()
        assert (me["email"], me["name"], me["role"]) == (email, "Ina Invited", "manager")
        assert (await site.browser(seabreeze).get(link)).status_code == 404
        assert (await site.browser(seabreeze).sign_in(email, NEW)).status_code == 303

    async def test_what_must_be_right(self, site: Site, seabreeze: MadeTenant) -> None:
        link = f"/invitation/{uuid4().hex}"
        invite(seabreeze, f"{uuid4().hex}@new.example", "board", link.rpartition("/")[2])
        answer = await site.browser(seabreeze).post(link, {"name": "", "password": "short"})
        assert answer.status_code == 422
        for text in ("Tell us your name", "at least 12 characters", "Agree to the terms"):
            assert text in answer.text
        assert (await site.browser(seabreeze).get(link)).status_code == 200

    async def test_of_two_at_once_one_wins(self, site: Site, seabreeze: MadeTenant) -> None:
        import asyncio

        email, link = f"{uuid4().hex}@new.example", f"/invitation/{uuid4().hex}"
        invite(seabreeze, email, "board", link.rpartition("/")[2])
        browsers = [site.browser(seabreeze) for _ in range(3)]
        answers = await asyncio.gather(
            *(one.post(link, {"name": "One", "password": NEW, "consent": "yes"}) for one in browsers)
        )
        assert sorted(answer.status_code for answer in answers) == [303, 404, 404]

    async def test_another_tenants_link(self, site: Site, seabreeze: MadeTenant, pinnacle: MadeTenant) -> None:
        token = uuid4().hex
        invite(seabreeze, f"{token}@new.example", "owner", token)
        assert (await site.browser(pinnacle).get(f"/invitation/{token}")).status_code == 404


class TestPasswordReset:
    """A link by mail; asking tells nothing."""

    async def ask(self, site: Site, tenant: MadeTenant, email: str) -> str:
        answer = await site.browser(tenant).post("/forgot-password", {"email": email})
        assert answer.status_code == 200
        return answer.text.replace(email, "")

    async def test_known_and_unknown_look_alike(self, site: Site, seabreeze: MadeTenant, someone: str) -> None:
        assert await self.ask(site, seabreeze, someone) == await self.ask(site, seabreeze, "nobody@nowhere.example")

    async def test_mail_is_queued_once(self, site: Site, seabreeze: MadeTenant, someone: str) -> None:
        for _ in range(3):
            await self.ask(site, seabreeze, someone)
        with seabreeze.as_admin() as connection:
            row = connection.execute(
                "SELECT count(*) FROM outbox o JOIN password_resets r ON r.id = (o.payload->>'reset_id')::uuid"
                " JOIN users u ON u.id = r.user_id WHERE u.email = %s",
                (someone,),
            ).fetchone()
        assert row == (1,)

    async def test_set_a_new_one(self, site: Site, seabreeze: MadeTenant, someone: str) -> None:
        before = await site.signed_in(seabreeze, someone)
        await self.ask(site, seabreeze, someone)
        link = f"/reset-password/{self.minted(seabreeze, someone)}"
        browser = site.browser(seabreeze)
        assert (await browser.post(link, {"password": "short"})).status_code == 422
        answer = await browser.post(link, {"password": NEW})
        assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
        assert (await before.get("/account")).status_code == 303
        assert (await site.browser(seabreeze).get(link)).status_code == 404
        assert (await site.browser(seabreeze).sign_in(someone, NEW)).status_code == 303

    async def test_after_an_hour_it_is_over(self, site: Site, seabreeze: MadeTenant, someone: str) -> None:
        await self.ask(site, seabreeze, someone)
        token = self.minted(seabreeze, someone)
        with seabreeze.as_admin() as connection:
            connection.execute("UPDATE password_resets SET expires_at = requested_at - interval '1 second'")
        assert (await site.browser(seabreeze).get(f"/reset-password/{token}")).status_code == 404

    @staticmethod
    def minted(tenant: MadeTenant, email: str) -> str:
        """What the worker does when the mail leaves."""
        from hoa_app.identity.tokens import hash_secret

        token = uuid4().hex
        with tenant.as_admin() as connection:
            connection.execute(
                "UPDATE password_resets SET token_hash = %s WHERE user_id = (SELECT id FROM users WHERE email = %s)",
                (hash_secret(token), email),
            )
        return token


class TestForgery:
    """What another site makes a browser send changes nothing."""

    async def test_without_the_token(self, site: Site, seabreeze: MadeTenant, someone: str) -> None:
        browser = await site.signed_in(seabreeze, someone)
        answer = await browser.client.post("/sign-out", data={})
        assert answer.status_code == 403
        assert "can no longer be sent" in answer.text
        assert (await browser.get("/account")).status_code == 200

    @pytest.mark.parametrize("multipart", [True, False])
    async def test_what_was_typed_is_given_back(
        self, site: Site, seabreeze: MadeTenant, someone: str, multipart: bool
    ) -> None:
        browser = await site.signed_in(seabreeze, someone)
        text = 'The gate "at the pool" stands open <b>again</b> — señora Ana saw it.'
        form = {
            "csrf_token": await browser.token("/account"),
            "category": "Maintenance",
            "title": "The gate",
            "description": text,
        }
        with seabreeze.as_admin() as connection:
            connection.execute("UPDATE sessions SET revoked_at = now()")
        own = {"origin": f"http://{seabreeze.host}", "sec-fetch-site": "same-origin"}

        async def send(headers: dict[str, str]) -> httpx.Response:
            fields: Any = (
                {"files": {name: (None, value) for name, value in form.items()}} if multipart else {"data": form}
            )
            return await browser.client.post("/requests", headers=headers, **fields)

        answer = await send(own)
        assert answer.status_code == 403
        assert "What you typed is below" in answer.text
        assert f">{escape(text)}</textarea>" in answer.text
        assert 'name="category" value="Maintenance"' in answer.text
        assert form["csrf_token"] not in answer.text
        foreign = await browser.client.post("/requests", data=form, headers={"origin": "https://evil.example"})
        assert (foreign.status_code, "The gate" in foreign.text) == (403, False)
        secret = {"email": someone, "password": PASSWORD, "current": PASSWORD, "csrf_token": "0" * 64}
        assert PASSWORD not in (await browser.client.post("/sign-in", data=secret, headers=own)).text
        assert (await browser.sign_in(someone)).status_code == 303
        again = await send(own)
        assert again.status_code == 403
        form["csrf_token"] = HIDDEN.findall(again.text)[-1]
        assert (await send(own)).status_code == 303

    async def test_with_another_sessions_token(self, site: Site, seabreeze: MadeTenant, someone: str) -> None:
        browser = await site.signed_in(seabreeze, someone)
        other = await site.signed_in(seabreeze, add_user(seabreeze, "owner"))
        token = await other.token("/account")
        assert (await browser.client.post("/sign-out", data={"csrf_token": token})).status_code == 403

    async def test_sign_in_itself(self, site: Site, seabreeze: MadeTenant, someone: str) -> None:
        answer = await site.client(seabreeze.host).post("/sign-in", data={"email": someone, "password": PASSWORD})
        assert answer.status_code == 403

    @pytest.mark.parametrize(
        "headers", [{"origin": "https://evil.example"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"}]
    )
    async def test_from_another_site(
        self, site: Site, seabreeze: MadeTenant, someone: str, headers: dict[str, str]
    ) -> None:
        browser = await site.signed_in(seabreeze, someone)
        data = {"csrf_token": await browser.token("/account")}
        assert (await browser.client.post("/sign-out", data=data, headers=headers)).status_code == 403
        same = {"origin": f"http://{seabreeze.host}", "sec-fetch-site": "same-origin"}
        assert (await browser.client.post("/sign-out", data=data, headers=same)).status_code == 303

    async def test_in_a_multipart_form_the_token_comes_before_the_files(
        self, site: Site, seabreeze: MadeTenant, someone: str
    ) -> None:
        browser = await site.signed_in(seabreeze, someone)
        token = await browser.token("/imports")
        content = b"name,email\n" * 20_000
        sent = {"data": {"csrf_token": token}, "files": {"file": ("owners.csv", content, "text/csv")}}
        assert (await browser.client.post("/imports", **sent)).status_code != 403  # type: ignore[arg-type]
        wrong = {"data": {"csrf_token": "0" * 64}, "files": {"file": ("owners.csv", content, "text/csv")}}
        assert (await browser.client.post("/imports", **wrong)).status_code == 403  # type: ignore[arg-type]
        assert (await browser.client.post("/imports", files=sent["files"])).status_code == 403  # type: ignore[arg-type]

    async def test_the_header_serves_scripts(self, site: Site, seabreeze: MadeTenant, someone: str) -> None:
        browser = await site.signed_in(seabreeze, someone)
        body = {"name": "from the page", "days": 1}
        assert (await browser.client.post("/api/v1/tokens", json=body)).status_code == 403
        header = {"x-csrf-token": await browser.token("/account")}
        assert (await browser.client.post("/api/v1/tokens", json=body, headers=header)).status_code == 201

    async def test_a_bearer_token_needs_none(self, site: Site, seabreeze: MadeTenant, someone: str) -> None:
        program = await site.program(seabreeze, someone)
        assert (await program.post("/api/v1/tokens", json={"name": "ci", "days": 1})).status_code == 201


class TestAccount:
    """A person's own page."""

    async def test_change_the_password(self, site: Site, seabreeze: MadeTenant, someone: str) -> None:
        here, there = await site.signed_in(seabreeze, someone), await site.signed_in(seabreeze, someone)
        wrong = await here.post("/account/password", {"current": "x", "password": NEW}, page="/account")
        assert wrong.status_code == 422
        answer = await here.post("/account/password", {"current": PASSWORD, "password": NEW}, page="/account")
        assert answer.status_code == 303
        assert (await here.get("/account")).status_code == 200
        assert (await there.get("/account")).status_code == 303

    async def test_tokens_are_shown_once(self, site: Site, seabreeze: MadeTenant, someone: str) -> None:
        browser = await site.signed_in(seabreeze, someone)
        answer = await browser.post("/account/tokens", {"token_name": "reports"}, page="/account")
        shown = re.search(r"<code[^>]*>([\w.-]+)</code>", answer.text)
        assert shown
        program = site.client(seabreeze.host, authorization=f"Bearer {shown[1]}")
        assert (await program.get("/api/v1/me")).json()["email"] == someone
        assert shown[1] not in (await browser.get("/account")).text
        listed = (await program.get("/api/v1/tokens")).json()["items"]
        assert [one["name"] for one in listed] == ["reports"]
        with seabreeze.as_admin() as connection:
            rows = connection.execute("SELECT t::text FROM api_tokens t").fetchall()
        assert all(shown[1] not in row for (row,) in rows)
        ended = await browser.post(f"/account/tokens/{listed[0]['id']}/revoke", {}, page="/account")
        assert ended.status_code == 303
        assert (await program.get("/api/v1/me")).status_code == 401

    async def test_a_token_makes_no_other(self, site: Site, seabreeze: MadeTenant, someone: str) -> None:
        program = await site.program(seabreeze, someone)
        made = (await program.post("/api/v1/tokens", json={"name": "reports"})).json()
        reports = site.client(seabreeze.host, authorization=f"Bearer {made['token']}")
        refused = await reports.post("/api/v1/tokens", json={"name": "for ever"})
        assert (refused.status_code, "Sign in with your password" in refused.json()["detail"]) == (403, True)
        by_page = await reports.post("/account/tokens", data={"token_name": "for ever"})
        assert by_page.status_code == 403
        assert len((await reports.get("/api/v1/tokens")).json()["items"]) == 1

    @pytest.mark.parametrize("way", ["reset", "change", "change and keep"])
    async def test_what_a_new_password_ends(self, site: Site, seabreeze: MadeTenant, someone: str, way: str) -> None:
        browser, program = await site.signed_in(seabreeze, someone), await site.program(seabreeze, someone)
        made = (await program.post("/api/v1/tokens", json={"name": "reports"})).json()
        reports = site.client(seabreeze.host, authorization=f"Bearer {made['token']}")
        if way == "reset":
            reset = TestPasswordReset()
            await reset.ask(site, seabreeze, someone)
            await site.browser(seabreeze).post(f"/reset-password/{reset.minted(seabreeze, someone)}", {"password": NEW})
        else:
            assert "Revoke my API tokens too" in (await browser.get("/account")).text
            asked = {"revoke_tokens": "yes"} if way == "change" else {}
            form = {"current": PASSWORD, "password": NEW, **asked}
            assert (await browser.post("/account/password", form, page="/account")).status_code == 303
        assert (await program.get("/api/v1/me")).status_code == 401
        assert (await reports.get("/api/v1/me")).status_code == (200 if way == "change and keep" else 401)

    async def test_somebody_elses_token_is_not_there(self, site: Site, seabreeze: MadeTenant, someone: str) -> None:
        mine = await site.program(seabreeze, someone)
        theirs = await site.program(seabreeze, add_user(seabreeze, "owner"))
        made = (await theirs.post("/api/v1/tokens", json={"name": "theirs"})).json()
        assert (await mine.delete(f"/api/v1/tokens/{made['id']}")).status_code == 404
        assert (await theirs.delete(f"/api/v1/tokens/{made['id']}")).status_code == 204


async def test_https_hardens_the_cookies(platform: Platform, seabreeze: MadeTenant, someone: str) -> None:
    async with serving(platform, HOA_URL_SCHEME="https", HOA_TRUSTED_PROXIES="192.0.2.0/24") as site:
        client = site.client(seabreeze.host, accept="text/html", **{"x-forwarded-proto": "https"})
        browser = Browser(client, seabreeze)
        page = await browser.get("/sign-in")
        assert page.headers["strict-transport-security"] == "max-age=31536000"
        visit = page.headers["set-cookie"]
        assert visit.startswith("__Host-hoa_visit=")
        assert "Secure" in visit
        data = {
            "csrf_token": re.findall(r'value="([0-9a-f]{64})"', page.text)[0],
            "email": someone,
            "password": PASSWORD,
        }
        answer = await client.post("/sign-in", data=data, headers={"cookie": visit.partition(";")[0]})
        cookie = next(one for one in answer.headers.get_list("set-cookie") if "hoa_session" in one)
        assert cookie.startswith("__Host-hoa_session=")
        assert "Secure" in cookie
        assert "Path=/" in cookie


async def test_every_answer_is_hardened(site: Site, seabreeze: MadeTenant) -> None:
    for path in ("/sign-in", "/nowhere", "/api/v1/me", "/assets/app.css"):
        headers = (await site.browser(seabreeze).get(path)).headers
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "unsafe-inline" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-request-id"]


async def test_the_worker_is_woken_after_commit(
    platform: Platform, site: Site, seabreeze: MadeTenant, someone: str
) -> None:
    import psycopg

    async with await psycopg.AsyncConnection.connect(
        platform.access.dsn(platform.registry), autocommit=True
    ) as listener:
        await listener.execute("LISTEN hoa_outbox")
        await TestPasswordReset().ask(site, seabreeze, someone)
        heard = [notice.payload async for notice in listener.notifies(timeout=10, stop_after=1)]
    assert heard[:1] == [str(seabreeze.id)]

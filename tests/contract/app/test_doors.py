"""Coming in and going out: sign-in, guessing, sessions and their ends."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from hoa_app.identity import accounts
from tests.contract.app.browser import PASSWORD, Browser, ask_for_reset, minted_reset
from tests.contract.app.conftest import serving

if TYPE_CHECKING:
    from tests.contract.app.browser import Site
    from tests.contract.app.platform import MadeTenant, Platform

NEW = "four words in a row"


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
        await ask_for_reset(site, seabreeze, someone)
        link = f"/reset-password/{minted_reset(seabreeze, someone)}"
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
        await ask_for_reset(site, seabreeze, someone)
        heard = [notice.payload async for notice in listener.notifies(timeout=10, stop_after=1)]
    assert heard[:1] == [str(seabreeze.id)]

"""A person's own page: password, tokens, sessions."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.contract.app.browser import PASSWORD, add_user, ask_for_reset, minted_reset

if TYPE_CHECKING:
    from tests.contract.app.browser import Site
    from tests.contract.app.platform import MadeTenant

NEW = "four words in a row"


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
            await ask_for_reset(site, seabreeze, someone)
            await site.browser(seabreeze).post(f"/reset-password/{minted_reset(seabreeze, someone)}", {"password": NEW})
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

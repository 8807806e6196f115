"""Links that were mailed: an invitation, a forgotten password."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

from tests.contract.app.browser import ask_for_reset, invite, minted_reset

if TYPE_CHECKING:
    from tests.contract.app.browser import Site
    from tests.contract.app.platform import MadeTenant

NEW = "four words in a row"


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

    async def test_known_and_unknown_look_alike(self, site: Site, seabreeze: MadeTenant, someone: str) -> None:
        assert await ask_for_reset(site, seabreeze, someone) == await ask_for_reset(
            site, seabreeze, "nobody@nowhere.example"
        )

    async def test_mail_is_queued_once(self, site: Site, seabreeze: MadeTenant, someone: str) -> None:
        for _ in range(3):
            await ask_for_reset(site, seabreeze, someone)
        with seabreeze.as_admin() as connection:
            row = connection.execute(
                "SELECT count(*) FROM outbox o JOIN password_resets r ON r.id = (o.payload->>'reset_id')::uuid"
                " JOIN users u ON u.id = r.user_id WHERE u.email = %s",
                (someone,),
            ).fetchone()
        assert row == (1,)

    async def test_set_a_new_one(self, site: Site, seabreeze: MadeTenant, someone: str) -> None:
        before = await site.signed_in(seabreeze, someone)
        await ask_for_reset(site, seabreeze, someone)
        link = f"/reset-password/{minted_reset(seabreeze, someone)}"
        browser = site.browser(seabreeze)
        assert (await browser.post(link, {"password": "short"})).status_code == 422
        answer = await browser.post(link, {"password": NEW})
        assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
        assert (await before.get("/account")).status_code == 303
        assert (await site.browser(seabreeze).get(link)).status_code == 404
        assert (await site.browser(seabreeze).sign_in(someone, NEW)).status_code == 303

    async def test_after_an_hour_it_is_over(self, site: Site, seabreeze: MadeTenant, someone: str) -> None:
        await ask_for_reset(site, seabreeze, someone)
        token = minted_reset(seabreeze, someone)
        with seabreeze.as_admin() as connection:
            connection.execute("UPDATE password_resets SET expires_at = requested_at - interval '1 second'")
        assert (await site.browser(seabreeze).get(f"/reset-password/{token}")).status_code == 404

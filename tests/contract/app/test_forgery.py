"""Forms that cannot be forged: what another site makes a browser send changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from markupsafe import escape

from tests.contract.app.browser import HIDDEN, PASSWORD, add_user

if TYPE_CHECKING:
    import httpx

    from tests.contract.app.browser import Site
    from tests.contract.app.platform import MadeTenant

NEW = "four words in a row"


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

"""What the app's log lines hold: the tenant and the request of everything, a secret of nobody."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from structlog.testing import capture_logs

from hoa_app.tenancy import limits
from tests.contract.app.browser import add_user, eventually, invite
from tests.contract.app.conftest import serving

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import httpx

    from tests.contract.app.browser import Site
    from tests.contract.app.platform import MadeTenant, Platform

LINKS = (
    "/invitation/{}",
    "/reset-password/{}",
    "/invitation/{}/",
    "/.//invitation/{}",
    "/INVITATION/{}",
    "/invitation/a/{}",
)


def lines_of(logs: Sequence[Mapping[str, Any]], answer: httpx.Response) -> list[Mapping[str, Any]]:
    return [line for line in logs if line.get("request_id") == answer.headers["x-request-id"]]


@pytest.mark.parametrize("link", LINKS)
async def test_no_link_shows_its_secret_whatever_becomes_of_the_request(
    site: Site, seabreeze: MadeTenant, link: str
) -> None:
    secret = f"live-{uuid4().hex}"
    invite(seabreeze, f"{secret}@new.example", "board", secret)
    client = site.client(seabreeze.host, accept="text/html")
    with capture_logs() as logs:
        refused = await client.post(link.format(secret), data={"password": "no form token came with this"})
        shown = await client.get(link.format(secret))
        wrong = await client.put(link.format(secret))
        foreign = await site.client("nobody.example").get(link.format(secret))
    assert refused.status_code == 403
    for answer in (refused, shown, wrong, foreign):
        (line,) = lines_of(logs, answer)
        assert line["status"] == answer.status_code
    assert secret not in repr(logs)


@pytest.mark.parametrize("refusal", ["rate", "suspended"])
async def test_nor_when_the_tenant_may_not_be_served(platform: Platform, refusal: str) -> None:
    limits = {"requestsPerSecond": 1} if refusal == "rate" else None
    tenant = platform.make_tenant(
        f"held-{refusal}", state="Suspended" if refusal == "suspended" else "Active", limits=limits
    )
    secret = f"live-{uuid4().hex}"
    async with serving(platform) as site:
        client = site.client(tenant.host)
        with capture_logs() as logs:
            answers = [await client.get(f"/invitation/{secret}") for _ in range(6)]
        assert {"rate": 429, "suspended": 403}[refusal] in {answer.status_code for answer in answers}
        assert secret not in repr(logs)
        assert all(line["tenant"] == str(tenant.id) for answer in answers for line in lines_of(logs, answer))


async def test_a_rush_does_not_fill_the_log(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    tenant = platform.make_tenant("torrent", limits={"requestsPerSecond": 1})
    monkeypatch.setattr(limits, "TOLD_SECONDS", 0.3)
    async with serving(platform) as site:
        client = site.client(tenant.host)
        with capture_logs() as logs:
            answers = [await client.get("/api/v1/me") for _ in range(40)]
            refused = [answer for answer in answers if answer.status_code == 429]
            # Nothing more comes, and still all are told.
            await eventually(lambda: sum(line["count"] for line in told_of(logs)) == len(refused))
        assert len(refused) > 30
        assert not [line for answer in refused for line in lines_of(logs, answer)]
        assert told_of(logs)[0]["count"] == 1
        assert len(told_of(logs)) < len(refused) / 2
        assert {line["tenant"] for line in told_of(logs)} == {str(tenant.id)}
        assert all(line["ip"] and line["of_ip"] == line["count"] for line in told_of(logs))


def told_of(logs: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [line for line in logs if line["event"] == "requests refused"]


async def test_every_line_of_a_request_names_its_tenant(site: Site, seabreeze: MadeTenant) -> None:
    email = add_user(seabreeze, "owner")
    browser = await site.signed_in(seabreeze, email)
    with capture_logs() as logs:
        answer = await browser.get("/account")
    (line,) = lines_of(logs, answer)
    assert (line["tenant"], line["route"], line["path"]) == (str(seabreeze.id), "/account", "/account")
    assert email not in repr(logs)
    assert browser.client.cookies["hoa_session"] not in repr(logs)

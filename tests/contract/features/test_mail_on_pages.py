"""A mail that does not arrive, as the people read it who wait for it: on the person's page, in the lists, at home."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from hoa_app.features import FEATURES
from hoa_app.jobs.breaker import Breaker
from hoa_app.settings import Settings
from tests.contract.app.conftest import serving
from tests.contract.app.workers import Mailbox, eventually, working
from tests.contract.features.office import Office, shown
from tests.contract.features.pages import faults

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.contract.app.platform import Platform

MAIL = "kind = 'mail.invitation'"


class Company:
    """An office with its mail server, which is away until it is started."""

    def __init__(self, office: Office, mailbox: Mailbox, settings: Settings) -> None:
        self.office = office
        self.mailbox = mailbox
        self.settings = settings

    async def work(self, until: str) -> None:
        """Let the worker work until no invitation is in this condition any more."""
        async with working(self.settings, *FEATURES, breaker=Breaker(base_seconds=0.1)):
            await eventually(
                lambda: self.office.rows(f"SELECT count(*) FROM outbox WHERE {MAIL} AND {until}") == [(0,)]
            )


@pytest_asyncio.fixture
async def company(platform: Platform) -> AsyncIterator[Company]:
    tenant, mailbox = platform.make_tenant(f"mailed{len(platform.tenants)}"), Mailbox()
    environment = platform.environment(
        HOA_SMTP_URL=f"smtp://127.0.0.1:{mailbox.port}", HOA_ONLY_TENANT=tenant.slug, HOA_URL_PORT="8443"
    )
    async with serving(platform) as site:
        yield Company(await Office.open(site, tenant), mailbox, Settings.from_env(environment))
    await mailbox.stop()


async def test_mail_that_waits_is_told_of_and_leaves_by_itself(company: Company) -> None:
    owner, person = company.office.owner, await company.office.person(email="ana@x.example")
    assert "waiting" not in shown(await owner.see("/"))
    await owner.done(f"/people/{person['id']}/invite")
    assert "The mail is on its way." in shown(await owner.see(f"/people/{person['id']}"))
    await owner.done("/team/invitations", {"name": "Mo", "email": "mo@x.example", "role": "manager"})

    await company.work("state = 'queued' AND last_error IS NULL")
    page = await owner.see(f"/people/{person['id']}")
    assert "The mail is waiting. The mail server is away. It is tried again by itself." in shown(page)
    assert "127.0.0.1" not in page
    assert "The mail is waiting. The mail server is away." in shown(await owner.see("/team"))
    home = await owner.see("/")
    assert faults(home) == []
    assert "mails are waiting The mail server is away. Invitations" in shown(home)
    assert "nothing is lost" not in shown(await company.office.visitors["board"].see("/"))

    await company.mailbox.start()
    await company.work("state = 'queued'")
    assert company.mailbox.to("ana@x.example")
    assert "The mail was sent." in shown(await owner.see(f"/people/{person['id']}"))
    assert "waiting" not in shown(await owner.see("/"))
    assert "The mail" not in shown(await owner.see("/team"))


@pytest.mark.parametrize("where", ["person", "team"])
async def test_mail_that_is_refused_says_why_and_what_to_do(company: Company, where: str) -> None:
    owner, office = company.office.owner, company.office
    company.mailbox.refused["typo@x.example"] = "550 No such user here"
    await company.mailbox.start()
    person = await office.person(email="typo@x.example")
    if where == "person":
        await owner.done(f"/people/{person['id']}/invite")
    else:
        await owner.done("/team/invitations", {"name": "Mo", "email": "typo@x.example", "role": "manager"})
    await company.work("state = 'queued'")
    if where == "team":
        page = await owner.see("/team")
        assert "The mail did not arrive. The mail server refused the message for good: 550 No such user" in shown(page)
        assert faults(page) == []
        return
    page = await owner.see(f"/people/{person['id']}")
    assert faults(page) == []
    assert "The mail to typo@x.example did not arrive" in shown(page)
    assert "550 No such user here Correct the email address and send it again." in shown(page)
    assert "Mail refused" in shown(await owner.see("/people"))

    right = {"name": person["name"], "email": "right@x.example", "version": "1"}
    await owner.done(f"/people/{person['id']}", right)
    await owner.done(f"/people/{person['id']}/invite")
    await company.work("state = 'queued'")
    assert "Invited just now. The mail was sent." in shown(await owner.see(f"/people/{person['id']}"))


async def test_the_address_of_the_account_is_shown_after_the_contact_has_changed(office: Office) -> None:
    _, person, _ = await office.homeowner("moved.mail")
    path = f"/people/{person['id']}"
    assert f"Signs in as {person['email']} ." in shown(await office.manager.see(path))
    await office.manager.done(path, {"name": person["name"], "email": "new.address@x.example", "version": "1"})
    page = shown(await office.manager.see(path))
    assert f"Signs in as {person['email']} . The address under “Contact details” is another one" in page
    refused = await office.manager.post(f"{path}/invite")
    assert refused.status_code == 409
    assert f"can sign in with {person['email']}" in shown(refused.text)

"""Who hears of what by mail: through the outbox, a real worker and a real mail server, each person once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest_asyncio

from hoa_app.features import FEATURES
from hoa_app.features.requests.mail import KIND
from hoa_app.settings import Settings
from tests.contract.app.conftest import serving
from tests.contract.app.workers import Mailbox, eventually, working
from tests.contract.features.office import PNG, Office, hidden

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from email.message import EmailMessage

    from tests.contract.app.platform import Platform
    from tests.contract.features.office import Visitor

FILED = {"category": "Maintenance", "title": "The gate is broken", "description": "Since Monday it stands open."}
# What is queued daily waits for the worker's next round, and is no mail.
WAITING = "SELECT count(*) FROM outbox WHERE state = 'queued' AND kind LIKE '%%mail%%'"


class Post:
    """A company, and what its people find in their mail."""

    def __init__(self, office: Office, mailbox: Mailbox, settings: Settings) -> None:
        self.office = office
        self.mailbox = mailbox
        self.settings = settings

    async def arrived(self) -> dict[str, list[str]]:
        """Let the worker send everything that waits; subjects by the part of the address before the @."""
        before = len(self.mailbox.received)
        async with working(self.settings, *FEATURES):
            await eventually(lambda: self.office.rows(WAITING) == [(0,)])
        found: dict[str, list[str]] = {}
        for message in self.mailbox.received[before:]:
            found.setdefault(address(message), []).append(str(message["Subject"]))
        return found

    def last(self, who: str) -> tuple[str, str]:
        """The newest mail of someone, as text and as HTML."""
        message = next(one for one in reversed(self.mailbox.received) if address(one) == who)
        text, html = message.get_body(("plain",)), message.get_body(("html",))
        assert text
        assert html
        return text.get_content(), html.get_content()


def address(message: EmailMessage) -> str:
    return str(message["To"].addresses[0].username)


@pytest_asyncio.fixture(scope="module")
async def post(platform: Platform) -> AsyncIterator[Post]:
    tenant = platform.make_tenant("mailco")
    mailbox = Mailbox()
    environment = platform.environment(
        HOA_SMTP_URL=f"smtp://127.0.0.1:{mailbox.port}", HOA_ONLY_TENANT=tenant.slug, HOA_URL_PORT="8443"
    )
    async with serving(platform) as site:
        made = Post(await Office.open(site, tenant), mailbox, Settings.from_env(environment))
        await mailbox.start()
        try:
            await made.arrived()
            yield made
        finally:
            await mailbox.stop()


async def reply(visitor: Visitor, path: str, **fields: str) -> None:
    page = await visitor.see(path)
    await visitor.done(f"{path}/reply", {"version": hidden(page, "version"), **fields})


async def test_a_new_request_reaches_every_manager_once(post: Post) -> None:
    ana, person, unit = await post.office.homeowner("ana")
    path = await ana.done("/requests", FILED, [("photos", ("a.png", PNG, "image/png"))])
    number = post.office.rows("SELECT max(number) FROM requests")[0][0]
    subject = f"#{number} The gate is broken: New request from {person['name']}."
    assert await post.arrived() == {"owner": [subject], "manager": [subject]}
    for text in post.last("manager"):
        assert f"New request from {person['name']}." in text
        assert f"{unit['community']} {unit['label']}" in text
        assert "Since Monday it stands open." in text
        assert "With 1 photo." in text
        assert f"http://mailco.localhost:8443{path}" in text

    await reply(post.office.manager, path, body="We mend it tomorrow.", state="InProgress")
    assert await post.arrived() == {"ana": [f"#{number} The gate is broken: Your request is now in progress."]}
    for text in post.last("ana"):
        assert "Manager of mailco wrote:" in text
        assert "We mend it tomorrow." in text
        assert "State: In progress" in text
        assert f"{unit['community']} {unit['label']}" in text
        assert f"http://mailco.localhost:8443{path}" in text

    await reply(post.office.manager, path, state="Resolved")
    assert await post.arrived() == {"ana": [f"#{number} The gate is broken: Your request is now resolved."]}
    await reply(post.office.manager, path, body="Only for us.", visibility="Internal")
    assert await post.arrived() == {}


async def test_a_homeowners_reply_reaches_whoever_looks_after_it_else_the_managers(post: Post) -> None:
    bob, _, _ = await post.office.homeowner("bob")
    path = await bob.done("/requests", FILED)
    await post.arrived()
    await reply(bob, path, body="Hello?")
    news = await post.arrived()
    assert set(news) == {"owner", "manager"}
    assert all(subjects[0].endswith("Homeowner of mailco replied.") for subjects in news.values())
    assert "Hello?" in post.last("owner")[0]

    (board,) = post.office.rows("SELECT id FROM users WHERE email = 'board@mailco.example'")
    version = hidden(await post.office.manager.see(path), "version")
    await post.office.manager.done(f"{path}/assign", {"assignee_id": str(board[0]), "version": version})
    (subject,) = (await post.arrived()).pop("board")
    assert subject.endswith("Manager of mailco asked you to look after this request.")
    assert "Since Monday it stands open." in post.last("board")[0]
    await reply(bob, path, body="Never mind.", state="Closed")
    assert {who: [one.split(": ")[1] for one in all_] for who, all_ in (await post.arrived()).items()} == {
        "board": ["Homeowner of mailco replied and moved it to closed."]
    }


async def test_nobody_hears_of_what_they_did(post: Post) -> None:
    path = await post.office.manager.done("/requests", FILED)
    assert set(await post.arrived()) == {"owner"}
    await reply(post.office.manager, path, body="To myself.", state="Closed")
    assert "manager" not in await post.arrived()


async def test_a_homeowner_hears_that_staff_noted_their_call(post: Post) -> None:
    _, person, unit = await post.office.homeowner("cleo")
    data = {**FILED, "person_id": person["id"], "unit_id": unit["id"]}
    path = await post.office.manager.done("/requests", data)
    news = await post.arrived()
    assert set(news) == {"owner", "cleo"}
    assert news["cleo"][0].endswith("Manager of mailco noted this request for you.")
    stranger = await post.office.person(name="Dora without account")
    other = await post.office.manager.done("/requests", {**FILED, "person_id": stranger["id"]})
    assert "No account yet, so no mail" in await post.office.manager.see(other)
    assert "Sent by mail as well" in await post.office.manager.see(path)
    assert set(await post.arrived()) == {"owner"}


async def test_a_form_sent_twice_and_a_worker_run_twice_mail_once(post: Post) -> None:
    dan, _, _ = await post.office.homeowner("dan")
    key = hidden(await dan.see("/requests/new"), "submission_key")
    for _ in range(2):
        await dan.done("/requests", {**FILED, "submission_key": key})
    news = await post.arrived()
    assert {who: len(subjects) for who, subjects in news.items()} == {"owner": 1, "manager": 1}
    assert await post.arrived() == {}


async def test_news_that_waits_is_one_mail_for_each_person(post: Post) -> None:
    fay, _, _ = await post.office.homeowner("fay")
    path = await fay.done("/requests", FILED)
    for number in range(1, 13):
        await reply(fay, path, body=f"Word number {number}.")
    news = await post.arrived()
    assert {who: [one.split(": ")[1] for one in subjects] for who, subjects in news.items()} == {
        "owner": ["Homeowner of mailco replied."],
        "manager": ["Homeowner of mailco replied."],
    }
    for text in post.last("manager"):
        assert "Before that: New request from Person" in text
        assert "Since Monday it stands open." in text
        assert "2 more messages before these can be read on the page." in text
        assert "Word number 2." not in text
        assert text.index("Word number 3.") < text.index("Word number 12.")
    await reply(fay, path, body="And another.")
    assert set(await post.arrived()) == {"owner", "manager"}
    assert "Word number" not in post.last("manager")[0]


async def test_a_mail_that_is_being_sent_takes_no_more_news(post: Post) -> None:
    gus, _, _ = await post.office.homeowner("gus")
    path = await gus.done("/requests", FILED)
    with post.office.tenant.as_admin() as worker, worker.transaction():
        worker.execute("SELECT FROM outbox WHERE kind = %s AND state = 'queued' FOR UPDATE", (KIND,))
        await reply(gus, path, body="One thing more.")
    news = await post.arrived()
    assert {who: len(subjects) for who, subjects in news.items()} == {"owner": 2, "manager": 2}
    assert "One thing more." in post.last("manager")[0]


async def test_closed_accounts_get_no_mail_and_the_queue_holds_no_words(post: Post) -> None:
    eve, _, _ = await post.office.homeowner("eve")
    post.office.rows("UPDATE users SET disabled_at = now() WHERE email = 'owner@mailco.example' RETURNING 1")
    await eve.done("/requests", {**FILED, "description": "My code is 4711."})
    queued: list[tuple[Any, ...]] = post.office.rows(
        "SELECT payload FROM outbox WHERE kind = %s AND state = 'queued'", KIND
    )
    assert len(queued) == 1
    assert "4711" not in str(queued)
    assert set(await post.arrived()) == {"manager"}
    assert "My code is 4711." in post.last("manager")[0]

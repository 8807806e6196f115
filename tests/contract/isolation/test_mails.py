"""What the worker mails for one company speaks of that company alone."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from structlog.testing import capture_logs

from hoa_app.features import FEATURES
from tests.contract.app.workers import Mailbox, eventually, settings, working
from tests.contract.isolation.canaries import MARK
from tests.never import never

if TYPE_CHECKING:
    from email.message import EmailMessage

    from tests.contract.app.platform import Platform
    from tests.contract.isolation.companies import Company
    from tests.contract.isolation.world import World

#: The sweeps before this leave thousands of mails queued; of each kind the newest are enough.
FEW = (
    "DELETE FROM outbox WHERE id NOT IN (SELECT id FROM (SELECT id, row_number() OVER"
    " (PARTITION BY kind ORDER BY created_at DESC) AS number FROM outbox WHERE state = 'queued') newest WHERE number <= 3)"
)
WAITING = "SELECT count(*) FROM outbox WHERE state = 'queued' AND last_error IS NULL AND next_attempt_at <= now()"


async def test_what_the_worker_mails_is_one_companys_own(place: Platform, world: World) -> None:
    """Invitations and resets of every company that is served, and the newest of all that the sweeps left to be mailed."""
    served = [world.own, world.other, world.after]
    for company in served:
        fill(company)
    mailbox = Mailbox()
    await mailbox.start()
    with capture_logs() as events:
        async with working(settings(place, mailbox), *FEATURES):
            await eventually(lambda: sum(waiting(company) for company in served) == 0)
    await mailbox.stop()
    spoken_of = [(str(message["Subject"]), tags(message)) for message in mailbox.received]
    never([(subject, found) for subject, found in spoken_of if len(found) > 1], "words of two companies in one mail")
    assert [(subject, found) for subject, found in spoken_of if not found] == []
    assert set().union(*(found for _, found in spoken_of)) == {company.tag for company in served}
    never(world.aviary.search_log(json.dumps(events, default=str).encode()), "people's words in the log")


def fill(company: Company) -> None:
    """Leave little in the outbox, and put in a mail of each kind that a stranger may get."""
    with company.made.as_admin() as connection:
        connection.execute(FEW)
        for name, table, kind in (
            ("invitation_id", "invitations", "mail.invitation"),
            ("reset_id", "password_resets", "mail.password_reset"),
        ):
            connection.execute(
                f"INSERT INTO outbox (kind, payload) SELECT '{kind}', jsonb_build_object('{name}', id)"
                f" FROM {table} LIMIT 2".encode()
            )


def waiting(company: Company) -> int:
    """Count the rows that the worker has not tried yet."""
    with company.made.as_admin() as connection:
        row = connection.execute(WAITING).fetchone()
    assert row is not None
    return int(row[0])


def tags(message: EmailMessage) -> set[str]:
    """The companies whose canaries are anywhere in a mail."""
    parts = [part.get_content() for part in message.walk() if part.get_content_maintype() == "text"]
    text = "\n".join([*(f"{name}: {value}" for name, value in message.items()), *parts])
    return {match[1].decode() for match in MARK.finditer(text.encode())}

"""What is said of the admin's invitation: only what the migration's result and the tenant's own figures tell."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from hoa_operator import conditions, desire, names, steps
from hoa_operator.kinds import name_of
from hoa_operator.manifests.secrets import Marks
from hoa_operator.migration import parse_result
from hoa_operator.plan import plan
from hoa_operator.usage import UsageBook
from hoa_operator.world import Reading, Trouble
from tests.unit.operator.samples import (
    CREDENTIALS,
    UID,
    children,
    live,
    served,
    settings,
    tenant_body,
    usage,
)

if TYPE_CHECKING:
    from hoa_operator.world import World


def after_a_job(invitation: str | None, mail: str = "Sent", email: str = "maria@seabreeze.example") -> World:
    """Return a served tenant whose last migration said that of the invitation, with an admin of now."""
    base = served()
    kept = [
        item
        for items in base.children.by_kind.values()
        for item in items
        if name_of(item) != names.migrator_secret("seabreeze")
    ]
    marks = Marks(desire.purpose(base), invitation=invitation)
    secret = live(desire.migrator_secret(base, CREDENTIALS, marks))
    admin = {"name": "Maria", "email": email}
    target = served(tenant_body(admin=admin)).target
    reading = Reading(usage(mail))
    return replace(base, children=children(secret, *kept), target=target, reading=reading)


@pytest.mark.parametrize(
    ("invitation", "mail", "said"),
    [
        ("Created", "Sent", ("True", "Sent", "the invitation went to maria@seabreeze.example")),
        ("Exists", "Sent", ("True", "Sent", "the invitation went to maria@seabreeze.example")),
        ("Created", "Queued", ("False", "Queued", "the invitation to maria@seabreeze.example waits in the outbox")),
        (None, "Sent", ("True", "Sent", "the invitation went out")),
        (None, "Queued", ("False", "Queued", "the invitation waits in the outbox")),
        ("IsOwner", "Sent", ("True", "IsOwner", "signs in as owner already")),
        ("Invited", "Sent", ("True", "Invited", "is invited as owner already")),
        ("HasAccount", "Sent", ("False", "HasAccount", "no invitation was sent; have an owner change it")),
    ],
)
def test_the_welcome_mail_names_only_whom_it_went_to(
    invitation: str | None, mail: str, said: tuple[str, str, str]
) -> None:
    base = after_a_job(invitation, mail)
    found = conditions.read(base, plan(base))[steps.WELCOME_MAIL_SENT]
    assert (found.status, found.reason) == said[:2]
    assert said[2] in found.message


@pytest.mark.parametrize("invitation", ["Created", "HasAccount", None])
def test_another_admin_is_not_said_to_be_invited_before_it_is_so(invitation: str | None) -> None:
    base = after_a_job(invitation, "Sent", "dana@seabreeze.example")
    found = conditions.read(base, plan(base))[steps.WELCOME_MAIL_SENT]
    assert (found.status, found.reason) == ("False", "NotQueued")
    assert "dana@seabreeze.example is written when the migration has run" in found.message
    upgraded = replace(after_a_job(invitation), settings=settings(HOA_APP_SCHEMA_REVISION="0003"))
    assert conditions.read(upgraded, plan(upgraded))[steps.WELCOME_MAIL_SENT].reason != "NotQueued"


def test_what_was_said_of_the_mail_stands_until_somebody_has_looked() -> None:
    known = after_a_job("Created")
    later = replace(known, reading=Reading(later=True))
    assert steps.WELCOME_MAIL_SENT not in conditions.read(later, plan(later))
    assert steps.SEND_WELCOME_EMAIL not in conditions.onboarding(later)
    assert conditions.onboarding(known).items() > conditions.onboarding(later).items()
    for world in (after_a_job("HasAccount"), after_a_job("Created", "Sent", "dana@seabreeze.example")):
        unseen = replace(world, reading=Reading(later=True))
        said = conditions.read(world, plan(world))[steps.WELCOME_MAIL_SENT]
        assert conditions.read(unseen, plan(unseen))[steps.WELCOME_MAIL_SENT] == said


async def test_figures_from_before_a_migration_tell_nothing_of_its_mail() -> None:
    book, tenant, trouble = UsageBook(lambda: 0.0, 300.0), UUID(UID), Trouble("UsageUnreadable", "it has 2 rows")
    answers = [Reading(usage("Sent")), Reading(usage("Queued")), Reading(usage("Sent")), Reading(trouble=trouble)]
    asked = 0

    async def ask() -> Reading:
        nonlocal asked
        asked += 1
        return answers[asked - 1]

    async def mail(of: str) -> str:
        found = (await book.read(tenant, ask, of)).usage
        assert found is not None
        return found.welcome_mail

    assert [await mail("one"), await mail("one")] == ["Sent", "Sent"]
    assert (await mail("two"), asked) == ("Queued", 2)
    assert (await mail("three"), asked) == ("Sent", 3)
    assert (await mail("four"), asked) == ("Queued", 4), "nobody can tell"
    assert (await mail("four"), asked) == ("Queued", 4), "and it is not asked all the time"


@pytest.mark.parametrize("said", ["Created", "HasAccount", None])
def test_a_result_is_read_and_kept(said: str | None) -> None:
    told = f'"{said}"' if said else "null"
    result = parse_result(f'{{"result": "ok", "reason": "Migrated", "message": "", "invitation": {told}}}')
    assert result is not None
    assert result.invitation == said
    secret: Any = {"metadata": {"annotations": Marks("digest", 2, said).annotations()}}
    assert Marks.read(secret) == Marks("digest", 2, said)

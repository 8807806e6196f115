"""What can be done with people and what they own; pages, the API and other features come through here."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4, uuid5

from psycopg.errors import ExclusionViolation, UniqueViolation

from hoa_app.audit import audit
from hoa_app.db.session import Tx
from hoa_app.feature import AcceptedInvitation
from hoa_app.features.kit.answers import Rejected, Stale
from hoa_app.features.kit.mailed import of_invitations
from hoa_app.features.kit.paging import Page, decode_cursor, paged
from hoa_app.features.people import store
from hoa_app.features.people.model import EndForm, Ownership, OwnershipForm, Person, PersonForm
from hoa_app.identity.actor import Actor
from hoa_app.identity.invitations import invite
from hoa_app.identity.roles import Role
from hoa_app.problems import Problem, not_found


@dataclass(frozen=True)
class Round:
    """What came of inviting many: how many were, how many are left, and whose invitation was refused.

    ``changed``: nobody was invited, because others had been since the page was opened.
    """

    invited: int
    left: int
    refused: tuple[str, ...] = ()
    changed: bool = False


_FACTS = ("name", "email", "phone", "mailing_address")
_TAKEN = "Another person already has this address. Each person needs their own, because they sign in with it."


async def listed(tx: Tx, search: str, community_id: UUID | None, after: str | None, limit: int) -> Page[Person]:
    """A page of people by name; every word of ``search`` must be found in name, mail, phone, unit or community."""
    found = await store.people(tx, search[:120], community_id, decode_cursor(after, "text", "uuid"), limit)
    return paged(found, limit, lambda row: (row.name, row.id))


async def get(tx: Tx, person_id: UUID) -> Person:
    """One person, or 404."""
    found = await store.person(tx, person_id)
    if found is None:
        raise not_found("person")
    return found


async def create(tx: Tx, actor: Actor, form: PersonForm) -> Person:
    """A new person; the one that the same form made, when it is sent twice."""
    # The id is drawn from the form and whoever sent it: the key of the table sees to it that there is one.
    person_id = uuid5(actor.user_id, str(form.submission_key)) if form.submission_key else uuid4()
    if not await store.insert_person(tx, person_id, form):
        twin = await store.person(tx, person_id)
        if twin is None:
            raise Rejected({"email": _TAKEN})
        return twin
    await audit(tx, actor, "people.created", "person", person_id, {"name": form.name})
    return await get(tx, person_id)


async def change(tx: Tx, actor: Actor, person_id: UUID, form: PersonForm) -> Person:
    """New facts about a person, if nobody changed them since."""
    before = await get(tx, person_id)
    try:
        saved = await store.update_person(tx, person_id, form)
    except UniqueViolation:
        raise Rejected({"email": _TAKEN}) from None
    if not saved:
        now = await get(tx, person_id)
        if now.version == form.version + 1 and all(getattr(now, field) == getattr(form, field) for field in _FACTS):
            return now  # a second click: the first one saved it
        raise Stale("person")
    changed = [field for field in _FACTS if getattr(before, field) != getattr(form, field)]
    await audit(tx, actor, "people.changed", "person", person_id, {"fields": changed})
    return await get(tx, person_id)


async def history(tx: Tx, person_id: UUID) -> list[Ownership]:
    """Everything a person owns or owned."""
    return await store.ownerships(tx, person_id=person_id)


async def owners(tx: Tx, unit_id: UUID) -> list[Ownership]:
    """Everyone who owns or owned a unit."""
    return await store.ownerships(tx, unit_id=unit_id)


async def own(tx: Tx, actor: Actor, person_id: UUID, form: OwnershipForm, *, sent_twice: bool = False) -> Ownership:
    """Record that a person owns a unit from a day on; with ``sent_twice``, one that says just that already will do."""
    person = await get(tx, person_id)
    await store.hold_person(tx, person_id)
    if not await store.hold_unit(tx, form.unit_id):
        raise Rejected({"unit_id": "Choose a unit from the list."})
    try:
        async with tx.transaction():
            if form.is_primary and form.valid_to is None:
                await store.yield_primary(tx, form.unit_id)
            made = await store.insert_ownership(tx, person_id, form)
    except ExclusionViolation:
        same = await store.same_ownership(tx, person_id, form) if sent_twice else None
        if same is not None:
            return await ownership(tx, same)
        raise Rejected({"valid_from": f"{person.name} already owns this unit at some time in that period."}) from None
    await audit(
        tx, actor, "ownerships.created", "ownership", made, {"person": person.name, "from": form.valid_from.isoformat()}
    )
    return await ownership(tx, made)


async def ownership(tx: Tx, ownership_id: UUID) -> Ownership:
    """One ownership, or 404."""
    found = await store.ownership(tx, ownership_id)
    if found is None:
        raise not_found("ownership")
    return found


async def end(tx: Tx, actor: Actor, ownership_id: UUID, form: EndForm) -> Ownership:
    """Record that an ownership ended; ``valid_to`` is the first day without it."""
    found = await ownership(tx, ownership_id)
    if form.valid_to <= found.valid_from:
        raise Rejected({"valid_to": f"The end must be after {found.valid_from.isoformat()}, when the ownership began."})
    if not await store.end_ownership(tx, ownership_id, form.valid_to):
        found = await ownership(tx, ownership_id)
        if found.valid_to == form.valid_to:
            return found
        raise Problem(409, "This ownership has already ended", f"It ended on {found.valid_to}.")
    await audit(tx, actor, "ownerships.ended", "ownership", ownership_id, {"to": form.valid_to.isoformat()})
    return await ownership(tx, ownership_id)


async def make_primary(tx: Tx, actor: Actor, ownership_id: UUID) -> Ownership:
    """Make someone the one to write to first about a unit."""
    found = await ownership(tx, ownership_id)
    if found.valid_to is not None:
        raise Problem(
            409, "This ownership has an end", "Only someone who goes on owning the unit can be its primary contact."
        )
    await store.hold_unit(tx, found.unit_id)
    await store.yield_primary(tx, found.unit_id)
    await store.set_primary(tx, ownership_id)
    await audit(tx, actor, "ownerships.primary", "ownership", ownership_id, {"person": found.person})
    return await ownership(tx, ownership_id)


async def invite_to_portal(tx: Tx, actor: Actor, person_id: UUID) -> Person:
    """Send a person the mail with which they open their own account; again if the first one was lost."""
    person = await get(tx, person_id)
    if person.user_id is not None:
        raise Problem(409, "Already has an account", f"{person.name} can sign in with {person.signs_in_as}.")
    if not person.email:
        raise Rejected({"email": f"Add an email address for {person.name} first: the invitation is sent by mail."})
    await invite(tx, actor, email=person.email, name=person.name, role=Role.HOMEOWNER, person_id=person.id)
    return await get(tx, person_id)


async def count_uninvited(tx: Tx, community_id: UUID | None) -> int:
    """How many owners have an address and neither an account nor an open invitation."""
    return await store.count_uninvited(tx, community_id)


async def invite_many(tx: Tx, actor: Actor, community_id: UUID | None, seen: int, limit: int) -> Round:
    """Invite at most ``limit`` of them, if there are as many left as were ``seen`` when the button was pressed."""
    await store.hold_invitations(tx)
    waiting = await store.count_uninvited(tx, community_id)
    if waiting < seen:
        return Round(0, waiting, changed=True)
    invited, refused = 0, []
    for person_id, name, email in await store.uninvited(tx, community_id, min(seen, limit)):
        try:
            async with tx.transaction():
                await invite(tx, actor, email=email, name=name, role=Role.HOMEOWNER, person_id=person_id)
        except (Problem, UniqueViolation):
            refused.append(name)
        else:
            invited += 1
    return Round(invited, await store.count_uninvited(tx, community_id), tuple(refused))


async def last_invitation(tx: Tx, person_id: UUID) -> dict[str, Any] | None:
    """When a person was last invited, and what became of it and of its ``mail``."""
    found = await store.invitation(tx, person_id)
    return {**found, "mail": (await of_invitations(tx, [found["id"]])).get(found["id"])} if found else None


async def undelivered(tx: Tx, people: Sequence[Person]) -> set[UUID]:
    """Those of the people whose invitation could not be delivered."""
    invited = await store.open_invitations(tx, [one.id for one in people if one.portal == "Invited"])
    mails = await of_invitations(tx, list(invited))
    return {invited[key] for key, mail in mails.items() if mail.state == "Refused"}


async def accepted(tx: Tx, invitation: AcceptedInvitation, user_id: UUID) -> None:
    """A homeowner opened their account: from now on the person signs in as that user."""
    if invitation.person_id is not None:
        await store.link_user(tx, invitation.person_id, user_id)


async def of_user(tx: Tx, user_id: UUID) -> UUID | None:
    """The person who signs in as a user, if that user is a homeowner."""
    return await store.person_of_user(tx, user_id)


async def owned_now(tx: Tx, person_id: UUID) -> list[Ownership]:
    """What a person owns today."""
    return await store.ownerships(tx, person_id=person_id, only_current=True)


async def homeowners(tx: Tx) -> int:
    """How many people own a unit today."""
    return await store.count_current(tx)


def exported(tx: Tx) -> AsyncIterator[tuple[object, ...]]:
    """Rows of the homeowners' CSV, which the import reads back."""
    return store.exported(tx)

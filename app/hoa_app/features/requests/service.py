"""What can be done with requests; pages and the API both come through here.

A homeowner's own requests are all they can see: for anyone else's, every function answers 404, as if there were none.
"""

from dataclasses import dataclass, replace
from uuid import UUID, uuid4

from hoa_app.audit import audit
from hoa_app.db.session import Tx
from hoa_app.features.communities import service as communities
from hoa_app.features.kit.answers import Rejected, Stale
from hoa_app.features.kit.paging import Page, decode_cursor, paged
from hoa_app.features.people import service as people
from hoa_app.features.requests import store
from hoa_app.features.requests.mail import tell_of_new, tell_of_reply, tell_of_task
from hoa_app.features.requests.model import Comment, Event, Filters, NewRequest, PhotoInfo, Reply, Request
from hoa_app.features.requests.pace import ANSWER, check_pace, in_turn
from hoa_app.features.requests.workflow import (
    CATEGORIES,
    OPEN,
    STATES,
    MoveRefusedError,
    Party,
    State,
    check_move,
    moves,
)
from hoa_app.identity.actor import Actor
from hoa_app.problems import Problem, forbidden, not_found

__all__ = ["ANSWER", "CATEGORIES", "OPEN", "STATES", "Filters", "State"]  # what other features may know of a request


@dataclass(frozen=True)
class Story:
    """Everything the page of one request shows to one person."""

    request: Request
    comments: list[Comment]
    events: list[Event]
    photos: list[PhotoInfo]
    moves: tuple[State, ...]


def viewer(actor: Actor) -> UUID | None:
    """Whose requests alone an actor may see; None for staff, who see them all."""
    return None if actor.can(ANSWER) else actor.user_id


def parties(actor: Actor, request: Request) -> frozenset[Party]:
    """In which capacities an actor may move a request."""
    found = {Party.STAFF} if actor.can(ANSWER) else set()
    if actor.user_id in (request.created_by, request.reporter_user_id):
        found.add(Party.REPORTER)
    return frozenset(found)


async def listed(tx: Tx, actor: Actor, filters: Filters, after: str | None, limit: int) -> Page[Request]:
    """A page of requests, the newest first."""
    key = decode_cursor(after, "number")
    mine = replace(filters, viewer=viewer(actor), search=filters.search[:120])
    found = await store.requests(tx, mine, int(key[0]) if key else None, limit)
    return paged(found, limit, lambda row: (row.number,))


async def counts(tx: Tx, actor: Actor, filters: Filters) -> dict[str, int]:
    """How many requests each state holds under the other filters."""
    return await store.counts(tx, replace(filters, viewer=viewer(actor), search=filters.search[:120]))


async def ages(tx: Tx) -> dict[str, int]:
    """Open requests by how long they have waited."""
    return await store.ages(tx)


async def get(tx: Tx, actor: Actor, request_id: UUID) -> Request:
    """One request, or 404."""
    found = await store.request(tx, request_id, viewer(actor))
    if found is None:
        raise not_found("request")
    return found


async def story(tx: Tx, actor: Actor, request_id: UUID) -> Story:
    """A request with all that was said and done about it."""
    request = await get(tx, actor, request_id)
    return Story(
        request,
        await store.comments(tx, request_id, internal=actor.can(ANSWER)),
        await store.events(tx, request_id),
        await store.photos(tx, request_id),
        moves(request.state, parties(actor, request)),
    )


async def submitted_before(tx: Tx, actor: Actor, form: NewRequest) -> UUID | None:
    """The request that the same words of the same form filed already."""
    key = form.submission_key
    return None if key is None else await store.by_submission(tx, actor.user_id, key)


class AlreadyFiledError(Exception):
    """The same form was sent twice at once, and the other one came first."""

    def __init__(self, request_id: UUID) -> None:
        super().__init__(str(request_id))
        self.request_id = request_id


async def file(tx: Tx, actor: Actor, request_id: UUID, form: NewRequest, photos: list[PhotoInfo]) -> Request:
    """A new request; AlreadyFiledError names the one that the same form filed a moment ago.

    Its photos are in the storage already, under keys that name ``request_id``.
    """
    checked = await _placed(tx, actor, form)
    await in_turn(tx, actor)
    if not await store.insert(tx, request_id, actor.user_id, checked):
        first = await submitted_before(tx, actor, form)
        if first is None:
            raise Problem(409, "Already sent", "This request was filed a moment ago. Look for it in the list.")
        raise AlreadyFiledError(first)
    await check_pace(tx, actor, "description")
    for photo in photos:
        await store.insert_photo(tx, request_id, photo, actor.user_id)
    await store.insert_event(tx, request_id, actor.user_id, "Submitted", {"photos": len(photos)})
    await audit(
        tx, actor, "requests.created", "request", request_id, {"title": form.title, "category": form.category.value}
    )
    made = await get(tx, actor, request_id)
    await tell_of_new(tx, actor, made)
    return made


async def reply(tx: Tx, actor: Actor, request_id: UUID, form: Reply) -> Request:
    """Say something, move the request, or both. A move is refused when someone else changed the request since."""
    await in_turn(tx, actor)
    request = await _locked(tx, actor, request_id)
    visibility = form.visibility if actor.can(ANSWER) else "Public"
    comment_id = None
    if form.body:
        comment_id = await store.insert_comment(
            tx, request_id, actor.user_id, visibility, form.body, form.submission_key
        )
        if comment_id is None:
            return request
        await check_pace(tx, actor, "body")
        await store.touch(tx, request_id)
    if form.state is not None and not await _move(tx, actor, request, form.state, form.version):
        return request
    public = comment_id is not None and visibility == "Public"
    if public or form.state is not None:
        await tell_of_reply(tx, actor, request, form.state, comment_id if public else None)
    return await get(tx, actor, request_id)


async def assign(tx: Tx, actor: Actor, request_id: UUID, assignee_id: UUID | None, version: int) -> Request:
    """Give a request to a member of staff, or to nobody."""
    request = await _locked(tx, actor, request_id)
    if (request.assignee_id, request.version) == (assignee_id, version + 1) and await store.changed_by(
        tx, request_id, actor.user_id
    ):
        return request  # a second click
    _check_version(request, version)
    names = dict(await store.staff(tx))
    if assignee_id is not None and assignee_id not in names:
        raise Rejected({"assignee_id": "Choose someone from the list."})
    if assignee_id == request.assignee_id:
        return request
    await store.set_assignee(tx, request_id, assignee_id, actor.user_id)
    name = names[assignee_id] if assignee_id else ""
    await store.insert_event(tx, request_id, actor.user_id, "Assigned", {"to": name})
    await audit(tx, actor, "requests.assigned", "request", request_id, {"to": name})
    await tell_of_task(tx, actor, request, assignee_id)
    return await get(tx, actor, request_id)


async def staff(tx: Tx) -> list[tuple[UUID, str]]:
    """Users a request can be given to."""
    return await store.staff(tx)


async def photo(tx: Tx, actor: Actor, request_id: UUID, photo_id: UUID) -> PhotoInfo:
    """A photo of a request that the actor may see, or 404."""
    await get(tx, actor, request_id)
    for found in await store.photos(tx, request_id):
        if found.id == photo_id:
            return found
    raise not_found("photo")


async def add_photos(tx: Tx, actor: Actor, request_id: UUID, photos: list[PhotoInfo], limit: int) -> Request:
    """More photos of a request, up to ``limit`` in all; they are in the storage already."""
    request = await _locked(tx, actor, request_id)
    there = await store.photos(tx, request_id)
    if len(there) + len(photos) > limit:
        room = limit - len(there)
        raise Rejected(
            {
                "photos": f"A request holds {limit} photos; {room} more fit."
                if room
                else f"A request holds {limit} photos."
            }
        )
    for one in photos:
        await store.insert_photo(tx, request_id, one, actor.user_id)
    await store.insert_event(tx, request_id, actor.user_id, "PhotosAdded", {"photos": len(photos)})
    await store.touch(tx, request_id)
    return request


async def remove_photo(tx: Tx, actor: Actor, request_id: UUID, photo_id: UUID) -> PhotoInfo:
    """Forget a photo; returns it, so that its file can be taken away. A second click finds nothing: 404."""
    await _locked(tx, actor, request_id)
    found = await photo(tx, actor, request_id, photo_id)
    await store.delete_photo(tx, photo_id)
    detail = {"photo": str(photo_id), "filename": found.filename, "bytes": found.bytes}
    await audit(tx, actor, "requests.photo_removed", "request", request_id, detail)
    await store.touch(tx, request_id)
    return found


async def stored_bytes(tx: Tx) -> int:
    """Bytes of all photos, which count against the tier's storage."""
    return await store.stored_bytes(tx)


async def _locked(tx: Tx, actor: Actor, request_id: UUID) -> Request:
    found = await store.request(tx, request_id, viewer(actor), lock=True)
    if found is None:
        raise not_found("request")
    return found


async def _placed(tx: Tx, actor: Actor, form: NewRequest) -> NewRequest:
    """The form with the unit and the person it is really about: homeowners file for themselves, for a unit they own."""
    if actor.can(ANSWER):
        if form.person_id is not None:
            await people.get(tx, form.person_id)
        if form.unit_id is not None:
            await communities.unit(tx, form.unit_id)
        return form
    person_id = await people.of_user(tx, actor.user_id)
    owned = [one.unit_id for one in await people.owned_now(tx, person_id)] if person_id else []
    if form.unit_id is not None and form.unit_id not in owned:
        raise Rejected({"unit_id": "Choose one of your own units."})
    if form.unit_id is None and len(owned) > 1:
        raise Rejected({"unit_id": "Choose which of your units this is about."})
    return replace(form, person_id=person_id, unit_id=form.unit_id or (owned[0] if owned else None))


async def _move(tx: Tx, actor: Actor, request: Request, target: State, version: int) -> bool:
    """Whether it moved; a second click on the same button finds it there."""
    if (request.state, request.version) == (target, version + 1) and await store.changed_by(
        tx, request.id, actor.user_id
    ):
        return False
    _check_version(request, version)
    allowed = parties(actor, request)
    if not allowed:
        raise forbidden()
    try:
        check_move(request.state, target, allowed)
    except MoveRefusedError as error:
        raise Problem(409, "Not possible now", str(error)) from None
    await store.set_state(tx, request.id, target.value, actor.user_id)
    detail = {"from": request.state.value, "to": target.value}
    await store.insert_event(tx, request.id, actor.user_id, "Moved", detail)
    await audit(tx, actor, f"requests.{target.value}", "request", request.id, detail)
    return True


def _check_version(request: Request, version: int) -> None:
    if version != request.version:
        raise Stale("request", request.changed_by or "Someone else")


def new_id() -> UUID:
    """The id of a request that is about to be filed; its photos are stored under it first."""
    return uuid4()

"""Pages of requests: the list, filing one, its story, answering it, and its photos."""

from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from hoa_app.features.communities import service as communities
from hoa_app.features.kit.answers import Rejected, Stale
from hoa_app.features.kit.forms import FormReader, content_key, one_line
from hoa_app.features.kit.pages import actor_of, database, page, path_id, query_id, submitted, with_files
from hoa_app.features.kit.paging import PAGE
from hoa_app.features.kit.profile import time_zone
from hoa_app.features.people import service as people
from hoa_app.features.requests import service
from hoa_app.features.requests.delivery import photo_response
from hoa_app.features.requests.model import Filters, NewRequest, Reply
from hoa_app.features.requests.photos import MAX_PHOTO_BYTES, MAX_PHOTOS, Photo
from hoa_app.features.requests.uploads import check_fits, checked, removed, stored, together
from hoa_app.features.requests.workflow import CATEGORIES, OPEN, STATES, State
from hoa_app.identity.actor import requires
from hoa_app.problems import Problem
from hoa_app.web import redirect, services

WORDS = {
    "states": STATES,
    "categories": CATEGORIES,
    "max_photos": MAX_PHOTOS,
    "max_photo_bytes": MAX_PHOTO_BYTES,
}
GROUPS = {"open": OPEN, "all": frozenset(State), "done": frozenset(State) - OPEN}


@dataclass(frozen=True)
class Asked:
    """What the address of a list asks for: the filters, and how they were written."""

    filters: Filters
    written: dict[str, str]


def asked(request: Request) -> Asked:
    """Filters from the query; what makes no sense reads as absent."""
    query, actor = request.query_params, actor_of(request)
    state = query.get("state", "open" if actor.can(service.ANSWER) else "all")
    if state not in GROUPS and state not in set(State):
        state = "open"
    states = GROUPS[state] if state in GROUPS else frozenset({State(state)})
    category = query.get("category", "") if query.get("category", "") in set(CATEGORIES) else ""
    assigned = query.get("assigned", "") if query.get("assigned", "") in ("me", "nobody") else ""
    community = query_id(request, "community")
    search = one_line(query.get("q", ""))
    filters = Filters(
        states, category, community, actor.user_id if assigned == "me" else None, assigned == "nobody", search
    )
    written = {
        "state": state,
        "category": category,
        "assigned": assigned,
        "community": str(community or ""),
        "q": search,
    }
    return Asked(filters, written)


@requires("requests:read")
async def index(request: Request) -> Response:
    """All requests for staff, their own for homeowners."""
    actor, wanted, after = actor_of(request), asked(request), request.query_params.get("after")
    async with database(request).transaction(readonly=True) as tx:
        zone = await time_zone(tx)
        found = await service.listed(tx, actor, wanted.filters, after, PAGE)
        counts = await service.counts(tx, actor, wanted.filters)
        names = await communities.names(tx) if actor.can("communities:read") else []
    context = {
        **WORDS,
        "requests": found,
        "counts": counts,
        "filters": wanted.written,
        "communities": names,
        "after": after,
        "groups": GROUPS,
    }
    return page(request, "requests/list.html", zone, context)


@requires("requests:create")
async def new(request: Request) -> Response:
    """The form for a new request."""
    return await _form(request)


async def _form(request: Request, rejected: Rejected | None = None, values: dict[str, str] | None = None) -> Response:
    actor, person_id = actor_of(request), query_id(request, "person")
    async with database(request).transaction(readonly=True) as tx:
        zone = await time_zone(tx)
        staff = actor.can(service.ANSWER)
        about = await people.get(tx, person_id) if staff and person_id else None
        mine = about.id if about else await people.of_user(tx, actor.user_id)
        owned = await people.owned_now(tx, mine) if mine else []
    units = [(one.unit_id, f"{one.community} {one.unit}") for one in owned]
    context = {**WORDS, "values": values or {}, "units": units, "about": about, "room": _room(request)}
    return page(request, "requests/form.html", zone, context, rejected)


@requires("requests:create")
async def create(request: Request) -> Response:
    """File a request with its photos; the same form sent twice files one."""
    room = _room(request)
    async with with_files(request, room) as sent:
        try:
            form = NewRequest.read(sent.text)
            photos = await checked(request.state.tenant, sent, room)
            made = await _filed(request, form, photos)
        except Rejected as rejected:
            return await _form(request, rejected, dict(sent.text))
    return made


async def _filed(request: Request, form: NewRequest, photos: list[Photo]) -> Response:
    actor, db = actor_of(request), database(request)
    if photos:
        form = replace(form, submission_key=content_key(form.submission_key, *(photo.digest for photo in photos)))
    async with db.transaction(readonly=True) as tx:
        again = await service.submitted_before(tx, actor, form)
        if photos and again is None:
            await check_fits(request, tx, photos)
    if again is not None:
        return redirect(request, f"/requests/{again}", "This request was sent already.", "info")
    request_id = service.new_id()
    try:
        async with (
            stored(services(request).storage, request.state.tenant, request_id, photos) as kept,
            db.transaction() as tx,
        ):
            made = await service.file(tx, actor, request_id, form, kept)
    except service.AlreadyFiledError as first:
        return redirect(request, f"/requests/{first.request_id}", "Sent. You will hear from us by mail.")
    return redirect(
        request, f"/requests/{made.id}", f"Sent. This is request #{made.number}; you will hear from us by mail."
    )


def _room(request: Request) -> int:
    return together(services(request).settings)


@requires("requests:read")
async def show(request: Request) -> Response:
    """One request with all that was said and done."""
    return await _shown(request)


async def _shown(request: Request, refused: Problem | None = None, values: dict[str, str] | None = None) -> Response:
    actor = actor_of(request)
    async with database(request).transaction(readonly=True) as tx:
        zone = await time_zone(tx)
        story = await service.story(tx, actor, path_id(request))
        staff = await service.staff(tx) if actor.can("requests:write") else []
    entries = sorted(
        [("comment", one.created_at, one) for one in story.comments]
        + [("event", one.created_at, one) for one in story.events],
        key=lambda entry: entry[1],
    )
    context: dict[str, Any] = {
        **WORDS,
        "story": story,
        "item": story.request,
        "entries": entries,
        "staff": staff,
        "values": values or {},
        "refused": None if isinstance(refused, Rejected) else refused,
        "room": _room(request),
    }
    rejected = refused if isinstance(refused, Rejected) else None
    return page(request, "requests/show.html", zone, context, rejected, refused.status if refused else 200)


@requires("requests:read")
async def reply(request: Request) -> Response:
    """Say something, move the request, or both."""
    sent = await submitted(request)
    try:
        form = Reply.read(sent.text)
        async with database(request).transaction() as tx:
            await service.reply(tx, actor_of(request), path_id(request), form)
    except Problem as refused:
        if refused.status not in (409, 422, 429):
            raise
        return await _shown(request, refused, dict(sent.text))
    return redirect(request, f"/requests/{path_id(request)}", _told(form))


def _told(form: Reply) -> str:
    moved = f"The request is now {STATES[form.state].label.lower()}." if form.state else ""
    return (
        f"Your {'note' if form.visibility == 'Internal' else 'message'} was added. {moved}".strip()
        if form.body
        else moved
    )


@requires("requests:write")
async def assign(request: Request) -> Response:
    """Give a request to someone."""
    sent = await submitted(request)
    reader = FormReader(sent.text)
    assignee = reader.identifier("assignee_id", "someone")
    if reader.errors:
        return await _shown(request, Rejected(reader.errors))
    try:
        async with database(request).transaction() as tx:
            saved = await service.assign(tx, actor_of(request), path_id(request), assignee, reader.number("version", 0))
    except (Rejected, Stale) as refused:
        return await _shown(request, refused)
    return redirect(
        request,
        f"/requests/{saved.id}",
        f"{saved.assignee} looks after this now." if saved.assignee else "Nobody looks after this now.",
    )


@requires("requests:create")
async def add_photos(request: Request) -> Response:
    """More photos for a request that is there already."""
    actor, db, room = actor_of(request), database(request), _room(request)
    request_id: UUID = path_id(request)
    async with with_files(request, room) as sent:
        try:
            photos = await checked(request.state.tenant, sent, room, at_least=1)
            async with db.transaction(readonly=True) as tx:
                await service.get(tx, actor, request_id)
                await check_fits(request, tx, photos)
            async with (
                stored(services(request).storage, request.state.tenant, request_id, photos) as kept,
                db.transaction() as tx,
            ):
                await service.add_photos(tx, actor, request_id, kept, MAX_PHOTOS)
        except Rejected as rejected:
            return await _shown(request, rejected)
    return redirect(request, f"/requests/{request_id}", f"{len(photos)} photo{'' if len(photos) == 1 else 's'} added.")


@requires("requests:write")
async def remove_photo(request: Request) -> Response:
    """Take a photo away for good, which makes room for others."""
    await removed(request, path_id(request), path_id(request, "photo"))
    return redirect(request, f"/requests/{path_id(request)}", "The photo was removed.", "info")


@requires("requests:read")
async def photo(request: Request) -> Response:
    """The bytes of a photo, for those who may see its request."""
    async with database(request).transaction(readonly=True) as tx:
        found = await service.photo(tx, actor_of(request), path_id(request), path_id(request, "photo"))
    return await photo_response(request, found)


ROUTES: tuple[BaseRoute, ...] = (
    Route("/requests", index, methods=["GET"]),
    Route("/requests", create, methods=["POST"]),
    Route("/requests/new", new, methods=["GET"]),
    Route("/requests/{id:uuid}", show, methods=["GET"]),
    Route("/requests/{id:uuid}/reply", reply, methods=["POST"]),
    Route("/requests/{id:uuid}/assign", assign, methods=["POST"]),
    Route("/requests/{id:uuid}/photos", add_photos, methods=["POST"]),
    Route("/requests/{id:uuid}/photos/{photo:uuid}", photo, methods=["GET"]),
    Route("/requests/{id:uuid}/photos/{photo:uuid}/remove", remove_photo, methods=["POST"]),
)

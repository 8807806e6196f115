"""Pages of people: the list, one person with the history of what they own, and inviting them."""

from typing import Any
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from hoa_app.features.communities import service as communities
from hoa_app.features.kit.answers import Rejected, Stale
from hoa_app.features.kit.pages import actor_of, database, page, path_id, query_id, submitted
from hoa_app.features.kit.paging import PAGE
from hoa_app.features.kit.profile import time_zone
from hoa_app.features.kit.spreadsheets import csv_blocks
from hoa_app.features.people import service
from hoa_app.features.people.model import PORTAL, EndForm, OwnershipForm, PersonForm
from hoa_app.identity.actor import requires
from hoa_app.web import redirect

EXPORT_HEADER = (
    "community",
    "unit",
    "unit_address",
    "name",
    "email",
    "phone",
    "mailing_address",
    "owner_since",
    "primary_contact",
)


@requires("people:read")
async def index(request: Request) -> Response:
    """Everyone, by name, with a search."""
    query = request.query_params
    search, community = query.get("q", ""), query_id(request, "community")
    async with database(request).transaction(readonly=True) as tx:
        zone = await time_zone(tx)
        found = await service.listed(tx, search, community, query.get("after"), PAGE)
        names = await communities.names(tx)
        undelivered = await service.undelivered(tx, found.items)
    context = {
        "people": found,
        "undelivered": undelivered,
        "q": search,
        "community": community,
        "communities": names,
        "after": query.get("after"),
        "portal": PORTAL,
    }
    return page(request, "people/list.html", zone, context)


@requires("people:write")
async def new(request: Request) -> Response:
    """The form for a new person."""
    return page(request, "people/form.html", "UTC", {"values": {}})


@requires("people:write")
async def create(request: Request) -> Response:
    """Add a person."""
    sent = await submitted(request)
    try:
        form = PersonForm.read(sent.text)
        async with database(request).transaction() as tx:
            made = await service.create(tx, actor_of(request), form)
    except Rejected as rejected:
        return page(request, "people/form.html", "UTC", {"values": sent.text}, rejected)
    return redirect(request, f"/people/{made.id}", f"{made.name} was added. Say which unit they own next.")


@requires("people:read")
async def show(request: Request) -> Response:
    """One person."""
    return await _shown(request, path_id(request))


async def _shown(
    request: Request,
    person_id: UUID,
    refused: Rejected | Stale | None = None,
    part: str = "",
    values: dict[str, Any] | None = None,
) -> Response:
    """The page; ``part`` names the form that was refused: person, own or end."""
    chosen = query_id(request, "community")
    async with database(request).transaction(readonly=True) as tx:
        zone = await time_zone(tx)
        person = await service.get(tx, person_id)
        history = await service.history(tx, person_id)
        invitation = await service.last_invitation(tx, person_id)
        names = await communities.names(tx)
        chosen = chosen or (names[0][0] if len(names) == 1 else None)
        units = (await communities.units(tx, chosen, "", None, 2000)).items if chosen else []
    context = {
        "person": person,
        "history": history,
        "invitation": invitation,
        "portal": PORTAL,
        "communities": names,
        "community": chosen,
        "units": [(unit.id, unit.label) for unit in units],
        "part": part,
        "values": {**(values or {}), "version": person.version} if part == "person" else person,
        "own": values or {} if part == "own" else {},
        "stale": refused if isinstance(refused, Stale) else None,
    }
    rejected = refused if isinstance(refused, Rejected) else None
    return page(request, "people/show.html", zone, context, rejected, refused.status if refused else 200)


@requires("people:write")
async def save(request: Request) -> Response:
    """Change a person's facts."""
    sent = await submitted(request)
    try:
        form = PersonForm.read(sent.text)
        async with database(request).transaction() as tx:
            await service.change(tx, actor_of(request), path_id(request), form)
    except (Rejected, Stale) as refused:
        return await _shown(request, path_id(request), refused, "person", dict(sent.text))
    return redirect(request, f"/people/{path_id(request)}", "Saved.")


@requires("people:write")
async def own(request: Request) -> Response:
    """Record that a person owns a unit."""
    sent = await submitted(request)
    try:
        form = OwnershipForm.read(sent.text)
        async with database(request).transaction() as tx:
            made = await service.own(tx, actor_of(request), path_id(request), form, sent_twice=True)
    except Rejected as rejected:
        return await _shown(request, path_id(request), rejected, "own", dict(sent.text))
    return redirect(request, f"/people/{path_id(request)}", f"{made.person} owns {made.community} {made.unit}.")


@requires("people:write")
async def end(request: Request) -> Response:
    """Record that an ownership ended."""
    sent = await submitted(request)
    async with database(request).transaction(readonly=True) as tx:
        person_id = (await service.ownership(tx, path_id(request))).person_id
    try:
        form = EndForm.read(sent.text)
        async with database(request).transaction() as tx:
            ended = await service.end(tx, actor_of(request), path_id(request), form)
    except Rejected as rejected:
        return await _shown(request, person_id, rejected, "end")
    return redirect(request, f"/people/{person_id}", f"The ownership of {ended.community} {ended.unit} has an end now.")


@requires("people:write")
async def primary(request: Request) -> Response:
    """Make someone a unit's primary contact."""
    async with database(request).transaction() as tx:
        found = await service.make_primary(tx, actor_of(request), path_id(request))
    return redirect(
        request,
        f"/people/{found.person_id}",
        f"{found.person} is the primary contact of {found.community} {found.unit}.",
    )


@requires("users:invite")
async def invite(request: Request) -> Response:
    """Mail a person their invitation."""
    try:
        async with database(request).transaction() as tx:
            person = await service.invite_to_portal(tx, actor_of(request), path_id(request))
    except Rejected as rejected:
        return await _shown(request, path_id(request), rejected, "invite")
    return redirect(request, f"/people/{person.id}", f"The invitation is on its way to {person.email}.")


@requires("people:read")
async def export(request: Request) -> Response:
    """All current homeowners as a CSV that the import reads back."""
    async with database(request).transaction(readonly=True) as tx:
        rows = [row async for row in service.exported(tx)]
    headers = {"Content-Disposition": 'attachment; filename="homeowners.csv"', "Cache-Control": "no-store"}
    return StreamingResponse(csv_blocks(EXPORT_HEADER, rows), media_type="text/csv; charset=utf-8", headers=headers)


ROUTES: tuple[BaseRoute, ...] = (
    Route("/people", index, methods=["GET"]),
    Route("/people", create, methods=["POST"]),
    Route("/people/new", new, methods=["GET"]),
    Route("/people/export.csv", export, methods=["GET"]),
    Route("/people/{id:uuid}", show, methods=["GET"]),
    Route("/people/{id:uuid}", save, methods=["POST"]),
    Route("/people/{id:uuid}/ownerships", own, methods=["POST"]),
    Route("/people/{id:uuid}/invite", invite, methods=["POST"]),
    Route("/ownerships/{id:uuid}/end", end, methods=["POST"]),
    Route("/ownerships/{id:uuid}/primary", primary, methods=["POST"]),
)

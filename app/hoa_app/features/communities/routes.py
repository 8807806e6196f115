"""Pages of communities and units."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from hoa_app.features.communities import service
from hoa_app.features.communities.model import CommunityForm, UnitForm
from hoa_app.features.kit.answers import Rejected, Stale
from hoa_app.features.kit.moments import zone_choices
from hoa_app.features.kit.pages import actor_of, database, page, path_id, submitted
from hoa_app.features.kit.paging import PAGE
from hoa_app.features.kit.profile import time_zone
from hoa_app.features.people import service as people
from hoa_app.identity.actor import requires
from hoa_app.web import redirect


@requires("communities:read")
async def index(request: Request) -> Response:
    """All communities."""
    after = request.query_params.get("after")
    async with database(request).transaction(readonly=True) as tx:
        zone = await time_zone(tx)
        found = await service.listed(tx, after, PAGE)
    return page(request, "communities/list.html", zone, {"communities": found, "after": after})


@requires("communities:write")
async def new(request: Request) -> Response:
    """The form for a new community."""
    async with database(request).transaction(readonly=True) as tx:
        zone = await time_zone(tx)
    return page(
        request,
        "communities/form.html",
        zone,
        {"values": {"time_zone": zone}, "community": None, "zones": zone_choices()},
    )


@requires("communities:write")
async def create(request: Request) -> Response:
    """Make a community."""
    sent = await submitted(request)
    try:
        form = CommunityForm.read(sent.text)
        async with database(request).transaction() as tx:
            made = await service.create(tx, actor_of(request), form, sent_twice=True)
    except Rejected as rejected:
        values = {"values": sent.text, "community": None, "zones": zone_choices()}
        return page(request, "communities/form.html", "UTC", values, rejected)
    return redirect(
        request, f"/communities/{made.id}", f"{made.name} is ready. Add its units, or import its homeowners."
    )


@requires("communities:read")
async def show(request: Request) -> Response:
    """One community with its units."""
    return await _shown(request)


async def _shown(request: Request, rejected: Rejected | None = None, values: object = None) -> Response:
    query = request.query_params
    async with database(request).transaction(readonly=True) as tx:
        zone = await time_zone(tx)
        community = await service.get(tx, path_id(request))
        units = await service.units(tx, community.id, query.get("q", ""), query.get("after"), PAGE)
    context = {
        "community": community,
        "units": units,
        "q": query.get("q", ""),
        "after": query.get("after"),
        "values": values or {},
    }
    return page(request, "communities/show.html", zone, context, rejected)


@requires("communities:write")
async def edit(request: Request) -> Response:
    """The form for a community's facts."""
    async with database(request).transaction(readonly=True) as tx:
        zone = await time_zone(tx)
        community = await service.get(tx, path_id(request))
    return page(
        request, "communities/form.html", zone, {"values": community, "community": community, "zones": zone_choices()}
    )


@requires("communities:write")
async def save(request: Request) -> Response:
    """Change a community's facts."""
    sent = await submitted(request)
    try:
        form = CommunityForm.read(sent.text)
        async with database(request).transaction() as tx:
            saved = await service.change(tx, actor_of(request), path_id(request), form)
    except (Rejected, Stale) as refused:
        async with database(request).transaction(readonly=True) as tx:
            community = await service.get(tx, path_id(request))
        values = {**sent.text, "version": community.version}
        context = {
            "values": values,
            "community": community,
            "zones": zone_choices(),
            "stale": refused if isinstance(refused, Stale) else None,
        }
        return page(
            request,
            "communities/form.html",
            "UTC",
            context,
            refused if isinstance(refused, Rejected) else None,
            refused.status,
        )
    return redirect(request, f"/communities/{saved.id}", "Saved.")


@requires("communities:write")
async def add_unit(request: Request) -> Response:
    """Add a unit to a community."""
    sent = await submitted(request)
    try:
        form = UnitForm.read(sent.text)
        async with database(request).transaction() as tx:
            made = await service.add_unit(tx, actor_of(request), path_id(request), form, sent_twice=True)
    except Rejected as rejected:
        return await _shown(request, rejected, sent.text)
    return redirect(request, f"/communities/{made.community_id}", f"Unit {made.label} was added.")


@requires("communities:read")
async def show_unit(request: Request) -> Response:
    """One unit with all who own or owned it."""
    return await _shown_unit(request)


async def _shown_unit(
    request: Request, rejected: Rejected | None = None, values: object = None, stale: Stale | None = None
) -> Response:
    async with database(request).transaction(readonly=True) as tx:
        zone = await time_zone(tx)
        unit = await service.unit(tx, path_id(request))
        owners = await people.owners(tx, unit.id) if actor_of(request).can("people:read") else []
    values = {**values, "version": unit.version} if isinstance(values, dict) else unit
    context = {"unit": unit, "owners": owners, "values": values, "stale": stale}
    return page(request, "communities/unit.html", zone, context, rejected, stale.status if stale else 200)


@requires("communities:write")
async def save_unit(request: Request) -> Response:
    """Change a unit's facts."""
    sent = await submitted(request)
    try:
        form = UnitForm.read(sent.text)
        async with database(request).transaction() as tx:
            saved = await service.change_unit(tx, actor_of(request), path_id(request), form)
    except Rejected as rejected:
        return await _shown_unit(request, rejected, dict(sent.text))
    except Stale as stale:
        return await _shown_unit(request, None, dict(sent.text), stale)
    return redirect(request, f"/units/{saved.id}", "Saved.")


@requires("communities:write")
async def remove_unit(request: Request) -> Response:
    """Take away a unit that nothing remembers."""
    async with database(request).transaction() as tx:
        gone = await service.remove_unit(tx, actor_of(request), path_id(request))
    return redirect(request, f"/communities/{gone.community_id}", f"Unit {gone.label} was removed.")


ROUTES: tuple[BaseRoute, ...] = (
    Route("/communities", index, methods=["GET"]),
    Route("/communities", create, methods=["POST"]),
    Route("/communities/new", new, methods=["GET"]),
    Route("/communities/{id:uuid}", show, methods=["GET"]),
    Route("/communities/{id:uuid}", save, methods=["POST"]),
    Route("/communities/{id:uuid}/edit", edit, methods=["GET"]),
    Route("/communities/{id:uuid}/units", add_unit, methods=["POST"]),
    Route("/units/{id:uuid}", show_unit, methods=["GET"]),
    Route("/units/{id:uuid}", save_unit, methods=["POST"]),
    Route("/units/{id:uuid}/remove", remove_unit, methods=["POST"]),
)

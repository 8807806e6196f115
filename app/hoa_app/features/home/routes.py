"""The home page, which is one thing for staff and another for homeowners."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from hoa_app.features.communities import service as communities
from hoa_app.features.home import service as guide
from hoa_app.features.home.limits import Room
from hoa_app.features.kit.mailed import held_up
from hoa_app.features.kit.pages import actor_of, database, page
from hoa_app.features.kit.profile import time_zone
from hoa_app.features.kit.room import space
from hoa_app.features.people import service as people
from hoa_app.features.requests import service as requests
from hoa_app.features.requests.service import ANSWER, CATEGORIES, OPEN, STATES, Filters, State
from hoa_app.identity.actor import requires
from hoa_app.web import redirect, services

SHOWN = 6
WORDS = {"states": STATES, "categories": CATEGORIES}


@requires()
async def home(request: Request) -> Response:
    """Where everyone lands."""
    return await (_staff(request) if actor_of(request).can(ANSWER) else _homeowner(request))


async def _staff(request: Request) -> Response:
    actor, everything = actor_of(request), Filters(OPEN)
    async with database(request).transaction(readonly=True) as tx:
        zone = await time_zone(tx)
        counts = await requests.counts(tx, actor, everything)
        ages = await requests.ages(tx)
        latest = await requests.listed(tx, actor, everything, None, SHOWN)
        busiest = await communities.busiest(tx, SHOWN)
        homeowners = await people.homeowners(tx)
        steps = await guide.steps(tx, actor)
        held = await held_up(tx) if actor.can("users:invite") else None
        taken = await space(services(request), request.state.tenant, tx, await requests.stored_bytes(tx))
    context = {
        **WORDS,
        "counts": counts,
        "open_count": sum(counts.get(state, 0) for state in OPEN),
        "ages": ages,
        "latest": latest.items,
        "communities": busiest,
        "steps": steps,
        "held": held,
        "next_step": next((step for step in steps if not step.done), None),
        "space": taken,
        "room": Room(homeowners, request.state.tenant.limits.homeowners_max),
    }
    return page(request, "home/staff.html", zone, context)


async def _homeowner(request: Request) -> Response:
    actor = actor_of(request)
    async with database(request).transaction(readonly=True) as tx:
        zone = await time_zone(tx)
        person_id = await people.of_user(tx, actor.user_id)
        owned = await people.owned_now(tx, person_id) if person_id else []
        latest = await requests.listed(tx, actor, Filters(frozenset(State)), None, SHOWN)
    return page(request, "home/homeowner.html", zone, {**WORDS, "owned": owned, "latest": latest.items})


@requires("settings:write")
async def hide_guide(request: Request) -> Response:
    """Put the guide away."""
    async with database(request).transaction() as tx:
        await guide.hide(tx)
    return redirect(request, "/", "The guide is put away.", "info")


ROUTES: tuple[BaseRoute, ...] = (
    Route("/", home, methods=["GET"]),
    Route("/guide/hide", hide_guide, methods=["POST"]),
)

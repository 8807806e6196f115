"""Inviting everyone at once: after an import nobody presses a button a thousand times."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from hoa_app.features.communities import service as communities
from hoa_app.features.kit.pages import actor_of, database, page, query_id
from hoa_app.features.kit.profile import time_zone
from hoa_app.features.people import service
from hoa_app.identity.actor import requires
from hoa_app.web import redirect

AT_ONCE = 200


@requires("users:invite")
async def ask(request: Request) -> Response:
    """How many would be written to, before any mail leaves."""
    community = query_id(request, "community")
    async with database(request).transaction(readonly=True) as tx:
        zone = await time_zone(tx)
        waiting = await service.count_uninvited(tx, community)
        names = await communities.names(tx)
        anyone = bool(waiting or await service.homeowners(tx))
    context = {
        "waiting": waiting,
        "anyone": anyone,
        "at_once": AT_ONCE,
        "communities": names,
        "community": community,
    }
    return page(request, "people/invite.html", zone, context)


@requires("users:invite")
async def send(request: Request) -> Response:
    """Invite the next so many."""
    community = query_id(request, "community")
    async with database(request).transaction() as tx:
        invited = await service.invite_many(tx, actor_of(request), community, AT_ONCE)
        left = await service.count_uninvited(tx, community)
    told = f"{invited} invitation{' is' if invited == 1 else 's are'} on the way."
    if left:
        return redirect(request, f"/people/invite?community={community or ''}", f"{told} {left:,} more can be sent.")
    return redirect(request, "/people", told if invited else "Everyone with an email address is invited already.")


ROUTES: tuple[BaseRoute, ...] = (
    Route("/people/invite", ask, methods=["GET"]),
    Route("/people/invite", send, methods=["POST"]),
)

"""Inviting everyone at once: after an import nobody presses a button a thousand times."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from hoa_app.features.communities import service as communities
from hoa_app.features.kit.forms import FormReader
from hoa_app.features.kit.pages import actor_of, database, page, query_id, submitted
from hoa_app.features.kit.profile import time_zone
from hoa_app.features.people import service
from hoa_app.features.people.service import Round
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
    """Invite the next so many of those that the page told of."""
    community = query_id(request, "community")
    seen = FormReader((await submitted(request)).text).number("waiting", 0)
    async with database(request).transaction() as tx:
        done = await service.invite_many(tx, actor_of(request), community, seen, AT_ONCE)
    where = f"/people/invite?community={community or ''}" if done.left else "/people"
    return redirect(request, where, _told(done, seen), "info" if done.changed or done.refused else "success")


def _told(done: Round, seen: int) -> str:
    if not done.left and not done.invited:
        return "Everyone with an email address is invited already."
    if done.changed:
        return (
            f"{seen - done.left:,} of them were invited a moment ago, and nobody twice. {done.left:,} more can be sent."
        )
    told = f"{done.invited} invitation{' is' if done.invited == 1 else 's are'} on the way."
    if done.refused:
        told += f" Not invited, open their pages to see why: {', '.join(done.refused[:5])}."
    return f"{told} {done.left:,} more can be sent." if done.left else told


ROUTES: tuple[BaseRoute, ...] = (
    Route("/people/invite", ask, methods=["GET"]),
    Route("/people/invite", send, methods=["POST"]),
)

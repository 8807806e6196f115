"""The team page."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from hoa_app.features.kit.answers import Rejected
from hoa_app.features.kit.pages import actor_of, database, page, path_id, submitted
from hoa_app.features.kit.profile import time_zone
from hoa_app.features.team import service
from hoa_app.identity.actor import requires
from hoa_app.identity.roles import Role
from hoa_app.problems import Problem
from hoa_app.web import redirect


@requires("users:read")
async def index(request: Request) -> Response:
    """Everyone on the team."""
    return await _shown(request)


async def _shown(
    request: Request,
    rejected: Rejected | None = None,
    values: dict[str, str] | None = None,
    refused: Problem | None = None,
) -> Response:
    actor = actor_of(request)
    async with database(request).transaction(readonly=True) as tx:
        zone = await time_zone(tx)
        members = await service.members(tx)
        waiting = await service.waiting(tx)
    context = {
        "members": members,
        "waiting": waiting,
        "values": values or {},
        "roles": {role.value: role.label for role in Role},
        "staff": service.STAFF,
        "refused": refused,
        "offered": [(role, service.MEANING[role]) for role in service.offered(actor)],
    }
    return page(request, "team/list.html", zone, context, rejected, refused.status if refused else 200)


@requires("users:invite")
async def invite(request: Request) -> Response:
    """Invite someone to the team."""
    sent = await submitted(request)
    try:
        form = service.StaffForm.read(sent.text, actor_of(request))
        async with database(request).transaction() as tx:
            await service.invite_staff(tx, actor_of(request), form)
    except Rejected as rejected:
        return await _shown(request, rejected, dict(sent.text))
    return redirect(request, "/team", f"The invitation is on its way to {form.email}.")


@requires("users:write")
async def change(request: Request) -> Response:
    """Change a member's role, or close their account."""
    sent = await submitted(request)
    try:
        form = service.MemberForm.read(sent.text)
        async with database(request).transaction() as tx:
            told = await service.change_member(tx, actor_of(request), path_id(request), form)
    except Problem as refused:
        if refused.status not in (409, 422):
            raise
        return await _shown(request, refused=refused)
    return redirect(request, "/team", told)


@requires("users:invite")
async def withdraw(request: Request) -> Response:
    """Take an invitation back."""
    async with database(request).transaction() as tx:
        email = await service.withdraw(tx, actor_of(request), path_id(request))
    return redirect(request, "/team", f"The link that {email} got no longer works.", "info")


ROUTES: tuple[BaseRoute, ...] = (
    Route("/team", index, methods=["GET"]),
    Route("/team/{id:uuid}", change, methods=["POST"]),
    Route("/team/invitations", invite, methods=["POST"]),
    Route("/team/invitations/{id:uuid}/withdraw", withdraw, methods=["POST"]),
)

"""The person or program behind a request, and the guard that lets an endpoint name the permission it needs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from functools import wraps
from typing import Literal
from urllib.parse import quote
from uuid import UUID

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from hoa_app.identity.roles import Role
from hoa_app.problems import forbidden, unauthorized

Via = Literal["session", "program", "token"]
Endpoint = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Actor:
    """A signed-in user as the database knows them at this request: role and permissions never come from the client.

    `via` is a browser's session, a program's session that began with the password, or an API token.
    """

    user_id: UUID
    email: str
    name: str
    role: Role
    session_id: UUID
    via: Via
    signed_in_at: datetime | None = None

    @property
    def permissions(self) -> frozenset[str]:
        """What the role allows now."""
        return self.role.permissions

    def can(self, permission: str) -> bool:
        """Whether the actor holds `permission`."""
        return permission in self.role.permissions


def requires(permission: str | None = None) -> Callable[[Endpoint], Endpoint]:
    """Guard an endpoint. Without a permission it asks only for someone signed in.

    Anonymous people are sent to sign in and come back; programs (paths under /api/) get 401. Without the permission: 403.
    """

    def decorate(endpoint: Endpoint) -> Endpoint:
        @wraps(endpoint)
        async def guarded(request: Request) -> Response:
            actor: Actor | None = request.state.actor
            if actor is None:
                return _ask_to_sign_in(request)
            if permission is not None and not actor.can(permission):
                raise forbidden()
            return await endpoint(request)

        return guarded

    return decorate


def _ask_to_sign_in(request: Request) -> Response:
    if request.url.path.startswith("/api/"):
        raise unauthorized()
    if request.headers.get("hx-request"):
        return Response(status_code=401, headers={"HX-Redirect": "/sign-in"})
    if request.method not in ("GET", "HEAD"):
        return RedirectResponse("/sign-in", status_code=303)
    here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return RedirectResponse("/sign-in" if here == "/" else f"/sign-in?next={quote(here, safe='')}", status_code=303)

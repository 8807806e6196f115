"""Cross-site request forgery: every form carries a MAC over something that only this browser and this tenant know."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from starlette.requests import Request

if TYPE_CHECKING:
    from hoa_app.identity.actor import Actor
    from hoa_app.tenancy.tenant import Tenant

FIELD = "csrf_token"


def csrf_token(request: Request) -> str:
    """The token for forms of this page. It is bound to the session, or before sign-in to a random cookie."""
    state = request.state
    if state.actor is None and not state.visit:
        # Made when the first form is shown; the identity layer sends it along as a cookie.
        state.visit = secrets.token_urlsafe(24)
    return str(state.tenant.keys.mac("csrf", _anchor(state.actor, state.visit)))


def anchor_matches(tenant: Tenant, actor: Actor | None, visit: str, given: str) -> bool:
    """Whether `given` was made for this browser by this tenant."""
    return tenant.keys.mac_matches("csrf", _anchor(actor, visit), given)


def _anchor(actor: Actor | None, visit: str) -> str:
    return f"session:{actor.session_id}" if actor is not None else f"visit:{visit}"

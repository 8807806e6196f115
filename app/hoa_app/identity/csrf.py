"""Cross-site request forgery: every form carries a MAC over something that only this browser and this tenant know."""

from __future__ import annotations

import secrets

from starlette.requests import Request

FIELD = "csrf_token"
HEADER = "x-csrf-token"
COOKIE = "hoa_visit"


def csrf_token(request: Request) -> str:
    """The token for forms of this page. It is bound to the session, or before sign-in to a random cookie."""
    return str(request.state.tenant.keys.mac("csrf", _anchor(request)))


def csrf_matches(request: Request, given: str) -> bool:
    """Whether `given` was made for this browser by this tenant."""
    return bool(request.state.tenant.keys.mac_matches("csrf", _anchor(request), given))


def new_visit() -> str:
    """A fresh value for the cookie that anchors forms before sign-in."""
    return secrets.token_urlsafe(24)


def _anchor(request: Request) -> str:
    actor = request.state.actor
    if actor is not None:
        return f"session:{actor.session_id}"
    return f"visit:{request.state.visit}"

"""Pages: templates rendered with everything each page shows, redirects, and one-time messages between the two."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from jinja2 import ChoiceLoader, Environment, FileSystemLoader, PrefixLoader, StrictUndefined, select_autoescape
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from hoa_app.identity.csrf import csrf_token
from hoa_app.problems import Problem, refuse_controls

if TYPE_CHECKING:
    from hoa_app.feature import Feature, NavItem
    from hoa_app.services import Services

FLASH_COOKIE = "hoa_flash"
FlashLevel = Literal["success", "info", "warning", "error"]
TEMPLATES = Path(__file__).parent / "templates"


def services(request: Request) -> Services:
    """What the process opened at start."""
    found: Services = request.app.state.services
    return found


def template_environment(features: Sequence[Feature]) -> Environment:
    """Jinja over hoa_app/templates and, under each feature's name, the feature's own folder."""
    owned = {
        feature.name: FileSystemLoader(folder)
        for feature in features
        if (folder := feature.templates or TEMPLATES.parent / "features" / feature.name / "templates").is_dir()
    }
    environment = Environment(
        loader=ChoiceLoader([FileSystemLoader(TEMPLATES), PrefixLoader(owned)]),
        autoescape=select_autoescape(("html", "xml"), default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        cache_size=400,
    )
    environment.globals["app_name"] = "HOA Connect"
    return environment


def render(
    request: Request, template: str, context: Mapping[str, Any] | None = None, status: int = 200
) -> HTMLResponse:
    """Render `template` with `context` and: request, tenant, actor, nav, flashes, csrf_token, csrf_field(), can(permission)."""
    state = request.state
    actor = state.actor
    page = {
        "request": request,
        "tenant": state.tenant,
        "branding": state.tenant.branding,
        "actor": actor,
        "nav": visible_nav(services(request).nav, actor),
        "path": request.url.path,
        "flashes": _flashes(request),
        "csrf_token": csrf_token(request),
        "csrf_field": lambda: csrf_field(request),
        "can": (lambda permission: actor is not None and actor.can(permission)),
        "is_htmx": request.headers.get("hx-request") == "true",
        "read_only": state.tenant.state == "ReadOnly",
        **(context or {}),
    }
    html = services(request).templates.get_template(template).render(page)
    response = HTMLResponse(html, status_code=status, headers={"Cache-Control": "no-store"})
    if page["flashes"]:
        response.delete_cookie(FLASH_COOKIE, httponly=True, samesite="lax", secure=services(request).settings.secure)
    return response


def csrf_field(request: Request) -> Markup:
    """The hidden input that every form with method="post" carries."""
    return Markup('<input type="hidden" name="csrf_token" value="{}">').format(csrf_token(request))


def visible_nav(nav: Sequence[NavItem], actor: Any) -> list[NavItem]:
    """The links this actor may follow."""
    if actor is None:
        return []
    return [item for item in nav if item.permission is None or actor.can(item.permission)]


def redirect(request: Request, url: str, flash: str = "", level: FlashLevel = "success") -> Response:
    """Send the browser to `url` (303, so that it asks with GET), with a message to show there once."""
    response: Response
    if request.headers.get("hx-request") == "true":
        response = Response(status_code=204, headers={"HX-Redirect": url})
    else:
        response = RedirectResponse(url, status_code=303)
    if flash:
        set_flash(request, response, flash, level)
    return response


def set_flash(request: Request, response: Response, message: str, level: FlashLevel = "success") -> None:
    """Leave a message for the next page, signed with the tenant's key."""
    payload = urlsafe_b64encode(json.dumps([level, message[:500]]).encode()).decode()
    value = f"{payload}.{request.state.tenant.keys.mac('flash', payload)}"
    response.set_cookie(
        FLASH_COOKIE, value, max_age=60, httponly=True, samesite="lax", secure=services(request).settings.secure
    )


def _flashes(request: Request) -> list[dict[str, str]]:
    payload, _, mac = request.cookies.get(FLASH_COOKIE, "").partition(".")
    if not payload or not request.state.tenant.keys.mac_matches("flash", payload, mac):
        return []
    level, message = json.loads(urlsafe_b64decode(payload))
    return [{"level": level, "message": message}]


async def form_text(request: Request) -> dict[str, str]:
    """The text fields of a submitted form; control characters in one raise the 422 problem."""
    async with request.form(max_files=0, max_fields=100) as form:
        found = {name: value for name, value in form.items() if isinstance(value, str)}
    refuse_controls(found.items(), "field")
    return found


def safe_next(value: str | None, default: str = "/") -> str:
    """A path on this host to go to after signing in; anything that could lead elsewhere becomes `default`."""
    if not value or not value.startswith("/") or value.startswith(("//", "/\\")):
        return default
    if any(ord(character) < 0x20 or character == "\\" for character in value):
        return default
    return value


def form_problem(errors: Mapping[str, str]) -> Problem:
    """422 for a form, one message per field."""
    return Problem(
        422, "Some fields need another look", errors=[{"field": name, "detail": text} for name, text in errors.items()]
    )

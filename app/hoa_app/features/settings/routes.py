"""The settings page: what the owner may change, and what the provider has set, with where to ask for it."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from hoa_app.features.home import service as guide
from hoa_app.features.kit.answers import Rejected
from hoa_app.features.kit.colour import READABLE, contrast, palette
from hoa_app.features.kit.moments import zone_choices
from hoa_app.features.kit.pages import actor_of, database, page, submitted
from hoa_app.features.kit.profile import time_zone
from hoa_app.features.settings import service
from hoa_app.features.settings.brand import brand_css
from hoa_app.features.settings.service import ProfileForm
from hoa_app.identity.actor import requires
from hoa_app.web import redirect


@requires("settings:write")
async def show(request: Request) -> Response:
    """All settings."""
    return await _shown(request)


async def _shown(request: Request, rejected: Rejected | None = None, values: dict[str, str] | None = None) -> Response:
    tenant = request.state.tenant
    async with database(request).transaction(readonly=True) as tx:
        zone = await time_zone(tx)
    colours = palette(tenant.branding.primary_color)
    context = {
        "values": values or {"time_zone": zone},
        "zones": zone_choices(),
        "colours": colours,
        "ratio": round(contrast(colours.brand, colours.on_brand), 1),
        "readable": contrast(colours.brand, colours.on_brand) >= READABLE,
    }
    return page(request, "settings/show.html", zone, context, rejected)


@requires("settings:write")
async def save(request: Request) -> Response:
    """Change what the owner may change."""
    sent = await submitted(request)
    try:
        form = ProfileForm.read(sent.text)
        async with database(request).transaction() as tx:
            await service.save(tx, actor_of(request), form)
            going_on = await guide.steps(tx, actor_of(request))
    except Rejected as rejected:
        return await _shown(request, rejected, dict(sent.text))
    return redirect(request, "/" if going_on else "/settings", "Saved.")


ROUTES: tuple[BaseRoute, ...] = (
    Route("/settings", show, methods=["GET"]),
    Route("/settings", save, methods=["POST"]),
    Route("/assets/brand.css", brand_css, methods=["GET"]),
)

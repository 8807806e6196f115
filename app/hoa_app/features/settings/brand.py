"""The tenant's colours as a stylesheet of a dozen lines: the pages' security policy allows no inline style."""

import hashlib

from starlette.requests import Request
from starlette.responses import Response

from hoa_app.features.kit.colour import palette


async def brand_css(request: Request) -> Response:
    """``/assets/brand.css``: asked for on every page, so answered from its ETag alone when nothing changed."""
    colours = palette(request.state.tenant.branding.primary_color)
    body = (
        f":root{{--brand:{colours.brand};--on-brand:{colours.on_brand};--strong:{colours.strong};"
        f"--strong-hover:{colours.strong_hover};--soft:{colours.soft};--tint-line:{colours.line}}}\n"
    )
    etag = f'"{hashlib.sha256(body.encode()).hexdigest()[:20]}"'
    headers = {"ETag": etag, "Cache-Control": "public, max-age=300", "Vary": "Host"}
    if etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(body, media_type="text/css", headers=headers)

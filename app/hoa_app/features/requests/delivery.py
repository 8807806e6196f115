"""Photos on their way out: streamed from the storage with headers that let a browser do nothing but show them."""

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from hoa_app.features.requests.model import PhotoInfo
from hoa_app.web import services


async def photo_response(request: Request, photo: PhotoInfo) -> Response:
    """The photo's bytes."""
    etag = f'"{photo.id}"'
    headers = {
        "Content-Disposition": f'inline; filename="{photo.filename}"',
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "Cache-Control": "private, max-age=3600",
        "ETag": etag,
    }
    if etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    headers["Content-Length"] = str(photo.bytes)
    chunks = await services(request).storage.stream(request.state.tenant, photo.storage_key)
    return StreamingResponse(chunks, media_type=photo.media_type, headers=headers)

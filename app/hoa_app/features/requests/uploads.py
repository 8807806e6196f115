"""Photos on their way in: checked, stored under their request, and taken away again if it fails."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from uuid import UUID, uuid4

from starlette.requests import Request

from hoa_app.db.session import Tx
from hoa_app.features.kit.answers import Rejected
from hoa_app.features.kit.pages import Sent, database
from hoa_app.features.kit.room import check_room, space
from hoa_app.features.requests import service
from hoa_app.features.requests.darkroom import developed
from hoa_app.features.requests.model import PhotoInfo
from hoa_app.features.requests.photos import MAX_PHOTO_BYTES, MAX_PHOTOS, Photo, PhotoRefusedError
from hoa_app.identity.actor import Actor
from hoa_app.settings import MEBIBYTE, Settings
from hoa_app.storage import Storage
from hoa_app.tenancy.tenant import Tenant
from hoa_app.web import services

_AGAIN = "Nothing was sent yet; please choose the photos again."
_MAKE_ROOM = (
    "Nothing was sent yet. Remove photos of old requests that nobody needs any more, or ask your provider for a larger plan;"
    " without photos it can be sent now."
)
_TELL = "Nothing was sent yet. Send it without photos, and tell the management; everything else goes on working."


def together(settings: Settings) -> int:
    """Bytes that all photos of one form may have; the form's other fields need a little of what one request may carry."""
    return min(MAX_PHOTOS * MAX_PHOTO_BYTES, settings.max_body_bytes - MEBIBYTE)


async def checked(tenant: Tenant, sent: Sent, at_most: int, *, at_least: int = 0) -> list[Photo]:
    """The uploads as photos ready to be kept; raises Rejected with everything that is wrong with them."""
    files = sent.files("photos")
    if sent.cut:
        raise Rejected({"photos": f"Together the photos are larger than {at_most // MEBIBYTE} MB. {_AGAIN}"})
    if len(files) < at_least:
        raise Rejected({"photos": "Choose at least one photo."})
    if len(files) > MAX_PHOTOS:
        raise Rejected({"photos": f"Choose at most {MAX_PHOTOS} photos; you chose {len(files)}."})
    photos, problems = [], []
    for file in files:
        try:
            photos.append(await developed(tenant.id, file.filename, file.media_type, await file.read()))
        except PhotoRefusedError as error:
            problems.append(str(error))
    if problems:
        raise Rejected({"photos": " ".join([*problems, _AGAIN])})
    return photos


async def check_fits(request: Request, tx: Tx, photos: Sequence[Photo]) -> None:
    """Raise unless the tenant's storage has room for the photos."""
    actor: Actor = request.state.actor
    found = await space(services(request), request.state.tenant, tx, await service.stored_bytes(tx))
    advice = _MAKE_ROOM if actor.can("requests:write") else _TELL
    check_room(found, sum(len(photo.data) for photo in photos), "photos", advice)


@asynccontextmanager
async def stored(
    storage: Storage, tenant: Tenant, request_id: UUID, photos: Sequence[Photo]
) -> AsyncIterator[list[PhotoInfo]]:
    """Photos in the storage for as long as the block takes to remember them; if it raises, they are removed again.

    What is left behind by a crash, the daily sweep finds.
    """
    made: list[PhotoInfo] = []
    try:
        for photo in photos:
            info = _info(request_id, photo)
            made.append(info)
            await storage.put(tenant, info.storage_key, photo.data)
        yield made
    except BaseException:
        for info in made:
            with suppress(Exception):  # what went wrong first is what counts
                await storage.delete(tenant, info.storage_key)
        raise


async def removed(request: Request, request_id: UUID, photo_id: UUID) -> None:
    """Forget a photo and take its file away. The row goes first: what a crash in between leaves, the daily sweep finds."""
    tenant: Tenant = request.state.tenant
    async with database(request).transaction() as tx:
        gone = await service.remove_photo(tx, request.state.actor, request_id, photo_id)
    await services(request).storage.delete(tenant, gone.storage_key)


def _info(request_id: UUID, photo: Photo) -> PhotoInfo:
    photo_id = uuid4()
    return PhotoInfo(
        photo_id,
        photo.filename,
        photo.kind.media_type,
        len(photo.data),
        datetime.now(UTC),
        f"requests/{request_id}/{photo_id}.{photo.kind.extension}",
    )

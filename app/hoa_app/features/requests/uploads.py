"""Photos on their way in: checked, stored under their request, and taken away again if it fails."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from uuid import UUID, uuid4

from hoa_app.features.kit.answers import Rejected
from hoa_app.features.kit.pages import Sent
from hoa_app.features.requests.darkroom import developed
from hoa_app.features.requests.model import PhotoInfo
from hoa_app.features.requests.photos import MAX_PHOTO_BYTES, MAX_PHOTOS, Photo, PhotoRefusedError
from hoa_app.problems import Problem
from hoa_app.settings import MEBIBYTE, Settings
from hoa_app.storage import Storage
from hoa_app.tenancy.tenant import Tenant

_AGAIN = "Nothing was sent yet; please choose the photos again."


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


def check_room(tenant: Tenant, used: int, photos: Sequence[Photo]) -> None:
    """Raise unless the tenant's storage has room for the photos."""
    if used + sum(len(photo.data) for photo in photos) > tenant.limits.storage_bytes:
        raise Problem(
            507,
            "No room for more photos",
            "The storage of this portal is full. Send the request without photos, and tell the management.",
        )


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

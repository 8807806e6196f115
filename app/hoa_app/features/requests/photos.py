"""Which uploads are photographs: told by their first bytes, since names and content types are only what the sender says."""

import re
from dataclasses import dataclass

MAX_PHOTOS = 5
MAX_PHOTO_BYTES = 10 * 1024 * 1024
_HEIC_BRANDS = frozenset({b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1"})
_UNSAFE_NAME = re.compile(r"[^A-Za-z0-9._ -]+")


@dataclass(frozen=True)
class PhotoKind:
    """A kind of image: its media type, the extension it is saved under, and whether every browser can show it."""

    media_type: str
    extension: str
    inline: bool


JPEG = PhotoKind("image/jpeg", "jpg", True)
PNG = PhotoKind("image/png", "png", True)
WEBP = PhotoKind("image/webp", "webp", True)
HEIC = PhotoKind("image/heic", "heic", False)
KINDS = {kind.media_type: kind for kind in (JPEG, PNG, WEBP, HEIC)}


class PhotoRefusedError(ValueError):
    """An upload that is not a photograph we keep; the message is for the person."""


@dataclass(frozen=True)
class Photo:
    """One upload that was found to be a photograph."""

    filename: str
    kind: PhotoKind
    data: bytes


def checked_photo(filename: str, data: bytes) -> Photo:
    """The upload as a photo; PhotoRefusedError says what is wrong with it."""
    shown = safe_name(filename)
    if not data:
        raise PhotoRefusedError(f"{shown} is empty.")
    if len(data) > MAX_PHOTO_BYTES:
        raise PhotoRefusedError(f"{shown} is larger than {MAX_PHOTO_BYTES // 1024 // 1024} MB. Send a smaller version.")
    kind = kind_of(data)
    if kind is None:
        raise PhotoRefusedError(f"{shown} is not a JPEG, PNG, WebP or HEIC photo.")
    return Photo(shown, kind, data)


def kind_of(data: bytes) -> PhotoKind | None:
    """Kind of image by its signature; None for anything else."""
    if data.startswith(b"\xff\xd8\xff"):
        return JPEG
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return PNG
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return WEBP
    if data[4:8] == b"ftyp" and data[8:12] in _HEIC_BRANDS:
        return HEIC
    return None


def safe_name(filename: str) -> str:
    """A file name that is safe in a header and on a page: no path, no quotes, plain ASCII, at most 80 characters."""
    last = re.split(r"[/\\]", filename)[-1]
    return _UNSAFE_NAME.sub("_", last).strip(" .")[-80:] or "photo"

"""Which uploads are photographs: told by their first bytes, since names and content types are only what the sender says."""

import re
from dataclasses import dataclass
from hashlib import sha256
from pathlib import PurePath

MAX_PHOTOS = 5
MAX_PHOTO_BYTES = 10 * 1024 * 1024
_HEIC_BRANDS = frozenset({b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1"})
_UNSAFE_NAME = re.compile(r"[^A-Za-z0-9._ -]+")


@dataclass(frozen=True)
class PhotoKind:
    """A kind of image: its media type, the extension it is saved under, its name, and how large a picture may be.

    A JPEG can be read at a fraction of its size; the others have to be held in memory whole.
    """

    media_type: str
    extension: str
    name: str
    megapixels: int


JPEG = PhotoKind("image/jpeg", "jpg", "JPEG", 50)
PNG = PhotoKind("image/png", "png", "PNG", 13)
WEBP = PhotoKind("image/webp", "webp", "WebP", 13)
KINDS = {kind.media_type: kind for kind in (JPEG, PNG, WEBP)}
_CLAIMS = {**KINDS, "image/jpg": JPEG, "image/pjpeg": JPEG}


class PhotoRefusedError(ValueError):
    """An upload that is not a photograph we keep; the message is for the person."""


@dataclass(frozen=True)
class Photo:
    """One upload that was found to be a photograph."""

    filename: str
    kind: PhotoKind
    data: bytes

    @property
    def digest(self) -> str:
        """What tells it from another photo."""
        return sha256(self.data).hexdigest()


def checked_kind(filename: str, claimed: str, data: bytes) -> PhotoKind:
    """What kind of photo an upload is by its bytes; PhotoRefusedError says what is wrong with it.

    ``claimed`` is the content type that came with it; what claims to be one kind of image and is another is refused.
    """
    shown = safe_name(filename)
    if not data:
        raise PhotoRefusedError(f"{shown} is empty.")
    if len(data) > MAX_PHOTO_BYTES:
        raise PhotoRefusedError(f"{shown} is larger than {MAX_PHOTO_BYTES // 1024 // 1024} MB. Send a smaller version.")
    if data[4:8] == b"ftyp" and data[8:12] in _HEIC_BRANDS:
        raise PhotoRefusedError(
            f"{shown} is a HEIC photo, which cannot be read here. Save it as JPEG and send that;"
            " on an iPhone choose Settings, Camera, Formats, Most Compatible."
        )
    kind = kind_of(data)
    if kind is None:
        raise PhotoRefusedError(f"{shown} is not a JPEG, PNG or WebP photo.")
    claim = _CLAIMS.get(claimed.partition(";")[0].strip().lower(), kind)
    if claim is not kind:
        raise PhotoRefusedError(f"{shown} says it is a {claim.name} photo, but it is a {kind.name}. Save it anew.")
    return kind


def kind_of(data: bytes) -> PhotoKind | None:
    """Kind of image by its signature; None for anything else."""
    if data.startswith(b"\xff\xd8\xff"):
        return JPEG
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return PNG
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return WEBP
    return None


def safe_name(filename: str) -> str:
    """A file name that is safe in a header and on a page: no path, no quotes, plain ASCII, at most 80 characters."""
    last = re.split(r"[/\\]", filename)[-1]
    return _UNSAFE_NAME.sub("_", last).strip(" .")[-80:] or "photo"


def name_as(filename: str, kind: PhotoKind) -> str:
    """A safe name that ends as files of this kind do."""
    name = PurePath(safe_name(filename))
    right = {".jpg", ".jpeg"} if kind is JPEG else {f".{kind.extension}"}
    return name.name if name.suffix.lower() in right else f"{name.stem}.{kind.extension}"

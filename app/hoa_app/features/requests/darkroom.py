"""What becomes of a photo before it is kept: turned upright, brought to a sensible size, and drawn anew.

A phone writes into the file where and when a photo was taken, and with what. Of a picture drawn anew only the picture is
left, whatever else its file carried. One is done at a time: a small file may unfold to a hundred megabytes of memory.
"""

from io import BytesIO
from typing import Any
from uuid import UUID

from PIL import Image
from PIL.ExifTags import Base
from PIL.Image import Resampling, Transpose

from hoa_app.features.kit.turns import Turns
from hoa_app.features.requests.photos import JPEG, PNG, WEBP, Photo, PhotoKind, PhotoRefusedError, checked_kind, name_as

SIDE = 2560
_MAX_PROFILE = 64 * 1024
_HEAVY_PNG = 2 * 1024 * 1024
_OPTIONS: dict[PhotoKind, dict[str, Any]] = {JPEG: {"quality": 85}, PNG: {}, WEBP: {"quality": 85}}
_TURNS = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}
_turns = Turns("darkroom")


async def developed(tenant_id: UUID, filename: str, claimed: str, data: bytes) -> Photo:
    """The upload as a photo to keep; PhotoRefusedError says what is wrong with it."""
    return await _turns.run(tenant_id, develop, filename, claimed, data)


def develop(filename: str, claimed: str, data: bytes) -> Photo:
    """The same, in the thread that calls it."""
    kind = checked_kind(filename, claimed, data)
    shown = name_as(filename, kind)
    try:
        picture, profile = _drawn(shown, kind, data)
        kept, result = _encoded(picture, kind, profile)
    except PhotoRefusedError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _too_large(shown, kind) from None
    except Exception:
        raise PhotoRefusedError(
            f"{shown} begins like a {kind.name} photo, but it is damaged or something else. Send another one."
        ) from None
    return Photo(name_as(shown, kept), kept, result)


def _drawn(shown: str, kind: PhotoKind, data: bytes) -> tuple[Image.Image, bytes]:
    """The picture, upright and at most SIDE pixels long, and the color profile that it was taken with."""
    # Only the decoder of this kind may look at it: a file that merely begins like a photo opens nothing else.
    with Image.open(BytesIO(data), formats=[kind.name.upper()]) as opened:
        width, height = opened.size
        if width * height > kind.megapixels * 1_000_000:
            raise _too_large(shown, kind)
        profile = opened.info.get("icc_profile") or b""
        turn = _TURNS.get(_orientation(opened))
        picture: Image.Image = opened if kind is JPEG or opened.mode == _mode(opened) else opened.convert(_mode(opened))
        # Before anything is read of a JPEG this asks the decoder for a smaller picture, which saves most of the memory:
        # with a wider gap 50 megapixels would be held whole.
        picture.thumbnail((SIDE, SIDE), Resampling.LANCZOS, reducing_gap=1.0)
        if picture.mode == "CMYK":
            picture, profile = picture.convert("RGB"), b""
        picture = picture.transpose(turn) if turn else picture.copy()
    return picture, profile if len(profile) <= _MAX_PROFILE else b""


def _encoded(picture: Image.Image, kind: PhotoKind, profile: bytes) -> tuple[PhotoKind, bytes]:
    """The kind it is kept as, and its bytes. An opaque PNG that is heavy is a photograph, and better off as a JPEG."""
    picture.info = {}
    if picture.mode == "RGBA" and picture.getchannel("A").getextrema() == (255, 255):
        picture = picture.convert("RGB")
    data = _saved(picture, kind, profile)
    if kind is PNG and picture.mode == "RGB" and len(data) > _HEAVY_PNG:
        return JPEG, _saved(picture, JPEG, profile)
    return kind, data


def _saved(picture: Image.Image, kind: PhotoKind, profile: bytes) -> bytes:
    out = BytesIO()
    picture.save(out, kind.name.upper(), icc_profile=profile or None, **_OPTIONS[kind])
    return out.getvalue()


def _mode(image: Image.Image) -> str:
    return "RGBA" if image.has_transparency_data else "L" if image.mode in ("1", "L") else "RGB"


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(Base.Orientation, 1))
    except Exception:
        return 1


def _too_large(shown: str, kind: PhotoKind) -> PhotoRefusedError:
    return PhotoRefusedError(
        f"{shown} has too many pixels: at most {kind.megapixels} megapixels can be taken. Send a smaller version."
    )

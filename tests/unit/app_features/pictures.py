"""Photographs to try: real ones, and what pretends to be one."""

from __future__ import annotations

from io import BytesIO
from typing import Any

from PIL import Image
from PIL.ExifTags import GPS, IFD, Base


def picture(kind: str = "PNG", size: tuple[int, int] = (40, 30), mode: str = "RGB", **options: Any) -> bytes:
    """An image file, left half red, right half blue."""
    image = Image.new(mode, size, "red" if mode != "L" else 80)
    image.paste("blue" if mode != "L" else 160, (size[0] // 2, 0, size[0], size[1]))
    out = BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def snapshot(orientation: int = 1, kind: str = "JPEG", size: tuple[int, int] = (40, 30)) -> bytes:
    """What a phone saves: with the place, the camera's serial number and a comment in it."""
    exif = Image.Exif()
    exif[Base.Orientation] = orientation
    exif[Base.Make] = "SecretPhone"
    exif.get_ifd(IFD.GPSInfo)[GPS.GPSLatitude] = (29.0, 12.0, 39.5)
    said: dict[str, Any] = {"comment": b"SecretComment"} if kind == "JPEG" else {}
    return picture(kind, size, exif=exif, **said)


def opened(data: bytes) -> Image.Image:
    """A file as an image."""
    image = Image.open(BytesIO(data))
    image.load()
    return image

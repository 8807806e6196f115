"""Photographs are told by their bytes, and only the picture itself is kept of them."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from PIL.ExifTags import IFD

from hoa_app.features.requests.darkroom import SIDE, develop
from hoa_app.features.requests.photos import (
    JPEG,
    MAX_PHOTO_BYTES,
    PNG,
    WEBP,
    PhotoKind,
    PhotoRefusedError,
    checked_kind,
    kind_of,
    name_as,
    safe_name,
)
from tests.unit.app_features.pictures import opened, picture, snapshot

HEIC = b"\x00\x00\x00\x18ftypheic" + b"0" * 20


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"\xff\xd8\xff\xe0rest", JPEG),
        (b"\x89PNG\r\n\x1a\nrest", PNG),
        (b"RIFF\x10\x00\x00\x00WEBPVP8 ", WEBP),
        (HEIC, None),
        (b"RIFF\x10\x00\x00\x00WAVE", None),
        (b"GIF89a", None),
        (b"<svg onload=alert(1)>", None),
        (b"%PDF-1.7", None),
        (b"", None),
    ],
)
def test_kinds_by_signature(data: bytes, kind: PhotoKind | None) -> None:
    assert kind_of(data) == kind


@pytest.mark.parametrize(
    ("data", "claimed", "says"),
    [
        (b"", "image/png", "gate.png is empty."),
        (b"hello", "image/png", "gate.png is not a JPEG, PNG or WebP photo."),
        (b"\xff\xd8\xff" + b"0" * MAX_PHOTO_BYTES, "image/jpeg", "gate.png is larger than 10 MB"),
        (HEIC, "image/heic", "gate.png is a HEIC photo, which cannot be read here. Save it as JPEG"),
        (picture("PNG"), "image/jpeg", "gate.png says it is a JPEG photo, but it is a PNG."),
        (picture("JPEG"), "image/png", "gate.png says it is a PNG photo, but it is a JPEG."),
    ],
)
def test_refusals_name_the_file_and_the_fault(data: bytes, claimed: str, says: str) -> None:
    with pytest.raises(PhotoRefusedError) as refused:
        checked_kind("../gate.png", claimed, data)
    assert str(refused.value).startswith(says)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"\x89PNG\r\n\x1a\n<script>alert(1)</script>", "begins like a PNG photo, but it is damaged or something else"),
        (b"\xff\xd8\xff<?php", "begins like a JPEG photo, but it is damaged or something else"),
        (picture("JPEG", (400, 300))[:-400], "damaged"),
        (picture("WEBP", (400, 300))[:-100], "damaged"),
        (snapshot()[:30] + picture("PNG"), "damaged"),
    ],
)
def test_what_only_begins_like_a_photo_is_refused(data: bytes, says: str) -> None:
    with pytest.raises(PhotoRefusedError, match=says):
        develop("x.jpg", "", data)


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few hundred bytes that claims to unfold to gigabytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(9999))) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("size", [(3700, 3600), (10_000, 10_000), (60_000, 60_000)])
def test_a_small_file_that_unfolds_to_gigabytes_is_refused_unopened(size: tuple[int, int]) -> None:
    with pytest.raises(PhotoRefusedError, match="too many pixels: at most 13 megapixels"):
        develop("x.png", "image/png", bomb(*size))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_place_camera_and_comment_are_gone(kind: str) -> None:
    before = snapshot(kind=kind)
    assert opened(before).getexif().get_ifd(IFD.GPSInfo)
    photo = develop("gate", "", before)
    after = opened(photo.data)
    assert dict(after.getexif()) == {}
    assert not set(after.info) & {"exif", "comment", "xmp", "photoshop"}
    assert b"SecretPhone" in before
    assert b"Secret" not in photo.data


@pytest.mark.parametrize(
    ("orientation", "size", "red"),
    [(1, (40, 30), "left"), (3, (40, 30), "right"), (6, (30, 40), "top"), (8, (30, 40), "bottom")],
)
def test_a_photo_taken_sideways_is_turned_upright(orientation: int, size: tuple[int, int], red: str) -> None:
    image = opened(develop("x.jpg", "image/jpeg", snapshot(orientation)).data).convert("RGB")
    assert image.size == size
    width, height = size
    places = {"left": (3, 15), "right": (width - 3, 15), "top": (15, 3), "bottom": (15, height - 3)}
    reds = {place for place, at in places.items() if image.getpixel(at)[0] > 200}  # type: ignore[index]
    assert red in reds
    assert {"left": "right", "right": "left", "top": "bottom", "bottom": "top"}[red] not in reds


def test_a_large_photo_is_brought_to_a_sensible_size() -> None:
    photo = develop("x.jpg", "image/jpeg", snapshot(6, size=(6000, 4000)))
    assert opened(photo.data).size == (round(SIDE * 4000 / 6000), SIDE)


@pytest.mark.parametrize(
    ("kind", "mode"), [("JPEG", "L"), ("JPEG", "CMYK"), ("PNG", "P"), ("PNG", "RGBA"), ("PNG", "1"), ("WEBP", "RGBA")]
)
def test_every_usual_way_of_storing_colors_can_be_read(kind: str, mode: str) -> None:
    data = picture(kind, mode=mode) if mode not in ("P", "1", "CMYK") else converted(kind, mode)
    photo = develop("x", "", data)
    assert opened(photo.data).size == (40, 30)
    assert photo.kind == kind_of(photo.data)


def converted(kind: str, mode: str) -> bytes:
    out = BytesIO()
    opened(picture("PNG")).convert(mode).save(out, kind)
    return out.getvalue()


def test_what_can_be_seen_through_stays_so() -> None:
    image = Image.new("RGBA", (40, 30), (255, 0, 0, 90))
    out = BytesIO()
    image.save(out, "PNG")
    assert opened(develop("x.png", "image/png", out.getvalue()).data).getchannel("A").getextrema() == (90, 90)


def test_a_photograph_saved_as_png_is_kept_as_jpeg() -> None:
    noise = Image.effect_noise((1600, 1200), 90).convert("RGB")
    out = BytesIO()
    noise.save(out, "PNG", compress_level=1)
    photo = develop("IMG.png", "image/png", out.getvalue())
    assert (photo.kind, photo.filename) == (JPEG, "IMG.jpg")
    assert len(photo.data) < len(out.getvalue())


def test_names_end_as_the_file_is() -> None:
    assert name_as("C:\\photos\\my gate.JPEG", JPEG) == "my gate.JPEG"
    assert name_as("gate.png.exe", PNG) == "gate.png.png"
    assert name_as("gate", WEBP) == "gate.webp"
    assert name_as("gate.jpeg", PNG) == "gate.png"


@given(st.text(max_size=120))
def test_a_name_is_safe_in_a_header_and_on_a_page(name: str) -> None:
    for safe in (safe_name(name), name_as(name, JPEG)):
        assert safe
        assert len(safe) <= 90
        assert not set(safe) & set('"\\/\r\n<>;')
        assert safe.isascii()

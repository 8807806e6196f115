"""Photographs are told by their bytes, not by what the sender says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hoa_app.features.requests.photos import (
    HEIC,
    JPEG,
    MAX_PHOTO_BYTES,
    PNG,
    WEBP,
    PhotoKind,
    PhotoRefusedError,
    checked_photo,
    kind_of,
    safe_name,
)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"\xff\xd8\xff\xe0rest", JPEG),
        (b"\x89PNG\r\n\x1a\nrest", PNG),
        (b"RIFF\x10\x00\x00\x00WEBPVP8 ", WEBP),
        (b"\x00\x00\x00\x18ftypheic", HEIC),
        (b"\x00\x00\x00\x18ftypmp42", None),
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
    ("data", "says"),
    [(b"", "empty"), (b"hello", "not a JPEG"), (b"\xff\xd8\xff" + b"0" * MAX_PHOTO_BYTES, "larger than 10 MB")],
)
def test_refusals_name_the_file(data: bytes, says: str) -> None:
    with pytest.raises(PhotoRefusedError, match=says) as refused:
        checked_photo("../gate.png", data)
    assert str(refused.value).startswith("gate.png")


@given(st.text(max_size=120))
def test_a_name_is_safe_in_a_header_and_on_a_page(name: str) -> None:
    safe = safe_name(name)
    assert safe
    assert len(safe) <= 80
    assert not set(safe) & set('"\\/\r\n<>;')
    assert safe.isascii()

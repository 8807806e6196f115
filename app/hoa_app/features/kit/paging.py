"""Keyset pages: a cursor names the last row seen, so that a page costs the same at row 20 and at row 200 000."""

import base64
import binascii
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

import msgspec

from hoa_app.problems import Problem

Row = TypeVar("Row")
Kind = Literal["text", "uuid", "number"]
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")
PAGE = 50
MAX_PAGE = 200


@dataclass(frozen=True)
class Page(Generic[Row]):
    """Rows of one page, and the cursor of the next one if there is any."""

    items: Sequence[Row]
    next: str | None


class BadCursorError(Problem):
    """The cursor did not come from us; the person should start again at the first page."""

    def __init__(self) -> None:
        super().__init__(400, "This page link is damaged", "Start again at the first page of the list.")


def encode_cursor(*key: str | int) -> str:
    """An opaque, URL-safe cursor for the sort key of a row."""
    return base64.urlsafe_b64encode(msgspec.json.encode(list(key))).decode().rstrip("=")


def decode_cursor(cursor: str | None, *kinds: Kind) -> list[str] | None:
    """The sort key in a cursor, each part of its kind but as text; None for the first page."""
    if not cursor:
        return None
    try:
        key = msgspec.json.decode(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)), type=list[str | int])
    except (binascii.Error, msgspec.DecodeError, UnicodeError, ValueError) as error:
        raise BadCursorError from error
    if len(key) != len(kinds) or not all(_is(kind, str(part)) for kind, part in zip(kinds, key, strict=True)):
        raise BadCursorError
    return [str(part) for part in key]


def _is(kind: Kind, text: str) -> bool:
    if kind == "number":
        return text.isascii() and text.isdecimal() and len(text) < 19
    if kind == "uuid":
        return bool(_UUID.match(text))
    return "\x00" not in text


def paged(rows: Sequence[Row], limit: int, key: Callable[[Row], tuple[Any, ...]]) -> Page[Row]:
    """A page of at most ``limit`` rows out of ``limit + 1`` that were read to see whether more follow."""
    shown = rows[:limit]
    more = len(rows) > limit
    return Page(shown, encode_cursor(*(str(part) for part in key(shown[-1]))) if more else None)

"""Keyset pages: a cursor names the last row seen, so that a page costs the same at row 20 and at row 200 000."""

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec

Row = TypeVar("Row")
PAGE = 50
MAX_PAGE = 200


@dataclass(frozen=True)
class Page(Generic[Row]):
    """Rows of one page, and the cursor of the next one if there is any."""

    items: Sequence[Row]
    next: str | None


class BadCursorError(ValueError):
    """The cursor did not come from us; the person should start again at the first page."""


def encode_cursor(*key: str | int) -> str:
    """An opaque, URL-safe cursor for the sort key of a row."""
    return base64.urlsafe_b64encode(msgspec.json.encode(list(key))).decode().rstrip("=")


def decode_cursor(cursor: str | None, length: int) -> list[str] | None:
    """The sort key in a cursor as strings; None for the first page."""
    if not cursor:
        return None
    try:
        key = msgspec.json.decode(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)), type=list[str | int])
    except (binascii.Error, msgspec.DecodeError, UnicodeError, ValueError) as error:
        raise BadCursorError("This page link is damaged.") from error
    if len(key) != length or any("\x00" in str(part) for part in key):
        raise BadCursorError("This page link is damaged.")
    return [str(part) for part in key]


def paged(rows: Sequence[Row], limit: int, key: Callable[[Row], tuple[Any, ...]]) -> Page[Row]:
    """A page of at most ``limit`` rows out of ``limit + 1`` that were read to see whether more follow."""
    shown = rows[:limit]
    more = len(rows) > limit
    return Page(shown, encode_cursor(*(str(part) for part in key(shown[-1]))) if more else None)

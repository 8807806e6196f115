"""JSON bodies in and lists out, in the shapes that services take and give."""

from typing import Any, Generic, TypeVar

import msgspec

from hoa_app.features.kit.paging import Page

Item = TypeVar("Item")


class Listing(msgspec.Struct, Generic[Item], frozen=True):
    """One page: pass ``next`` as ``after`` to read on; null on the last page."""

    items: list[Item]
    next: str | None = None


def listing(page: Page[Item]) -> Listing[Item]:
    """A page as the API sends it."""
    return Listing(list(page.items), page.next)


def fields(body: msgspec.Struct) -> dict[str, Any]:
    """A body as the form readers take it: text by field name, so that pages and the API share their rules."""
    return {name: _text(value) for name, value in msgspec.structs.asdict(body).items()}


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else ""
    return str(value)

"""The beginning of a form, looked into just far enough to find its token."""

from __future__ import annotations

import re
from collections.abc import Iterator
from email.message import Message as MailMessage
from urllib.parse import parse_qs, parse_qsl

NAME = re.compile(rb'(?i)content-disposition: *form-data;.*?\bname="([^"]*)"')
SECRET = frozenset({"csrf_token", "password", "current"})


def form_field(start: bytes, content_type: str, name: str) -> str:
    """A text field that lies in the first 64 KiB of a form; empty when it is not there.

    The hidden token is the first field of every form, so it always comes before any file.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "application/x-www-form-urlencoded":
        return parse_qs(start.decode("latin-1"), keep_blank_values=True).get(name, [""])[0]
    if kind == "multipart/form-data":
        return _multipart_field(start, _boundary(content_type), name)
    return ""


def _boundary(content_type: str) -> bytes:
    header = MailMessage()
    header["content-type"] = content_type
    return str(header.get_boundary("")).encode("latin-1", "replace")


def _multipart_field(start: bytes, boundary: bytes, name: str) -> str:
    return next((value.strip() for found, value in _multipart_fields(start, boundary) if found == name), "")


def _multipart_fields(start: bytes, boundary: bytes) -> Iterator[tuple[str, str]]:
    """Names and values of the text fields. The last piece may be cut off by the end of what was read: it is left out."""
    if not boundary:
        return
    for part in (b"\r\n" + start).split(b"\r\n--" + boundary)[1:-1]:
        head, _, value = part.partition(b"\r\n\r\n")
        named = NAME.search(head)
        if named and b"filename" not in head.lower():
            yield named[1].decode("utf-8", "replace"), value.decode("utf-8", "replace")


def typed(start: bytes, content_type: str) -> dict[str, str]:
    """What a person typed into a form, to give it back to them: no secrets, no files, nothing that was left empty."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "application/x-www-form-urlencoded":
        fields = dict(parse_qsl(start.decode("latin-1")))
    elif kind == "multipart/form-data":
        fields = dict(_multipart_fields(start, _boundary(content_type)))
    else:
        fields = {}
    return {name: value for name, value in fields.items() if value and name not in SECRET}

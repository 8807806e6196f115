"""The beginning of a form, looked into just far enough to find its token."""

from __future__ import annotations

from email.message import Message as MailMessage
from urllib.parse import parse_qs


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
    if not boundary:
        return ""
    wanted = f'name="{name}"'.encode()
    # The last piece may be cut off by the end of what was read, so it is never looked at.
    for part in (b"\r\n" + start).split(b"\r\n--" + boundary)[1:-1]:
        head, _, value = part.partition(b"\r\n\r\n")
        disposition = head.lower()
        if wanted in disposition and b"filename" not in disposition:
            return value.decode("latin-1").strip()
    return ""

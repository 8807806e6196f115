"""Request bodies on their way in: held to a size, and looked into just far enough to find a form's token."""

from __future__ import annotations

from email.message import Message as MailMessage
from urllib.parse import parse_qs

from starlette.types import Message, Receive

from hoa_app.problems import Problem

PEEK_BYTES = 64 * 1024


class Body:
    """Wraps `receive`. `peek` reads the beginning; the app still receives everything, in order."""

    def __init__(self, receive: Receive, limit: int, content_length: str) -> None:
        self._receive = receive
        self._limit = limit
        self._seen = 0
        self._held: list[Message] = []
        if content_length.isdecimal() and int(content_length) > limit:
            raise self._too_large()

    async def receive(self) -> Message:
        """The next message for the app."""
        return self._held.pop(0) if self._held else await self._next()

    async def peek(self) -> bytes:
        """The first 64 KiB, or all when there is less."""
        start = b""
        while len(start) < PEEK_BYTES:
            message = await self._next()
            self._held.append(message)
            start += message.get("body", b"")
            if message["type"] != "http.request" or not message.get("more_body", False):
                break
        return start

    async def _next(self) -> Message:
        message = await self._receive()
        self._seen += len(message.get("body", b""))
        if self._seen > self._limit:
            raise self._too_large()
        return message

    def _too_large(self) -> Problem:
        return Problem(413, "Too large", f"At most {self._limit // (1024 * 1024)} MiB can be sent at once.")


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

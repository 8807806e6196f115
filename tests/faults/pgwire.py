"""The frames of Postgres' wire protocol, as far as a proxy has to know them (manual, chapter "Frontend/Backend Protocol")."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

CANCEL: Final = 80877102
SSL: Final = 80877103
GSS: Final = 80877104
QUERY, PARSE, BIND, EXECUTE, SYNC = b"Q", b"P", b"B", b"E", b"S"
#: What a client sends between statements and what no answer is awaited for.
UNANSWERED: Final = frozenset({b"p", b"X", b"d", b"c", b"f"})
READY, ERROR, COPY_IN, COPY_BOTH = b"Z", b"E", b"G", b"W"


class Frames:
    """Cuts a stream of bytes into frames: a type byte, four bytes of length (itself included), the content."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Take bytes in; yield (type, whole frame) for each frame that is complete."""
        self._bytes += data
        while len(self._bytes) >= 5:
            end = 1 + int.from_bytes(self._bytes[1:5], "big")
            if len(self._bytes) < end:
                return
            frame = bytes(self._bytes[:end])
            del self._bytes[:end]
            yield frame[:1], frame


@dataclass
class Session:
    """What a client's connection has said of itself, and the statements it has prepared."""

    number: int
    user: str = ""
    database: str = ""
    application: str = ""
    prepared: dict[bytes, str] = field(default_factory=dict)

    @classmethod
    def begun(cls, number: int, startup: bytes) -> Session:
        """Read a startup packet's parameters (the four bytes of length and the version are cut off)."""
        words = [word.decode(errors="replace") for word in startup.split(b"\0")]
        given = dict(zip(words[::2], words[1::2], strict=False))
        user = given.get("user", "")
        return cls(number, user, given.get("database", user), given.get("application_name", ""))

    def statement(self, unit: list[bytes]) -> tuple[str, bool]:
        """Return a unit's SQL, and whether it is carried out and not only prepared."""
        text, carried_out = "", False
        for frame in unit:
            kind = frame[:1]
            if kind == QUERY:
                text, carried_out = _text(frame[5:]), True
            elif kind == PARSE:
                name, query, _ = frame[5:].split(b"\0", 2)
                self.prepared[name] = text = query.decode(errors="replace")
            elif kind == BIND:
                _, name, _ = frame[5:].split(b"\0", 2)
                text = self.prepared.get(name, text)
            elif kind == EXECUTE:
                carried_out = True
        return text, carried_out


def _text(content: bytes) -> str:
    return content.split(b"\0", 1)[0].decode(errors="replace")


def sqlstate(frame: bytes) -> str:
    """Return the code in an ErrorResponse."""
    for part in frame[5:].split(b"\0"):
        if part[:1] == b"C":
            return part[1:].decode(errors="replace")
    return ""


def code_of(packet: bytes) -> int:
    """Return the version or request code of a startup packet (without its length)."""
    (code,) = struct.unpack("!i", packet[:4])
    return int(code)

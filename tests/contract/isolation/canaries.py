"""Strings that belong to one company alone, and a search that finds them in an answer however they are wrapped."""

from __future__ import annotations

import binascii
import html
import re
import zlib
from base64 import b64decode
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote_to_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: `zq` + the company's tag + `q` + a number for the place it was planted + `z`; small letters and digits survive everything.
MARK = re.compile(rb"zq([0-9a-f]{8})q(\d+)z")
UUID = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|[0-9a-f]{32}", re.IGNORECASE)
SECRET = re.compile(rb"[A-Za-z0-9_.-]{20,}")
BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{24,}={0,2}")
#: What everybody at a company's address sees: its name, its logo, whom to ask.
PUBLIC = "public"
DATA = "data"


class Found(NamedTuple):
    """A canary of the company `tag`, planted at `place`; `scope` is PUBLIC or DATA."""

    tag: str
    scope: str
    place: str


@dataclass
class Aviary:
    """All canaries of all companies."""

    places: dict[str, int] = field(default_factory=dict)
    words: dict[bytes, Found] = field(default_factory=dict)

    def mark(self, tag: str, place: str) -> str:
        """The canary of a company for a place, such as `users.name`; places that begin with `public` are in the open."""
        return f"zq{tag}q{self.places.setdefault(place, len(self.places))}z"

    def keep(self, tag: str, place: str, word: str) -> str:
        """Make a word that is not ours to choose, an id or a token, one of the company's canaries too."""
        self.words[word.lower().replace("-", "").encode() if UUID.fullmatch(word.encode()) else word.encode()] = Found(
            tag, DATA, place
        )
        return word

    def search(self, text: bytes) -> set[Found]:
        """Return the canaries in `text`, also inside of what it wraps."""
        return set(self._search(text, depth=2))

    def search_log(self, text: bytes) -> set[Found]:
        """Return the canaries that a log or a figure must not hold: ids, and names of companies, are what it tells apart by."""
        return {one for one in self.search(text) if not one.place.endswith(".id") and one.place != "public.slug"}

    def _search(self, text: bytes, depth: int) -> Iterator[Found]:
        names = {number: place for place, number in self.places.items()}
        for form in forms(text):
            for match in MARK.finditer(form):
                place = names.get(int(match[2]), "?")
                yield Found(match[1].decode(), PUBLIC if place.startswith(PUBLIC) else DATA, place)
            for match in UUID.finditer(form):
                if found := self.words.get(match[0].lower().replace(b"-", b"")):
                    yield found
            for match in SECRET.finditer(form):
                if found := self.words.get(match[0]):
                    yield found
            if depth:
                for inner in wrapped(form):
                    yield from self._search(inner, depth - 1)


def forms(text: bytes) -> Iterable[bytes]:
    """The text, and what it says where characters are written as HTML, JSON or an address write them."""
    yield text
    if b"&" in text:
        yield html.unescape(text.decode("latin-1")).encode("utf-8", "replace")
    if b"\\" in text:
        yield re.sub(rb"\\u00([0-9a-fA-F]{2})", lambda match: bytes([int(match[1], 16)]), text).replace(b"\\/", b"/")
    if b"%" in text:
        yield unquote_to_bytes(text)


def wrapped(text: bytes) -> Iterable[bytes]:
    """What is packed or coded inside."""
    packed = text.find(b"\x1f\x8b\x08")  # an answer's headers come before it
    if packed >= 0:
        with suppress(zlib.error):
            yield zlib.decompressobj(wbits=31).decompress(text[packed:])
    if text[:1] == b"\x78":
        unpacker = zlib.decompressobj()
        with suppress(zlib.error):
            yield unpacker.decompress(text)
    for match in BASE64.finditer(text):
        word = match[0].rstrip(b"=").replace(b"-", b"+").replace(b"_", b"/")
        with suppress(binascii.Error):
            yield b64decode(word + b"=" * (-len(word) % 4))

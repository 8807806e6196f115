"""SQL as words: enough of Postgres' lexical rules to tell statements, names and keywords apart, strings and comments aside."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

_TOKEN = re.compile(
    r"""(?P<space>\s+|--[^\n]*|/\*.*?\*/)
    |(?P<dollar>\$(?P<tag>\w*)\$.*?\$(?P=tag)\$)
    |(?P<text>[eE]'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*')
    |(?P<name>"(?:[^"]|"")+")
    |(?P<word>[A-Za-z_][\w$]*)
    |(?P<number>\d[\w.]*)
    |(?P<mark>::|.)""",
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True)
class Word:
    """One word: `kind` is word, name, text, dollar, number or mark; a keyword or plain name is in lower case."""

    kind: str
    text: str


def words(sql: str) -> list[Word]:
    """Read SQL; what stands in comments is gone."""
    found = []
    for match in _TOKEN.finditer(sql):
        kind = match.lastgroup if match.lastgroup != "tag" else "dollar"
        text = match[0]
        if kind == "word":
            found.append(Word("word", text.lower()))
        elif kind == "name":
            found.append(Word("name", text[1:-1].replace('""', '"')))
        elif kind != "space":
            found.append(Word(str(kind), text))
    return found


def statements(sql: str) -> list[list[Word]]:
    """Split at semicolons."""
    return [part for part in split(words(sql), ";") if part]


def split(given: Sequence[Word], mark: str) -> list[list[Word]]:
    """Split at a mark that stands in no parentheses."""
    parts: list[list[Word]] = [[]]
    depths = accumulate((word.kind == "mark") * ((word.text in "([") - (word.text in ")]")) for word in given)
    for word, depth in zip(given, depths, strict=True):
        if word == Word("mark", mark) and depth == 0:
            parts.append([])
        else:
            parts[-1].append(word)
    return parts


class Reader:
    """Reads a statement from left to right."""

    def __init__(self, given: Sequence[Word]) -> None:
        self._words = list(given)
        self._at = 0

    @property
    def rest(self) -> list[Word]:
        """What was not read yet."""
        return self._words[self._at :]

    def take(self, *keywords: str) -> bool:
        """Read these keywords if they come next."""
        ahead = self._words[self._at : self._at + len(keywords)]
        if [word.text for word in ahead if word.kind in ("word", "mark")] != list(keywords):
            return False
        self._at += len(keywords)
        return True

    def maybe(self, *keywords: str) -> Reader:
        """Read these keywords if they are there, and go on."""
        self.take(*keywords)
        return self

    def name(self) -> str:
        """Read a name; its schema, which is always public, is left out."""
        found = self._next()
        while self.take("."):
            found = self._next()
        return found

    def group(self) -> list[Word]:
        """Read what stands in the parentheses that come next, if any do."""
        if not self.take("("):
            return []
        depth, start = 1, self._at
        while depth and self._at < len(self._words):
            word = self._words[self._at]
            depth += (word.kind == "mark") * ((word.text == "(") - (word.text == ")"))
            self._at += 1
        return self._words[start : self._at - 1]

    def _next(self) -> str:
        if self._at >= len(self._words):
            return ""
        self._at += 1
        return self._words[self._at - 1].text


def has(given: Sequence[Word], *keywords: str) -> bool:
    """Tell whether the keywords stand somewhere in this order, side by side."""
    texts = [word.text if word.kind in ("word", "mark") else "" for word in given]
    return any(texts[at : at + len(keywords)] == list(keywords) for at in range(len(texts)))


def names(given: Sequence[Word]) -> Iterator[str]:
    """Return every plain word or quoted name."""
    return (word.text for word in given if word.kind in ("word", "name"))

"""Requests put to the app as its server would, header by header: nothing is made neat on the way."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from tests.contract.isolation.canaries import UUID

if TYPE_CHECKING:
    from tests.contract.isolation.canaries import Aviary, Found

Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Question:
    """One request; `host` may be said several times, or in several spellings."""

    method: str
    path: str
    hosts: tuple[str, ...]
    query: str = ""
    headers: Headers = ()
    body: bytes = b""
    peer: str = "192.0.2.7"

    def scope(self, state: dict[str, Any]) -> dict[str, Any]:
        """As ASGI says it."""
        headers = [*(("host", host) for host in self.hosts), *self.headers, ("content-length", str(len(self.body)))]
        return {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": self.method, "scheme": "http",
            "path": unquote(self.path), "raw_path": self.path.encode(), "query_string": self.query.encode(), "root_path": "",
            "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in headers],
            "client": (self.peer, 40000), "server": (self.hosts[0] if self.hosts else "", 80), "state": dict(state),
        }  # fmt: skip

    @property
    def said(self) -> bytes:
        """All that the asker wrote, and so knows."""
        return b"\n".join(
            [
                self.path.encode(),
                self.query.encode(),
                self.body,
                *(value.encode("latin-1") for _, value in self.headers),
            ]
        )


@dataclass
class Answer:
    """What came back."""

    status: int = 0
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""

    def header(self, name: str) -> str:
        """A header's value, or nothing."""
        return next((value.decode("latin-1") for key, value in self.headers if key == name.encode()), "")

    @property
    def whole(self) -> bytes:
        """Status, headers and body."""
        return b"\n".join(
            [str(self.status).encode(), *(name + b": " + value for name, value in self.headers), self.body]
        )


async def ask(app: Any, question: Question) -> Answer:
    """Put the question and wait for the whole answer; whatever the app raises is an answer nobody may see."""
    answer, given, answered = Answer(), False, asyncio.Event()

    async def receive() -> dict[str, Any]:
        nonlocal given
        if given:
            await answered.wait()
            return {"type": "http.disconnect"}
        given = True
        return {"type": "http.request", "body": question.body, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            answer.status = message["status"]
            answer.headers = [(bytes(name).lower(), bytes(value)) for name, value in message["headers"]]
        elif message["type"] == "http.response.body":
            answer.body += bytes(message.get("body", b""))
            if not message.get("more_body"):
                answered.set()

    await app(question.scope({}), receive, send)
    return answer


def leaks(aviary: Aviary, question: Question, answer: Answer, sees: frozenset[tuple[str, str]]) -> set[Found]:
    """The canaries in the answer that this asker may not see; what the asker wrote is no news."""
    said = question.said
    text = answer.whole
    for match in UUID.finditer(said):
        text = text.replace(match[0], b"").replace(match[0].lower(), b"")
    sent = {found for found in aviary.search(said) if not found.place.endswith(".id")}
    return {one for one in aviary.search(text) - sent if (one.tag, one.scope) not in sees}

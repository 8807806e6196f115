"""The Kubernetes API as fixtures use it: plain JSON over one kept connection per thread."""

from __future__ import annotations

import http.client
import json
import ssl
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Json = dict[str, Any]
MERGE_PATCH = "application/merge-patch+json"
TIMEOUT_SECONDS = 20


class ApiError(Exception):
    """The API refused."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status


@dataclass
class Api:
    """One user of one API server. Safe to use from several threads."""

    port: int
    authority: Path
    token: str
    agent: str
    _local: threading.local = field(default_factory=threading.local)

    def call(self, method: str, path: str, body: Json | None = None, content: str = "application/json") -> Json:
        """Send one request and return the answer's JSON; raise ApiError when refused."""
        headers = {**self._headers(), "Content-Type": content}
        payload = None if body is None else json.dumps(body).encode()
        try:
            response = self._send(method, path, payload, headers)
        except (http.client.HTTPException, OSError):  # a kept connection that has ended meanwhile
            self.close()
            response = self._send(method, path, payload, headers)
        answer: Json = json.loads(response.read() or b"{}")
        if response.status >= 400:
            raise ApiError(response.status, str(answer.get("message", answer)))
        return answer

    def watch(self, path: str, version: str, seconds: int) -> Iterator[Json]:
        """Yield the events of a collection since a version, for some seconds; raise ApiError 410 when it is too old."""
        query = f"?watch=1&allowWatchBookmarks=true&resourceVersion={version}&timeoutSeconds={seconds}"
        response = self._send("GET", path + query, None, self._headers())
        if response.status >= 400:
            raise ApiError(response.status, response.read().decode())
        for line in response:
            event: Json = json.loads(line)
            if event["type"] == "ERROR":
                response.read()
                raise ApiError(event["object"]["code"], event["object"]["message"])
            yield event

    def find(self, path: str) -> Json | None:
        """Return an object, or None when there is none."""
        try:
            return self.call("GET", path)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def close(self) -> None:
        """Close the calling thread's connection."""
        connection = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()
            self._local.connection = None

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}", "User-Agent": self.agent}

    def _send(self, method: str, path: str, payload: bytes | None, headers: dict[str, str]) -> http.client.HTTPResponse:
        connection = getattr(self._local, "connection", None)
        if connection is None:
            context = ssl.create_default_context(cafile=str(self.authority))
            connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=TIMEOUT_SECONDS, context=context)
            self._local.connection = connection
        connection.request(method, path, body=payload, headers=headers)
        answer: http.client.HTTPResponse = connection.getresponse()
        return answer

"""The doors for people and tests: a page at /, JSON at /api/messages."""

import json
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from . import page
from .store import Store

_PAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-src 'self'; base-uri 'none'; form-action 'none'"
_MESSAGE_POLICY = (
    "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:"
)


class Handler(BaseHTTPRequestHandler):
    """Answers one request; `bind` makes the class that knows a store."""

    server_version = "mailcatcher"
    sys_version = ""
    store: Store

    @classmethod
    def bind(cls, store: Store) -> "type[Handler]":
        """The same handler with something to show."""
        return type("BoundHandler", (cls,), {"store": store})

    def do_GET(self) -> None:
        """The page, the messages as JSON, or one message's own HTML."""
        path = self.path.partition("?")[0]
        if path == "/":
            self._answer("text/html", page.inbox(self.store.all()), _PAGE_POLICY)
        elif path == "/api/messages":
            self._answer("application/json", json.dumps([message.as_json() for message in self.store.all()]))
        elif path == "/healthz":
            self._answer("text/plain", "ok\n")
        else:
            self._message(path.split("/"))

    def do_DELETE(self) -> None:
        """Forget all messages."""
        if self.path.partition("?")[0] != "/api/messages":
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        self.store.clear()
        self.send_response(HTTPStatus.NO_CONTENT)
        self.end_headers()

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing: every look at the page would be a line."""

    def _message(self, parts: list[str]) -> None:
        message = self.store.get(int(parts[2])) if _names_html(parts) else None
        if message is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        # Links of a mail open in a tab of their own, since its frame may not leave.
        self._answer("text/html", f'<base target="_blank">{message.html}', _MESSAGE_POLICY)

    def _answer(self, kind: str, text: str, policy: str = "default-src 'none'") -> None:
        body = text.encode()
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Security-Policy", policy)
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        self.wfile.write(body)


def server(store: Store, host: str, port: int) -> ThreadingHTTPServer:
    """A server that shows what `store` holds."""
    return ThreadingHTTPServer((host, port), Handler.bind(store))


def _names_html(parts: list[str]) -> bool:
    """Whether a path's parts say /messages/<number>/html."""
    return (
        len(parts) == 4 and parts[1] == "messages" and parts[2].isascii() and parts[2].isdigit() and parts[3] == "html"
    )

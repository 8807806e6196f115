"""The outermost layer: a number for every request, headers on every answer, an answer to every error, a line and a figure."""

from __future__ import annotations

import random
import re
import time
from typing import TYPE_CHECKING

import psycopg
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hoa_app.answers import answer, problem_of
from hoa_app.logs import get_logger
from hoa_app.tenancy.facts import Facts, read_facts
from hoa_app.tenancy.hosts import caller

if TYPE_CHECKING:
    from collections.abc import Callable

    from hoa_app.services import Services

REQUEST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{7,63}")
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: https:; font-src 'self';"
    " connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
SECURE_HEADERS = (
    (b"content-security-policy", CSP.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
)
HSTS = (b"strict-transport-security", b"max-age=31536000")
READS = frozenset({"GET", "HEAD"})
QUIET = frozenset({"/livez", "/readyz"})
# Links of invitations and resets carry a secret in the path. It is never written down, whether a route matched or not.
SECRET_LINK = re.compile(r"/(invitation|reset-password)/.+", re.IGNORECASE | re.DOTALL)

log = get_logger()


class Observe:
    """Pure ASGI, because it runs for every request."""

    def __init__(self, app: ASGIApp, services: Services) -> None:
        self._app = app
        self._services = services
        self._headers = (*SECURE_HEADERS, HSTS) if services.settings.secure else SECURE_HEADERS
        self._names = frozenset(name for name, _ in self._headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, whatever happens inside."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        facts = read_facts(scope)
        state = self._prepare(scope, facts)
        status = 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                self._complete(message, state["request_id"])
            await send(message)

        self._services.metrics.in_flight.inc()
        try:
            await self._ask(scope, receive, send_with_headers, lambda: bool(status))
        except Exception as error:
            problem = problem_of(error)
            if problem.status == 500:
                log.exception("unforeseen error", request_id=state["request_id"], tenant=_tenant_id(scope["state"]))
            if status:
                raise
            await answer(scope, facts, problem)(scope, receive, send_with_headers)
        finally:
            self._services.metrics.in_flight.dec()
            self._record(scope, status, time.perf_counter() - started)

    async def _ask(self, scope: Scope, receive: Receive, send: Send, begun: Callable[[], bool]) -> None:
        """Have it answered; a question that changes nothing is asked once more if its database session was ended under it, as
        it is when the operator puts a new state or new credentials in force."""
        before = {**scope, "state": dict(scope["state"])}
        try:
            await self._app(scope, receive, send)
        except psycopg.OperationalError as error:
            if begun() or scope["method"] not in READS or not _session_was_ended(error):
                raise
            log.info("asked again: the database session was ended", request_id=before["state"]["request_id"])
            scope.clear()
            scope.update(before)
            await self._app(scope, receive, send)

    def _prepare(self, scope: Scope, facts: Facts) -> dict[str, object]:
        peer = scope["client"][0] if scope.get("client") else ""
        settings = self._services.settings
        who = caller(peer, scope["scheme"], facts.forwarded_for, facts.forwarded_proto, settings.trusted_proxies)
        scope["scheme"] = who.scheme
        carried = facts.request_id if peer != who.ip or who.inside else ""
        state: dict[str, object] = scope.setdefault("state", {})
        state.update(
            facts=facts,
            caller=who,
            client_ip=who.ip,
            request_id=carried if REQUEST_ID.fullmatch(carried) else _number(),
            tenant=None,
            db=None,
            actor=None,
            visit="",
            told=False,
        )
        return state

    def _complete(self, message: Message, request_id: object) -> None:
        headers = message["headers"]
        present = self._names.intersection([name for name, _ in headers])
        headers += [pair for pair in self._headers if pair[0] not in present] if present else self._headers
        headers.append((b"x-request-id", str(request_id).encode()))

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        state = scope["state"]
        tenant_id = _tenant_id(state)
        route = route_of(scope)
        metrics = self._services.metrics
        metrics.observe_request(_method(scope), route, status or 500, tenant_id, seconds)
        actor = state["actor"]
        if actor is not None:
            metrics.active_users.saw(tenant_id, actor.user_id)
        if route in QUIET or state["told"]:
            return
        log.info(
            "request",
            request_id=state["request_id"],
            tenant=tenant_id,
            method=scope["method"],
            route=route,
            path=without_secret(scope["path"])[:200],
            status=status,
            ms=round(seconds * 1000, 1),
            ip=state["client_ip"],
            user=actor.user_id if actor else None,
        )


def _session_was_ended(error: psycopg.OperationalError) -> bool:
    """Tell whether an open session was ended under a statement; the server's word on it may come too late to be read."""
    unsaid = type(error) is psycopg.OperationalError and error.sqlstate is None
    return unsaid or isinstance(error, psycopg.errors.AdminShutdown)


def without_secret(path: str) -> str:
    """A path as it may be logged."""
    lower = path.lower()  # most paths are none of these, and to see that is cheaper than to search them
    if "/invitation/" not in lower and "/reset-password/" not in lower:
        return path
    return SECRET_LINK.sub(r"/\1/...", path)


def _number() -> str:
    return f"{random.getrandbits(64):016x}"


def route_of(scope: Scope) -> str:
    """The route's pattern, never the URL: labels and logs must not grow with what visitors type."""
    route = scope.get("route")
    path = getattr(route, "path", None)
    return path or str(scope.get("hoa.route", "unmatched"))


def _method(scope: Scope) -> str:
    method = scope["method"]
    return method if method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS") else "OTHER"


def _tenant_id(state: dict[str, object]) -> str:
    tenant = state["tenant"]
    return str(getattr(tenant, "id_text", ""))

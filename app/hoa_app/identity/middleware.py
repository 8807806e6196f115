"""Who asks, and did they mean to? The session or token behind a request, and the forgery check on what it changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hoa_app.identity.bodies import form_field, typed
from hoa_app.identity.cookies import Cookies
from hoa_app.identity.csrf import FIELD, anchor_matches
from hoa_app.identity.sessions import find_actor
from hoa_app.identity.tokens import ForeignTokenError, TokenError, Verifier, key_id
from hoa_app.logs import get_logger
from hoa_app.problems import Problem, unauthorized
from hoa_app.tenancy.bodies import PLAIN_BYTES, Body
from hoa_app.tenancy.facts import UNSAFE, Facts, read_cookie

if TYPE_CHECKING:
    from hoa_app.identity.actor import Actor
    from hoa_app.services import Services
    from hoa_app.tenancy.tenant import Tenant

ASSETS = "/assets/"
#: In the scope's state: the token that came along is another tenant's.
FOREIGN = "foreign_token"
log = get_logger()


class Identity:
    """Sets `request.state.actor`; refuses unsafe requests of a browser that do not carry the page's token."""

    def __init__(self, app: ASGIApp, services: Services) -> None:
        self._app = app
        self._services = services
        self._verifier = Verifier()
        self._cookies = Cookies(secure=services.settings.secure)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Look up, check, pass on."""
        if scope["type"] != "http" or scope["path"].startswith(ASSETS):
            await self._app(scope, receive, send)
            return
        state = scope["state"]
        facts: Facts = state["facts"]
        tenant: Tenant = state["tenant"]
        bearer = _bearer(facts.authorization)
        token = bearer or read_cookie(facts.cookie, self._cookies.session)
        if token:
            state["actor"] = await self._actor(scope, tenant, token, strict=bool(bearer))
        if state.pop(FOREIGN, False):
            send = self._without_session(send)
        if facts.tenant_id and state["actor"] is None:
            raise unauthorized("x-tenant-id is accepted only with a valid session or token.")
        known_visit = read_cookie(facts.cookie, self._cookies.visit)
        state["visit"] = known_visit
        body: Body = state["body"]
        if not _may_upload(scope, facts):
            body.hold_to(PLAIN_BYTES)
        if scope["method"] in UNSAFE and not bearer:
            self._check_forgery(scope, facts, body)
        await self._app(scope, receive, send if known_visit else self._with_visit(state, send))

    async def _actor(self, scope: Scope, tenant: Tenant, token: str, *, strict: bool) -> Actor | None:
        """A bad bearer token is refused; a bad cookie is a visitor who has not signed in yet. Another tenant's cookie is what
        browsers keep of the company that had the domain before: they are told to forget it."""
        try:
            claims = self._verifier.verify(tenant, token)
        except TokenError as error:
            scope["state"][FOREIGN] = self._is_foreign(tenant, token, error, strict=strict)
            if strict:
                raise unauthorized("The token is not valid here.") from None
            return None
        actor = await find_actor(scope["state"]["db"], claims)
        if actor is None and strict:
            raise unauthorized("The token was revoked or is too old.")
        return actor

    def _is_foreign(self, tenant: Tenant, token: str, error: TokenError, *, strict: bool) -> bool:
        """Tell, and count, whether a token is another tenant's; it may also be forged, or newer than this pod's keys."""
        owner = self._services.registry.owner_of_key(key_id(token))
        if not isinstance(error, ForeignTokenError) or owner is None:
            return False
        lock = "token" if strict or owner.id == tenant.id else "cookie"
        self._services.metrics.isolation_refusals.labels(lock, tenant.id_text).inc()
        log.warning("isolation refusal", lock=lock, why=str(error), tenant=tenant.id_text)
        return True

    def _check_forgery(self, scope: Scope, facts: Facts, body: Body) -> None:
        state = scope["state"]
        if scope["path"].startswith("/api/") and state["actor"] is None:
            # Nothing of the browser's is used, so there is nothing to forge.
            return
        if not same_origin(facts):
            raise _forged("The form came from another site.")
        given = facts.csrf or form_field(body.start, facts.content_type, FIELD)
        anchored = state["actor"] is not None or state["visit"]
        if not given or not anchored or not anchor_matches(state["tenant"], state["actor"], state["visit"], given):
            raise _outlived(facts, body, signed_in=state["actor"] is not None)

    def _without_session(self, send: Send) -> Send:
        ours = f"{self._cookies.session}=".encode("latin-1")

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = message["headers"]
                begins = any(name == b"set-cookie" and value.startswith(ours) for name, value in headers)
                if not begins:  # whoever signs in with this answer stays signed in
                    message["headers"] = [*headers, (b"set-cookie", self._cookies.no_session_header())]
            await send(message)

        return sending

    def _with_visit(self, state: dict[str, object], send: Send) -> Send:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start" and state["visit"]:
                cookie = self._cookies.visit_header(str(state["visit"]))
                message["headers"] = [*message["headers"], (b"set-cookie", cookie)]
            await send(message)

        return sending


def _may_upload(scope: Scope, facts: Facts) -> bool:
    """Only someone signed in sends files: from a page as a multipart form, to the API as whatever the operation takes."""
    if scope["state"]["actor"] is None:
        return False
    return scope["path"].startswith("/api/") or facts.content_type.lower().startswith("multipart/form-data")


def same_origin(facts: Facts) -> bool:
    """What browsers themselves say of where a request was started; programs say nothing and pass on to the token."""
    if facts.fetch_site and facts.fetch_site not in ("same-origin", "none"):
        return False
    return not facts.origin or facts.origin.partition("://")[2].lower() == facts.host.lower()


def _bearer(authorization: str) -> str:
    scheme, _, token = authorization.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _forged(detail: str) -> Problem:
    return Problem(403, "This form can no longer be sent", detail)


def _outlived(facts: Facts, body: Body, *, signed_in: bool) -> Problem:
    """The page outlived its session. What was typed is given back, if the browser says that the form was one of ours."""
    own = facts.fetch_site == "same-origin" or bool(facts.origin)
    kept = typed(body.start, facts.content_type) if own else {}
    detail = "The page was open for too long, or cookies are blocked. "
    again = "send it again." if signed_in else "sign in, then send it again."
    todo = f"What you typed is below: {again}" if kept else "Go back, reload it and send it again."
    return Problem(403, "This form can no longer be sent", detail + todo, typed=kept)

"""What went wrong, said to whoever asked: one exception that becomes RFC 9457 JSON or a page."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus

CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


class Problem(Exception):
    """An answer that is not a success. `title` and `detail` are read by people and hold no internals.

    `errors` lists single faults of the input: `{"field": "email", "detail": "..."}` for forms,
    `{"pointer": "/email", "detail": "..."}` for JSON bodies. `typed` is what the page gives back, so that nobody types it twice.
    """

    def __init__(
        self,
        status: int,
        title: str = "",
        detail: str = "",
        errors: Sequence[Mapping[str, object]] = (),
        *,
        headers: Mapping[str, str] | None = None,
        typed: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(f"{status} {title}")
        self.status = status
        self.title = title or HTTPStatus(status).phrase
        self.detail = detail
        self.errors = [dict(error) for error in errors]
        self.headers = dict(headers or {})
        self.typed = dict(typed or {})

    def document(self, instance: str) -> dict[str, object]:
        """The members of `application/problem+json`; `instance` is the request's id."""
        body: dict[str, object] = {"type": "about:blank", "title": self.title, "status": self.status}
        if self.detail:
            body["detail"] = self.detail
        if self.errors:
            body["errors"] = self.errors
        body["instance"] = f"urn:hoaconnect:request:{instance}"
        return body


def not_found(what: str = "page") -> Problem:
    """404 for what is not there and for what belongs to someone else: the two must look alike."""
    return Problem(404, "Not found", f"There is no such {what} here, or you may not see it.")


def unauthorized(detail: str = "Sign in, or send a valid token.") -> Problem:
    """401: no valid session or token came with the request."""
    return Problem(401, "Not signed in", detail, headers={"WWW-Authenticate": 'Bearer realm="hoa-connect"'})


def forbidden(detail: str = "Your role does not allow this. Ask an owner of your company to change it.") -> Problem:
    """403: known who asks, and the role does not allow it."""
    return Problem(403, "Not allowed", detail)


def unavailable(detail: str, retry_after: int = 5) -> Problem:
    """503: something the request needs is away; trying again later makes sense."""
    return Problem(503, "Try again shortly", detail, headers={"Retry-After": str(retry_after)})


def upgrading() -> Problem:
    """503 for a tenant whose database is not one this version of the app can serve: its migration is still to come."""
    return Problem(
        503,
        "This portal is being upgraded",
        "It is brought to a new version and comes back by itself. Nothing is lost. Try again in a few minutes.",
        headers={"Retry-After": "60"},
    )


def refuse_controls(texts: Iterable[tuple[str, str]], key: str) -> None:
    """422 for control characters in named texts (line ends and tabs are none): nobody types them, Postgres keeps no NUL."""
    detail = "This holds a control character, which cannot be stored. Type it anew."
    errors = [{key: name, "detail": detail} for name, text in texts if CONTROL.search(text)]
    if errors:
        raise Problem(422, "Some values are not acceptable", detail, errors)

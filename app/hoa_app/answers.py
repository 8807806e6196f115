"""Turning whatever went wrong into an answer: problem JSON for programs, a page for people, plain text for strangers."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import msgspec
import psycopg
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.types import Scope

from hoa_app.db.session import read_only_problem
from hoa_app.logs import get_logger
from hoa_app.problems import Problem, not_found, unavailable
from hoa_app.tenancy.facts import Facts, wants_json
from hoa_app.web import render, services

if TYPE_CHECKING:
    from jinja2 import Environment

    from hoa_app.tenancy.tenant import Branding

log = get_logger()
#: Stands for the request's number in a page that is kept.
NUMBER = "\ue000"
HTTP_TEXTS = {
    405: "This address does not take that kind of request.",
    400: "The request could not be understood.",
    413: "What you sent is larger than this portal accepts.",
}
# The last one is what the others are kinds of, so order matters.
AWAY: tuple[tuple[type[psycopg.Error] | tuple[type[psycopg.Error], ...], str, int], ...] = (
    (
        psycopg.errors.QueryCanceled,
        "That took too long and was stopped. Try again, or ask for less at once.",
        5,
    ),
    (
        (psycopg.errors.DiskFull, psycopg.errors.OutOfMemory),
        "The database has no room left. You can read, but nothing can be changed until your provider makes room.",
        60,
    ),
    (
        (
            psycopg.errors.DeadlockDetected,
            psycopg.errors.SerializationFailure,
            psycopg.errors.LockNotAvailable,
        ),
        "Someone else changed the same thing at the same moment, so yours was not changed. Send it again.",
        1,
    ),
    (
        psycopg.errors.TooManyConnections,
        "Every database connection is in use. Try again in a moment.",
        2,
    ),
    (
        psycopg.OperationalError,
        "The database is not reachable right now. Try again in a moment.",
        5,
    ),
)


def problem_of(error: Exception) -> Problem:
    """The Problem an exception stands for; anything unforeseen is a 500 that tells nothing but the request's id."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, HTTPException):
        return _http_problem(error)
    if isinstance(error, psycopg.Error) and (known := _database_problem(error)) is not None:
        return known
    if isinstance(error, ClientDisconnect):
        return Problem(400, "The connection was closed", "The request did not arrive completely.")
    return Problem(
        500, "Something went wrong on our side", "It was noted. If it happens again, tell us the number below."
    )


def _database_problem(error: psycopg.Error) -> Problem | None:
    if isinstance(error, psycopg.errors.ReadOnlySqlTransaction) or _may_not_write(error):
        return read_only_problem()
    if isinstance(error, psycopg.DataError):
        log.warning("the database refused a value", error=type(error).__name__)
        return Problem(422, "Some values are not acceptable", "One of them cannot be stored. Check what you sent.")
    for kind, text, retry_after in AWAY:
        if isinstance(error, kind):
            log.warning("the database could not do it", error=type(error).__name__)
            return unavailable(text, retry_after)
    return None


def _may_not_write(error: psycopg.Error) -> bool:
    """Tell whether the tenant became ReadOnly in the database a moment before the registry says so."""
    refused = isinstance(error, psycopg.errors.InsufficientPrivilege)
    return refused and (error.diag.message_primary or "").startswith("permission denied for table")


def _http_problem(error: HTTPException) -> Problem:
    if error.status_code == 404:
        return not_found()
    return Problem(error.status_code, "", HTTP_TEXTS.get(error.status_code, ""), headers=dict(error.headers or {}))


def answer(scope: Scope, facts: Facts, problem: Problem) -> Response:
    """The response for a problem."""
    state = scope["state"]
    request_id = state["request_id"]
    if wants_json(scope, facts):
        return Response(
            msgspec.json.encode(problem.document(request_id)),
            status_code=problem.status,
            headers={**problem.headers, "Cache-Control": "no-store"},
            media_type="application/problem+json",
        )
    if state["tenant"] is None:
        return PlainTextResponse(f"{problem.title}\n", problem.status, headers=problem.headers)
    try:
        return _page(scope, problem, request_id)
    except Exception:
        log.exception("the page for a problem could not be made", status=problem.status)
        return PlainTextResponse(f"{problem.title}\n{problem.detail}\n", problem.status, headers=problem.headers)


def _page(scope: Scope, problem: Problem, request_id: str) -> Response:
    tenant, request = scope["state"]["tenant"], Request(scope)
    suspended = tenant.state == "Suspended"
    if problem.status in (429, 503) and not (suspended or scope["state"]["actor"] or problem.errors or problem.typed):
        said = (problem.status, problem.title, problem.detail)
        reads = scope["method"] == "GET"
        page = _try_again(services(request).templates, tenant.display_name, tenant.branding, said, reads=reads)
        headers = {**problem.headers, "Cache-Control": "no-store"}
        return HTMLResponse(page.replace(NUMBER, request_id), problem.status, headers)
    response = render(
        request,
        "suspended.html" if suspended else "problem.html",
        {"problem": problem, "request_id": request_id},
        problem.status,
    )
    response.headers.update({name: value for name, value in problem.headers.items() if name != "WWW-Authenticate"})
    return response


@lru_cache(maxsize=1000)
def _try_again(
    templates: Environment, display_name: str, branding: Branding, said: tuple[int, str, str], *, reads: bool
) -> str:
    """The page for a request of nobody known that only has to be sent again: made once, because a rush gets hundreds of these
    a second."""
    return templates.get_template("problem.html").render(
        problem=Problem(*said),
        request_id=NUMBER,
        request={"method": "GET" if reads else "POST"},
        tenant={"display_name": display_name},
        branding=branding,
        actor=None,
        flashes=(),
    )

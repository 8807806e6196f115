"""JSON operations: a handler states its path, its structs and its permission; the checks around it are made here once."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from hoa_app.db.session import TenantDatabase
from hoa_app.identity.actor import Actor
from hoa_app.problems import Problem, forbidden, refuse_controls, unauthorized
from hoa_app.tenancy.bodies import PLAIN_BYTES
from hoa_app.tenancy.tenant import Tenant

PREFIX = "/api/v1"
MAX_PAGE = 200


@dataclass(frozen=True, slots=True)
class ApiContext:
    """What every operation has at hand."""

    request: Request
    tenant: Tenant
    db: TenantDatabase
    signed_in: Actor | None

    @property
    def actor(self) -> Actor:
        """Who asks; only operations made with `anonymous=True` may run without one."""
        if self.signed_in is None:
            raise unauthorized()
        return self.signed_in


@dataclass(frozen=True, slots=True)
class Params:
    """`path` holds converted path parameters (a `{id:uuid}` is a UUID), `query` the operation's query struct or None."""

    path: Mapping[str, Any]
    query: Any = None

    def __getitem__(self, name: str) -> Any:
        return self.path[name]


class PageQuery(msgspec.Struct, frozen=True):
    """Keyset pagination: pass the last answer's `next` as `after`."""

    after: str | None = None
    limit: int = 50

    @property
    def size(self) -> int:
        """`limit` held between 1 and the most that one page carries."""
        return max(1, min(self.limit, MAX_PAGE))


Handler = Callable[[ApiContext, Any, Params], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Operation:
    """One method on one path under /api/v1, and all that OpenAPI says about it."""

    method: str
    path: str
    summary: str
    handler: Handler
    request: type | None
    response: Any
    permission: str | None
    status: int
    query: type | None
    anonymous: bool
    tag: str
    consumes: tuple[str, ...] = ()
    produces: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """operationId."""
        return self.handler.__name__

    def route(self) -> Route:
        """As a Starlette route."""
        decoder: msgspec.json.Decoder[Any] | None = msgspec.json.Decoder(self.request) if self.request else None

        async def endpoint(request: Request) -> Response:
            return await self._answer(request, decoder)

        return Route(PREFIX + self.path, endpoint, methods=[self.method], name=f"api:{self.name}")

    async def _answer(self, request: Request, decoder: msgspec.json.Decoder[Any] | None) -> Response:
        state = request.state
        actor: Actor | None = state.actor
        if not self.anonymous:
            if actor is None:
                raise unauthorized()
            if self.permission is not None and not actor.can(self.permission):
                raise forbidden()
        body = None
        if decoder is not None:
            state.body.hold_to(PLAIN_BYTES)
            body = _decode(decoder, await request.body())
        params = Params(request.path_params, _query(request, self.query) if self.query is not None else None)
        answer = await self.handler(ApiContext(request, state.tenant, state.db, actor), body, params)
        if isinstance(answer, Response):
            return answer
        if answer is None:
            return Response(status_code=204 if self.status == 200 else self.status)
        return Response(msgspec.json.encode(answer), status_code=self.status, media_type="application/json")


def operation(  # noqa: PLR0913 - each argument is one fact of the operation's description
    method: str,
    path: str,
    summary: str,
    *,
    request: type | None = None,
    response: Any = None,
    permission: str | None = None,
    status: int = 200,
    query: type | None = None,
    anonymous: bool = False,
    tag: str = "",
    consumes: tuple[str, ...] = (),
    produces: tuple[str, ...] = (),
) -> Callable[[Handler], Operation]:
    """Make the decorated `async def handler(ctx, body, params)` an Operation, to be listed in `Feature.operations`.

    `consumes` and `produces` are the media types of a body or an answer that is not JSON and that the handler reads or
    writes itself.
    """

    def decorate(handler: Handler) -> Operation:
        group = tag or path.strip("/").split("/", 1)[0]
        return Operation(
            method.upper(),
            path,
            summary,
            handler,
            request,
            response,
            permission,
            status,
            query,
            anonymous,
            group,
            consumes,
            produces,
        )

    return decorate


def _decode(decoder: msgspec.json.Decoder[Any], body: bytes) -> Any:
    try:
        found = decoder.decode(body)
    except msgspec.ValidationError as error:
        raise _invalid(error) from None
    except msgspec.DecodeError as error:
        raise Problem(400, "The body is not valid JSON", str(error)) from None
    if b"\\" in body or b"\x7f" in body:
        # In JSON a control character can only be written as an escape.
        refuse_controls(_texts(msgspec.json.decode(body)), "pointer")
    return found


def _texts(value: Any, pointer: str = "") -> Iterator[tuple[str, str]]:
    """Every string in a decoded body, with the JSON pointer to it."""
    if isinstance(value, str):
        yield pointer, value
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from _texts(inner, f"{pointer}/{name}")
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _texts(inner, f"{pointer}/{index}")


def _query(request: Request, query: type) -> Any:
    refuse_controls(request.query_params.items(), "parameter")
    try:
        return msgspec.convert(dict(request.query_params), query, strict=False)
    except msgspec.ValidationError as error:
        raise _invalid(error, key="parameter") from None


def _invalid(error: msgspec.ValidationError, key: str = "pointer") -> Problem:
    detail, pointer = split_validation_error(str(error))
    value = pointer if key == "pointer" else pointer.lstrip("/")
    return Problem(422, "Some values are not acceptable", detail, [{key: value, "detail": detail}])


def split_validation_error(message: str) -> tuple[str, str]:
    """Split msgspec's "... - at `$.a[0].b`" into the text and a JSON pointer ("/a/0/b", "" for the whole)."""
    detail, found, path = message.partition(" - at `$")
    if not found:
        return message, ""
    parts = re.findall(r"\.([^.\[`]+)|\[(\d+)\]", path)
    return detail, "".join("/" + (name or index) for name, index in parts)

"""A request to the API server as the fault proxy sees it: verb, resource and name in Kubernetes' terms."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp import web

READS = frozenset({"discover", "get", "list", "watch"})
#: A lease says who leads and nothing of a tenant; it is renewed for ever, so that no silence could be told from it.
UNCOUNTED = frozenset({"leases"})


@dataclass
class ApiRequest:
    """One line of the journal. ``status`` is the server's HTTP code, None while, or if, it was never asked; ``effect`` names
    what was done to it; ``withheld`` counts the events of a watch that were not passed on; ``said`` is what a status was told."""

    number: int
    verb: str
    resource: str
    subresource: str
    namespace: str
    name: str
    at: float
    status: int | None = None
    sent: int = 0
    effect: str = ""
    withheld: int = 0
    said: str = ""

    @property
    def is_write(self) -> bool:
        """Whether it changes something that counts."""
        return self.verb not in READS and self.resource not in UNCOUNTED

    def __str__(self) -> str:
        what = f"{self.resource}/{self.subresource}" if self.subresource else self.resource
        return f"{self.verb} {what} {self.name}".strip()


def api(
    verb: str | None = None,
    resource: str | None = None,
    subresource: str | None = None,
    name: str | None = None,
) -> Callable[[ApiRequest], bool]:
    """Return what a rule matches by; None matches all. ``subresource=""`` means the object itself."""

    def matches(request: ApiRequest) -> bool:
        wanted = (verb, resource, subresource, name)
        found = (request.verb, request.resource, request.subresource, request.name)
        return all(want is None or want == have for want, have in zip(wanted, found, strict=True))

    return matches


def parse(number: int, request: web.BaseRequest, body: bytes, at: float) -> ApiRequest:
    """Read a request as the API server would."""
    parts = [part for part in request.path.split("/") if part]
    rest = parts[2:] if parts[:1] == ["api"] else parts[3:]
    namespace = ""
    if rest[:1] == ["namespaces"] and len(rest) > 2:
        namespace, rest = rest[1], rest[2:]
    resource, name, subresource = (*rest, "", "", "")[:3]
    return ApiRequest(
        number=number,
        verb=_verb(request, name) if resource else "discover",
        resource=resource,
        subresource=subresource,
        namespace=namespace,
        name=name or (_name_within(body) if request.method == "POST" else ""),
        at=at,
        said=body.decode(errors="replace") if subresource == "status" else "",
    )


def _verb(request: web.BaseRequest, name: str) -> str:
    if request.method == "GET":
        if request.query.get("watch") in ("1", "true"):
            return "watch"
        return "get" if name else "list"
    if request.method == "PATCH":
        return "apply" if "apply-patch" in request.headers.get("Content-Type", "") else "patch"
    return {"POST": "create", "PUT": "update", "DELETE": "delete"}.get(request.method, request.method.lower())


def _name_within(body: bytes) -> str:
    try:
        metadata = json.loads(body).get("metadata", {})
    except (ValueError, AttributeError):
        return ""
    return str(metadata.get("name") or metadata.get("generateName") or "")

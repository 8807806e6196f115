"""The headers of one request, read once: everything the spine decides by, before anything is decided."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.types import Scope

UNSAFE = frozenset({"POST", "PUT", "PATCH", "DELETE"})


@dataclass(slots=True)
class Facts:
    """Raw values as sent, empty strings for what is absent. `hosts` counts Host headers: two are an attack."""

    host: str = ""
    hosts: int = 0
    cookie: str = ""
    authorization: str = ""
    content_type: str = ""
    content_length: str = ""
    accept: str = ""
    origin: str = ""
    fetch_site: str = ""
    csrf: str = ""
    forwarded_for: str = ""
    forwarded_proto: str = ""
    request_id: str = ""
    tenant_id: str = ""
    user_agent: str = ""


_NAMES = {
    b"authorization": "authorization",
    b"content-type": "content_type",
    b"content-length": "content_length",
    b"accept": "accept",
    b"origin": "origin",
    b"sec-fetch-site": "fetch_site",
    b"x-csrf-token": "csrf",
    b"x-forwarded-proto": "forwarded_proto",
    b"x-request-id": "request_id",
    b"x-tenant-id": "tenant_id",
    b"user-agent": "user_agent",
}


def read_facts(scope: Scope) -> Facts:
    """One pass over the headers."""
    facts = Facts()
    for name, value in scope["headers"]:
        if name == b"host":
            facts.host = value.decode("latin-1")
            facts.hosts += 1
        elif name == b"cookie":
            facts.cookie = f"{facts.cookie}; {value.decode('latin-1')}" if facts.cookie else value.decode("latin-1")
        elif name == b"x-forwarded-for":
            facts.forwarded_for += ("," if facts.forwarded_for else "") + value.decode("latin-1")
        elif (field := _NAMES.get(name)) is not None:
            setattr(facts, field, value.decode("latin-1"))
    return facts


def read_cookie(header: str, name: str) -> str:
    """One cookie's value. Of several the last one: ours has the path `/`, and browsers send longer paths, planted ones, first."""
    found = ""
    for part in header.split(";"):
        key, _, value = part.partition("=")
        if key.strip() == name:
            found = value.strip().strip('"')
    return found


def wants_json(scope: Scope, facts: Facts) -> bool:
    """Whether the answer to an error is a document for programs rather than a page."""
    if scope["path"].startswith("/api/"):
        return True
    return "json" in facts.accept and "text/html" not in facts.accept

"""Every route of the running app, and how a test fills it in: an address of real things, and a body that would be taken.

The routes are asked of the app itself. One that is not known here fails the test by its name: say what its address and its
body are made of, and from then on every wrong identity tries it.
"""

from __future__ import annotations

import json
import re
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode

from starlette.routing import Mount, Route

from hoa_app.routing import RouteIndex
from hoa_app.tenancy.middleware import PROBES
from tests.contract.app.browser import PASSWORD
from tests.contract.features.office import PNG

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from starlette.applications import Starlette

    from tests.contract.isolation.companies import Things

NEW_PASSWORD = "another correct battery"
PARAMETER = re.compile(r"\{(\w+)(?::\w+)?\}")
#: What a parameter stands for, by what comes before it in the address.
KINDS = {
    "communities": "community", "units": "unit", "people": "person", "ownerships": "ownership", "requests": "request",
    "photos": "photo", "imports": "import", "team": "user", "users": "user", "invitations": "invitation",
    "tokens": "api_token", "sessions": "session", "invitation": "invitation_link", "reset-password": "reset_link",
}  # fmt: skip
#: Where the kind above would be refused for another reason than whose it is.
OTHER_KINDS = {
    ("POST", "/units/{id:uuid}/remove"): {"unit": "spare_unit"},
    ("DELETE", "/api/v1/units/{id:uuid}"): {"unit": "spare_unit"},
    ("GET", "/imports/{id:uuid}/errors.csv"): {"import": "bad_import"},
    ("POST", "/imports/{id:uuid}/discard"): {"import": "bad_import"},
}
#: Links are secrets: whoever knows one of a company's is that company's guest.
LINKS = ("invitation_link", "reset_link")


class Door(NamedTuple):
    """A method on a route's pattern."""

    method: str
    path: str

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@dataclass(frozen=True)
class Sent:
    """A request's body and its type."""

    body: bytes = b""
    content_type: str = ""


@dataclass(frozen=True)
class Filling:
    """What a body is made of: the things it names, and the one who sends it."""

    things: Things
    me: Things
    csrf: str


def doors(app: Starlette) -> list[Door]:
    """Every method of every route of the tenants' app: the features', the API's, the files' and the probes'."""
    return [*(Door("GET", path) for path in sorted(PROBES)), *routed(app)]


def routed(app: Starlette) -> list[Door]:
    """Every method of every route that an app names."""
    return [door for route in app.routes for door in _doors(route)]


def _doors(route: object) -> Iterator[Door]:
    if isinstance(route, RouteIndex):
        for inner in route.routes:
            yield from _doors(inner)
    elif isinstance(route, Route):
        yield from (Door(method, route.path) for method in sorted(route.methods or ()))
    elif isinstance(route, Mount):
        yield Door("GET", f"{route.path}/{FILES[route.path]}")
    else:
        raise TypeError(f"{route!r} is a kind of route that nobody has thought of here")


#: A file of each mount.
FILES = {"/assets": "app.css", "/assets/htmx": "htmx-2.min.js"}


def address(door: Door, things: Things, links: Things) -> str:
    """The route's address with things' ids in it; links are those of `links`."""

    def fill(match: re.Match[str]) -> str:
        before = door.path[: match.start()].strip("/").split("/")[-1]
        kind = OTHER_KINDS.get(door, {}).get(KINDS[before], KINDS[before])
        return (links if kind in LINKS else things)[kind]

    return PARAMETER.sub(fill, door.path)


def unfilled(found: list[Door]) -> list[str]:
    """The routes that this module cannot fill in."""
    missing = []
    for door in found:
        befores = [door.path[: match.start()].strip("/").split("/")[-1] for match in PARAMETER.finditer(door.path)]
        if any(before not in KINDS for before in befores) or (door.method not in SAFE and door not in BODIES):
            missing.append(str(door))
    return missing


def form(**fields: str) -> Callable[[Filling], Sent]:
    """A page's form; `{name}` in a value is the id of that kind."""

    def made(filling: Filling) -> Sent:
        values = {"csrf_token": filling.csrf, **{name: _filled(text, filling) for name, text in fields.items()}}
        return Sent(urlencode(values).encode(), "application/x-www-form-urlencoded")

    return made


def files(field: str, filename: str, content: bytes, kind: str, **fields: str) -> Callable[[Filling], Sent]:
    """A page's form with a file."""

    def made(filling: Filling) -> Sent:
        values = {"csrf_token": filling.csrf, **{name: _filled(text, filling) for name, text in fields.items()}}
        parts = [
            f'--edge\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n'
            for name, text in values.items()
        ]
        head = f'--edge\r\nContent-Disposition: form-data; name="{field}"; filename="{filename}"\r\nContent-Type: {kind}\r\n\r\n'
        return Sent(
            ("".join(parts) + head).encode() + content + b"\r\n--edge--\r\n", "multipart/form-data; boundary=edge"
        )

    return made


def data(**members: Any) -> Callable[[Filling], Sent]:
    """A JSON body; `{name}` in a text is the id of that kind."""

    def made(filling: Filling) -> Sent:
        values = {name: _filled(one, filling) if isinstance(one, str) else one for name, one in members.items()}
        return Sent(json.dumps(values).encode(), "application/json")

    return made


def raw(content: bytes, kind: str) -> Callable[[Filling], Sent]:
    """A file as the body."""
    return lambda _filling: Sent(content, kind)


def _filled(text: str, filling: Filling) -> str:
    named = re.sub(r"\{(\w+)\}", lambda match: filling.things[match[1]], text)
    return named.replace("<my email>", filling.me.email).replace("<new>", secrets.token_hex(4))


SAFE = ("GET", "HEAD")
CSV = b"community,unit,name,email\nHarbor,1,Ana,ana@new.example\n"
NOTHING: Callable[[Filling], Sent] = lambda _filling: Sent()  # noqa: E731 - a value among others of its type
PASSWORDS = {"password": NEW_PASSWORD, "confirm": NEW_PASSWORD, "password_again": NEW_PASSWORD}
PERSON = {"name": "Ana Torres", "email": "", "phone": "", "mailing_address": "Harbor Way 1"}
BODIES: dict[Door, Callable[[Filling], Sent]] = {
    Door(*name.split(" ")): body
    for name, body in {
        "POST /sign-in": form(email="<my email>", password=PASSWORD, next="/requests/{request}"),
        "POST /sign-out": form(),
        "POST /invitation/{token}": form(name="Zoe", consent="yes", **PASSWORDS),
        "POST /forgot-password": form(email="<my email>"),
        "POST /reset-password/{token}": form(**PASSWORDS),
        "POST /account/password": form(current=PASSWORD, revoke_tokens="yes", **PASSWORDS),
        "POST /account/sign-out-elsewhere": form(),
        "POST /account/tokens": form(token_name="mine", token_days="9"),
        "POST /account/tokens/{id:uuid}/revoke": form(),
        "POST /account/sessions/{id:uuid}/revoke": form(),
        "POST /guide/hide": form(),
        "POST /requests": files("photos", "gate.png", PNG, "image/png", category="Maintenance", title="A gate",
                                description="It is open.", unit_id="{unit}", person_id="{person}"),
        "POST /requests/{id:uuid}/reply": form(body="Hello", state="InProgress", version="1"),
        "POST /requests/{id:uuid}/assign": form(assignee_id="{user}", version="1"),
        "POST /requests/{id:uuid}/photos": files("photos", "gate.png", PNG, "image/png"),
        "POST /requests/{id:uuid}/photos/{photo:uuid}/remove": form(),
        "POST /people": form(**PERSON),
        "POST /people/invite": form(waiting="1"),
        "POST /people/{id:uuid}": form(version="1", **PERSON),
        "POST /people/{id:uuid}/ownerships": form(unit_id="{other_unit}", valid_from="2020-01-01"),
        "POST /people/{id:uuid}/invite": form(),
        "POST /ownerships/{id:uuid}/end": form(valid_to="2026-01-01"),
        "POST /ownerships/{id:uuid}/primary": form(),
        "POST /communities": form(name="A harbor <new>", time_zone="America/New_York"),
        "POST /communities/{id:uuid}": form(name="Harbor <new>", time_zone="America/New_York", version="1"),
        "POST /communities/{id:uuid}/units": form(label="77"),
        "POST /units/{id:uuid}": form(label="78", version="1"),
        "POST /units/{id:uuid}/remove": form(),
        "POST /imports": files("file", "h.csv", CSV, "text/csv", community="{community}"),
        "POST /imports/{id:uuid}/confirm": form(),
        "POST /imports/{id:uuid}/discard": form(),
        "POST /team/{id:uuid}": form(role="board", access="open"),
        "POST /team/invitations": form(name="Noor", email="noor.<new>@team.example", role="manager"),
        "POST /team/invitations/{id:uuid}/withdraw": form(),
        "POST /settings": form(time_zone="America/Chicago"),
        "POST /api/v1/session": data(email="<my email>", password=PASSWORD),
        "DELETE /api/v1/session": NOTHING,
        "POST /api/v1/tokens": data(name="mine", days=9),
        "DELETE /api/v1/tokens/{id:uuid}": NOTHING,
        "PATCH /api/v1/users/{id:uuid}": data(role="board"),
        "POST /api/v1/invitations": data(email="omar.<new>@team.example", name="Omar", role="manager"),
        "DELETE /api/v1/invitations/{id:uuid}": NOTHING,
        "POST /api/v1/people": data(name="Ana"),
        "PUT /api/v1/people/{id:uuid}": data(name="Ana", version=1),
        "POST /api/v1/people/{id:uuid}/invitation": NOTHING,
        "POST /api/v1/people/{id:uuid}/ownerships": data(unitId="{other_unit}", validFrom="2020-01-01"),
        "POST /api/v1/ownerships/{id:uuid}/end": data(validTo="2026-01-01"),
        "POST /api/v1/communities": data(name="An island <new>", timeZone="America/New_York"),
        "PUT /api/v1/communities/{id:uuid}": data(name="Island <new>", timeZone="America/New_York", version=1),
        "POST /api/v1/communities/{id:uuid}/units": data(label="79"),
        "PUT /api/v1/units/{id:uuid}": data(label="80", version=1),
        "DELETE /api/v1/units/{id:uuid}": NOTHING,
        "POST /api/v1/imports": raw(CSV, "text/csv"),
        "POST /api/v1/imports/{id:uuid}/confirm": NOTHING,
        "POST /api/v1/requests": data(category="Question", title="Why", description="So", unitId="{unit}", personId="{person}"),
        "POST /api/v1/requests/{id:uuid}/comments": data(body="Hello"),
        "POST /api/v1/requests/{id:uuid}/state": data(state="InProgress", version=1),
        "POST /api/v1/requests/{id:uuid}/assignee": data(assigneeId="{user}", version=1),
        "DELETE /api/v1/requests/{id:uuid}/photos/{photo:uuid}": NOTHING,
        "POST /api/v1/requests/{id:uuid}/photos": raw(PNG, "image/png"),
    }.items()
}  # fmt: skip
#: Questions that name things beside the address.
QUERIES: dict[Door, str] = {
    Door("GET", "/people"): "community={community}&q=a",
    Door("GET", "/people/{id:uuid}"): "community={community}",
    Door("GET", "/people/invite"): "community={community}",
    Door("POST", "/people/invite"): "community={community}",
    Door("GET", "/requests"): "community={community}&state=all",
    Door("GET", "/requests/new"): "person={person}",
    Door("GET", "/imports"): "community={community}",
    Door("GET", "/api/v1/people"): "community={community}",
    Door("GET", "/api/v1/requests"): "community={community}",
    Door("POST", "/api/v1/imports"): "community={community}&filename=h.csv",
    Door("GET", "/sign-in"): "next=/requests/{request}",
}


def query(door: Door, things: Things) -> str:
    """What stands behind the question mark."""
    method = "GET" if door.method == "HEAD" else door.method
    return re.sub(r"\{(\w+)\}", lambda match: things[match[1]], QUERIES.get(Door(method, door.path), ""))


def sent(door: Door, filling: Filling) -> Sent:
    """The body of a request to the door."""
    return Sent() if door.method in SAFE else BODIES[door](filling)

"""The search itself is searched: apps that leak, each in another way, and locks that are picked, are all told by name."""

from __future__ import annotations

import dataclasses
import gzip
import html
import json
from base64 import b64encode, urlsafe_b64encode
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from hoa_app.db.session import TenantDatabase
from hoa_app.feature import Feature
from hoa_app.features import FEATURES
from hoa_app.features.requests import service as requests
from hoa_app.identity import middleware, sessions
from hoa_app.main import create_app
from hoa_app.settings import Settings
from hoa_app.tenancy.middleware import Tenancy
from hoa_app.tenancy.registry import Registry
from tests.contract.app.conftest import serving
from tests.contract.isolation import doors as known
from tests.contract.isolation.callers import everyone
from tests.contract.isolation.canaries import Aviary
from tests.contract.isolation.doors import Door, doors, form, unfilled
from tests.contract.isolation.world import Sweep, World

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

    from tests.contract.app.platform import Platform

WRAPPINGS: dict[str, Callable[[bytes], bytes]] = {
    "plain": lambda text: text,
    "html": lambda text: "".join(f"&#{byte};" for byte in text).encode(),
    "html, named": lambda text: html.escape(f"<{text.decode()}>").encode(),
    "json": lambda text: "".join(f"\\u00{byte:02x}" for byte in text).encode(),
    "address": lambda text: "".join(f"%{byte:02X}" for byte in text).encode(),
    "gzip": gzip.compress,
    "base64": lambda text: b64encode(b"some more of it " + text),
    "base64 in a cookie": lambda text: (
        b"hoa_flash=" + urlsafe_b64encode(json.dumps(["info", text.decode()]).encode()) + b".0"
    ),
    "gzip in base64": lambda text: b64encode(gzip.compress(text * 3)),
    "address in html": lambda text: html.escape(quote(f"/?q=<{text.decode()}>")).encode(),
}


@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_a_canary_is_found_in_any_wrapping(wrapping: str) -> None:
    aviary = Aviary()
    mark = aviary.mark("00c0ffee", "people.name")
    found = aviary.search(
        b"<p>" + WRAPPINGS[wrapping](mark.encode()) if wrapping != "gzip" else gzip.compress(mark.encode())
    )
    assert {(one.tag, one.place) for one in found} == {("00c0ffee", "people.name")}


def test_ids_and_secrets_are_found_in_either_spelling() -> None:
    aviary = Aviary()
    aviary.keep("00c0ffee", "people.id", "2b3c4d5e-0000-4000-8000-00000000000a")
    aviary.keep("00c0ffee", "token", "abc-def_ghi.jkl-mno_pqr")
    for text in (
        b"2B3C4D5E-0000-4000-8000-00000000000A",
        b"/x/2b3c4d5e00004000800000000000000a?y",
        b'"abc-def_ghi.jkl-mno_pqr"',
    ):
        assert len(aviary.search(text)) == 1, text


def leaky(world: World) -> Feature:
    """Routes that tell another company's words, each in its own way; the last is not filled in by anybody."""
    secret = world.aviary.mark(world.other.tag, "people.name").encode()
    thing = world.other.things[0]

    async def text(_: Request) -> Response:
        return PlainTextResponse(secret)

    async def packed(_: Request) -> Response:
        return Response(gzip.compress(secret), headers={"content-encoding": "gzip"})

    async def header(_: Request) -> Response:
        return PlainTextResponse("", headers={"x-debug": b64encode(secret * 2).decode()})

    async def an_id(_: Request) -> Response:
        return PlainTextResponse(thing["person"])

    async def token(_: Request) -> Response:
        return PlainTextResponse("", headers={"set-cookie": f"hoa_session={thing['cookie']}"})

    async def unguarded(request: Request) -> Response:
        async with request.state.db.transaction(readonly=True) as tx:
            row = await (await tx.execute("SELECT title FROM requests LIMIT 1")).fetchone()
        return PlainTextResponse(row["title"])

    async def writes(request: Request) -> Response:
        other = request.app.state.services.registry.get(world.other.made.id)
        async with TenantDatabase(request.app.state.services.pools, other).transaction() as tx:
            await tx.execute("UPDATE people SET phone = phone || '1'")
        return PlainTextResponse("", 403)

    async def fails(_: Request) -> Response:
        raise RuntimeError(secret.decode())

    ways = {
        "text": text,
        "packed": packed,
        "header": header,
        "id": an_id,
        "token": token,
        "unguarded": unguarded,
        "fails": fails,
    }
    routes = [Route(f"/leak/{name}", way, methods=["GET"]) for name, way in ways.items()]
    return Feature(
        "leaky",
        [
            *routes,
            Route("/leak/writes", writes, methods=["POST"]),
            Route("/leak/{thing:uuid}/x", text),
            Route("/leak/y", text, methods=["PUT"]),
        ],
    )


async def test_an_app_that_leaks_is_caught(place: Platform, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    app: Any = create_app(Settings.from_env(place.environment()), [*FEATURES, leaky(world)])
    monkeypatch.setitem(known.BODIES, Door("POST", "/leak/writes"), form())
    assert unfilled(doors(app)) == ["GET /leak/{thing:uuid}/x", "HEAD /leak/{thing:uuid}/x", "PUT /leak/y"]
    async with app.router.lifespan_context(app):
        await app.state.services.registry.loaded.wait()
        sweep = Sweep(world, app)
        sweep.doors = [
            door
            for door in sweep.doors
            if door.path.startswith("/leak/") and door.method in ("GET", "POST") and "{" not in door.path
        ]
        callers = [
            caller for caller in everyone(world) if caller.name == "another tenant's token, about their own things"
        ]
        faults = (await sweep.callers([dataclasses.replace(callers[0], carries="")])).faults
    told = " | ".join(faults)
    for said in (
        "GET /leak/text: shows people.name", "GET /leak/packed: shows people.name", "GET /leak/header: shows people.name",
        "GET /leak/id: shows people.id", "GET /leak/token: shows sessions.token", "GET /leak/unguarded: shows requests.title",
        "GET /leak/fails: answers 500", f"changed ['people'] of {world.other.made.slug}",
    ):  # fmt: skip
        assert said in told, said
    assert "leak/fails: shows" not in told, "the app's own last door tells nothing of an error"


def pick_revocation(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(sessions, "TOKEN_QUERY", sessions.TOKEN_QUERY.replace("t.revoked_at IS NULL AND", ""))


def pick_ownership(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(requests, "viewer", lambda _actor: None)


def pick_forms(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(middleware, "anchor_matches", lambda *_: True)


def pick_origin(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(middleware, "same_origin", lambda _facts: True)


def pick_state(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Tenancy, "_check_state", staticmethod(lambda *_: None))


def pick_hosts(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(
        Tenancy, "_resolve", lambda self, facts: self._services.registry.find(facts.host) if facts.host else None
    )


def pick_deletion(patch: pytest.MonkeyPatch) -> None:
    """A registry that goes on with whom it knew by name: the host of the own company, whoever asks for another one."""
    found = Registry.find
    patch.setattr(Registry, "find", lambda self, host: found(self, host) or next(iter(self.tenants())))


LOCKS: dict[str, tuple[Callable[[pytest.MonkeyPatch], None], str, str]] = {
    "a token is good although it was revoked": (pick_revocation, "a token that was revoked", "shows"),
    "a homeowner sees everybody's requests": (pick_ownership, "an owner who is a homeowner now", "shows requests.title"),
    "any form is taken": (pick_forms, "own cookie, another session's CSRF token", "POST /requests: answers 303"),
    "forms of other sites are taken": (pick_origin, "a form sent from another tenant's page", "POST /requests: answers 303"),
    # Its logins are off in Postgres, too: past the first lock it ends at the second.
    "suspended companies are served": (pick_state, "the suspended tenant's bearer at home", "answers 503"),
    "the last of two hosts counts": (pick_hosts, "own bearer, 2 Host headers, first False", "shows"),
    "unknown hosts are served": (pick_deletion, "nobody at the deleted tenant's", "answers 200"),
}  # fmt: skip


@pytest.mark.parametrize("lock", LOCKS)
async def test_a_picked_lock_is_noticed(
    place: Platform, world: World, monkeypatch: pytest.MonkeyPatch, lock: str
) -> None:
    pick, name, told = LOCKS[lock]
    async with serving(place) as site:
        (caller,) = [caller for caller in everyone(world) if caller.name == name]
        few = [door for door in doors(site.app) if "/requests" in door.path or door.path in ("/sign-in", "/people")]
        sound, picked = Sweep(world, site.app), Sweep(world, site.app)
        sound.doors = picked.doors = few
        assert (await sound.callers([caller])).faults == []
        pick(monkeypatch)
        faults = (await picked.callers([caller])).faults
        monkeypatch.undo()
    assert told in " | ".join(faults)

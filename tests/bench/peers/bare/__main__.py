"""One file, one process, one database: a session is a row, a page is a template, and nobody asks whose host this is."""

from __future__ import annotations

import gc
import os
from contextlib import asynccontextmanager
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import msgspec
import uvicorn
from psycopg.rows import class_row, dict_row
from psycopg.types.json import Jsonb
from psycopg_pool import AsyncConnectionPool
from starlette.applications import Starlette
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from tests.bench.peers.bare import queries
from tests.bench.peers.page import environment

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from psycopg import AsyncConnection
    from starlette.requests import Request

IDLE = {"touch": timedelta(minutes=1), "idle": timedelta(days=7)}
POOL: AsyncConnectionPool[Any]


class Person(msgspec.Struct, rename="camel"):
    """As the app sends it."""

    id: UUID
    name: str
    email: str
    phone: str
    mailing_address: str
    portal: str
    units: list[str]
    version: int
    user_id: UUID | None
    signs_in_as: str | None


def json(found: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(found), status, media_type="application/json")


async def rows(connection: AsyncConnection[Any], query: str, *values: object) -> list[Any]:
    return await (await connection.execute(query, values)).fetchall()


async def people(connection: AsyncConnection[Any], query: str, *values: object) -> list[Person]:
    async with connection.cursor(row_factory=class_row(Person)) as cursor:
        await cursor.execute(query, values)
        return await cursor.fetchall()


@asynccontextmanager
async def signed_in(request: Request) -> AsyncIterator[tuple[AsyncConnection[Any], dict[str, Any]]]:
    async with POOL.connection() as connection:
        token_hash = sha256(request.cookies["session"].encode()).digest()
        cursor = await connection.execute(queries.SESSION, {"token_hash": token_hash, **IDLE})
        actor = await cursor.fetchone()
        assert actor is not None
        if actor["stale"]:
            async with writing(connection):
                await connection.execute(queries.TOUCH, (actor["id"],))
        yield connection, actor


@asynccontextmanager
async def writing(connection: AsyncConnection[Any]) -> AsyncIterator[None]:
    await connection.set_read_only(False)
    async with connection.transaction():
        yield


async def one(request: Request) -> Response:
    async with signed_in(request) as (connection, _):
        (found,) = await people(connection, queries.PERSON, request.path_params["id"])
    return json(found)


async def many(request: Request) -> Response:
    limit = int(request.query_params["limit"])
    async with signed_in(request) as (connection, _):
        found = await people(connection, queries.PEOPLE, limit + 1)
    return json({"items": found[:limit]})


async def add(request: Request) -> Response:
    person = await request.json()
    new = uuid4()
    async with signed_in(request) as (connection, actor), writing(connection):
        await connection.execute(queries.INSERT, (new, person["name"], "", "", ""))
        said = Jsonb({"name": person["name"]})
        entry = (actor["user_id"], actor["email"], "people.created", "person", str(new), said)
        await connection.execute(queries.AUDIT, entry)
        (made,) = await people(connection, queries.PERSON, new)
    return json(made, 201)


async def page(request: Request) -> Response:
    async with signed_in(request) as (connection, actor):
        await rows(connection, queries.TIME_ZONE)
        found = await people(connection, queries.PEOPLE, 51)
        communities = await rows(connection, queries.COMMUNITIES)
        invited = [each.id for each in found if each.portal == "Invited"]
        waiting = await rows(connection, queries.INVITATIONS, invited)
        await rows(connection, queries.MAILS, [f"{kind}:{each['id']}" for each in waiting for kind in queries.KINDS])
    context = {
        "people": SimpleNamespace(items=found[:50], next="more"),
        "communities": [tuple(each.values()) for each in communities],
        "actor": SimpleNamespace(**{**actor, "role": SimpleNamespace(label=actor["role"])}),
        "path": "/people",
    }
    return HTMLResponse(TEMPLATE.render(context))


TEMPLATE = environment(Path(os.environ["TEMPLATES_OF"])).get_template("list.html")


@asynccontextmanager
async def lifespan(_app: Starlette) -> AsyncIterator[None]:
    global POOL
    size = int(os.environ["POOL_SIZE"])
    known = {"autocommit": True, "row_factory": dict_row}
    async with AsyncConnectionPool(os.environ["DSN"], kwargs=known, min_size=size, max_size=size) as POOL:
        gc.collect()
        gc.freeze()  # as the app does
        yield


ROUTES = [
    Route("/api/v1/people/{id:uuid}", one),
    Route("/api/v1/people", many),
    Route("/api/v1/people", add, methods=["POST"]),
    Route("/people", page),
]

if __name__ == "__main__":
    app = Starlette(routes=ROUTES, lifespan=lifespan)
    uvicorn.run(app, port=int(os.environ["PORT"]), loop="uvloop", http="httptools", ws="none", access_log=False)

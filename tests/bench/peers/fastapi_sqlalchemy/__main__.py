"""`python -m ... create` makes a tenant's tables; `python -m ... serve` answers for every host in TENANTS."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from hashlib import sha256
from hmac import compare_digest
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any
from uuid import UUID

import uvicorn
from fastapi import Cookie, Depends, FastAPI, Header, HTTPException, Request
from fastapi.responses import HTMLResponse
from fastapi.templating import Jinja2Templates
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine

from tests.bench.peers.fastapi_sqlalchemy import models, queries
from tests.bench.peers.page import environment

TENANTS: dict[str, str] = json.loads(os.environ["TENANTS"])
SIZE = int(os.environ.get("POOL_SIZE", "5"))
PAGE = 50
ENGINES: dict[str, AsyncEngine] = {}


class Wire(BaseModel):
    """Names are written in camel case."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, from_attributes=True)


class Person(Wire):
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


class People(Wire):
    items: list[Person]
    next: str | None


class NewPerson(Wire):
    name: str = Field(min_length=1, max_length=160)
    email: str = ""
    phone: str = ""
    mailing_address: str = ""


def engine_of(request: Request) -> AsyncEngine:
    """The tenant's own engine, by the host; made on first use and kept."""
    host = request.url.hostname or ""
    found = ENGINES.get(host)
    if found is None:
        if host not in TENANTS:
            raise HTTPException(404)
        found = ENGINES[host] = create_async_engine(TENANTS[host], pool_size=SIZE, max_overflow=0)
    return found


async def session_of(engine: Annotated[AsyncEngine, Depends(engine_of)]) -> AsyncIterator[AsyncSession]:
    """One session a request."""
    async with AsyncSession(engine, expire_on_commit=False) as session:
        yield session


Db = Annotated[AsyncSession, Depends(session_of)]


async def actor_of(db: Db, session: Annotated[str, Cookie()]) -> Any:
    """Who asks: the session's row, looked up each time."""
    found = await db.execute(queries.SIGNED_IN, {"token_hash": sha256(session.encode()).digest()})
    actor = found.one_or_none()
    if actor is None:
        raise HTTPException(401)
    if actor.stale:
        seen = update(models.Session).where(models.Session.id == actor.session_id)
        await db.execute(seen.values(last_seen_at=datetime.now(UTC)))
        await db.commit()
    return actor


Actor = Annotated[Any, Depends(actor_of)]


def meant(session: Annotated[str, Cookie()], x_csrf_token: Annotated[str, Header()] = "") -> None:
    """A write carries what only this browser's pages know."""
    if not compare_digest(x_csrf_token, sha256(f"csrf {session}".encode()).hexdigest()):
        raise HTTPException(403)


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    """Close what was opened."""
    yield
    for engine in ENGINES.values():
        await engine.dispose()


app = FastAPI(lifespan=lifespan)
TEMPLATES = Jinja2Templates(env=environment(Path(os.environ["TEMPLATES_OF"])))


@app.get("/api/v1/people/{person_id}")
async def one(person_id: UUID, db: Db, actor: Actor) -> Person:
    """One person."""
    _allow(actor, "people:read")
    found = (await db.execute(queries.ONE, {"id": person_id})).one_or_none()
    if found is None:
        raise HTTPException(404)
    return Person.model_validate(found)


@app.get("/api/v1/people")
async def many(db: Db, actor: Actor, limit: int = PAGE) -> People:
    """A page of people."""
    _allow(actor, "people:read")
    found = (await db.execute(queries.MANY, {"most": limit + 1})).all()
    more = str(found[limit - 1].id) if len(found) > limit else None
    return People(items=[Person.model_validate(row) for row in found[:limit]], next=more)


@app.post("/api/v1/people", status_code=201, dependencies=[Depends(meant)])
async def add(new: NewPerson, db: Db, actor: Actor) -> Person:
    """A new person, and the entry in the log."""
    _allow(actor, "people:write")
    person = models.Person(**new.model_dump())
    db.add(person)
    await db.flush()
    entry = models.AuditEntry(
        actor_id=actor.id,
        actor_label=actor.email,
        action="people.created",
        subject_type="person",
        subject_id=str(person.id),
        detail={"name": person.name},
    )
    db.add(entry)
    await db.flush()
    made = Person.model_validate((await db.execute(queries.ONE, {"id": person.id})).one())
    await db.commit()
    return made


@app.get("/people")
async def page(request: Request, db: Db, actor: Actor) -> HTMLResponse:
    """The list as people see it."""
    _allow(actor, "people:read")
    (await db.execute(queries.TIME_ZONE)).one_or_none()
    found = (await db.execute(queries.MANY, {"most": PAGE + 1})).all()
    communities = [tuple(row) for row in (await db.execute(queries.COMMUNITIES)).all()]
    invited = [row.id for row in found if row.portal == "Invited"]
    (await db.execute(queries.INVITATIONS, {"people": invited})).all()
    context = {
        "people": SimpleNamespace(items=found[:PAGE], next="more"),
        "communities": communities,
        "actor": SimpleNamespace(name=actor.name, email=actor.email, role=SimpleNamespace(label=actor.role)),
        "path": request.url.path,
    }
    return TEMPLATES.TemplateResponse(request, "list.html", context)


def _allow(actor: Any, permission: str) -> None:
    if actor.role not in {"owner", "manager"} and not permission.endswith(":read"):
        raise HTTPException(403)


async def create() -> None:
    """The tables in each tenant's database."""
    for url in TENANTS.values():
        engine = create_async_engine(url)
        async with engine.begin() as connection:
            await connection.run_sync(models.Base.metadata.create_all)
        await engine.dispose()


if __name__ == "__main__":
    if sys.argv[1] == "create":
        asyncio.run(create())
    else:
        uvicorn.run(app, port=int(os.environ["PORT"]), loop="uvloop", http="httptools", ws="none", access_log=False)

"""JSON operations on people and ownerships."""

from datetime import date
from typing import Any
from uuid import UUID

import msgspec

from hoa_app.api import ApiContext, Operation, PageQuery, Params, operation
from hoa_app.features.kit.wire import Listing, fields, listing
from hoa_app.features.people import service
from hoa_app.features.people.model import EndForm, Ownership, OwnershipForm, Person, PersonForm


class PersonBody(msgspec.Struct, frozen=True, rename="camel"):
    """A person as a program writes it; ``version`` is the one that was read, when they are changed."""

    name: str
    email: str = ""
    phone: str = ""
    mailing_address: str = ""
    version: int = 0


class OwnershipBody(msgspec.Struct, frozen=True, rename="camel"):
    """A unit that a person owns from ``validFrom`` until the day before ``validTo``."""

    unit_id: UUID
    valid_from: date
    valid_to: date | None = None
    is_primary: bool = False


class EndBody(msgspec.Struct, frozen=True, rename="camel"):
    """The first day without the ownership."""

    valid_to: date


class PeopleQuery(PageQuery, frozen=True):
    """People whose name, mail, phone or unit holds every word of ``q``; of one community, if it is given."""

    q: str = ""
    community: UUID | None = None


@operation(
    "GET", "/people", "List people by name", response=Listing[Person], permission="people:read", query=PeopleQuery
)
async def list_people(ctx: ApiContext, _: Any, params: Params) -> Listing[Person]:
    """A page of people."""
    query: PeopleQuery = params.query
    async with ctx.db.transaction(readonly=True) as tx:
        return listing(await service.listed(tx, query.q, query.community, query.after, query.size))


@operation(
    "POST", "/people", "Add a person", request=PersonBody, response=Person, permission="people:write", status=201
)
async def create_person(ctx: ApiContext, body: PersonBody, _: Params) -> Person:
    """A new person."""
    async with ctx.db.transaction() as tx:
        return await service.create(tx, ctx.actor, PersonForm.read(fields(body)))


@operation("GET", "/people/{id:uuid}", "Read a person", response=Person, permission="people:read")
async def get_person(ctx: ApiContext, _: Any, params: Params) -> Person:
    """One person."""
    async with ctx.db.transaction(readonly=True) as tx:
        return await service.get(tx, params["id"])


@operation(
    "PUT", "/people/{id:uuid}", "Change a person", request=PersonBody, response=Person, permission="people:write"
)
async def change_person(ctx: ApiContext, body: PersonBody, params: Params) -> Person:
    """New facts about a person."""
    async with ctx.db.transaction() as tx:
        return await service.change(tx, ctx.actor, params["id"], PersonForm.read(fields(body)))


@operation(
    "POST",
    "/people/{id:uuid}/invitation",
    "Invite a person to the portal",
    response=Person,
    permission="users:invite",
    status=202,
)
async def invite_person(ctx: ApiContext, _: Any, params: Params) -> Person:
    """Mail the invitation."""
    async with ctx.db.transaction() as tx:
        return await service.invite_to_portal(tx, ctx.actor, params["id"])


@operation(
    "GET",
    "/people/{id:uuid}/ownerships",
    "List what a person owns or owned",
    response=Listing[Ownership],
    permission="people:read",
)
async def list_ownerships(ctx: ApiContext, _: Any, params: Params) -> Listing[Ownership]:
    """The history of one person."""
    async with ctx.db.transaction(readonly=True) as tx:
        await service.get(tx, params["id"])
        return Listing(await service.history(tx, params["id"]))


@operation(
    "POST",
    "/people/{id:uuid}/ownerships",
    "Record an ownership",
    request=OwnershipBody,
    response=Ownership,
    permission="people:write",
    status=201,
)
async def create_ownership(ctx: ApiContext, body: OwnershipBody, params: Params) -> Ownership:
    """A person comes to own a unit."""
    async with ctx.db.transaction() as tx:
        return await service.own(tx, ctx.actor, params["id"], OwnershipForm.read(fields(body)))


@operation("GET", "/ownerships/{id:uuid}", "Read an ownership", response=Ownership, permission="people:read")
async def get_ownership(ctx: ApiContext, _: Any, params: Params) -> Ownership:
    """One ownership."""
    async with ctx.db.transaction(readonly=True) as tx:
        return await service.ownership(tx, params["id"])


@operation(
    "POST",
    "/ownerships/{id:uuid}/end",
    "End an ownership",
    request=EndBody,
    response=Ownership,
    permission="people:write",
)
async def end_ownership(ctx: ApiContext, body: EndBody, params: Params) -> Ownership:
    """A person no longer owns a unit."""
    async with ctx.db.transaction() as tx:
        return await service.end(tx, ctx.actor, params["id"], EndForm.read(fields(body)))


OPERATIONS: tuple[Operation, ...] = (
    list_people,
    create_person,
    get_person,
    change_person,
    invite_person,
    list_ownerships,
    create_ownership,
    get_ownership,
    end_ownership,
)

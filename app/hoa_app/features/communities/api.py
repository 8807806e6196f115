"""JSON operations on communities and units."""

from typing import Any

import msgspec

from hoa_app.api import ApiContext, Operation, PageQuery, Params, operation
from hoa_app.features.communities import service
from hoa_app.features.communities.model import Community, CommunityForm, Unit, UnitForm
from hoa_app.features.kit.wire import Listing, fields, listing


class CommunityBody(msgspec.Struct, frozen=True, rename="camel"):
    """A community as a program writes it; ``version`` is the one that was read, when it is changed."""

    name: str
    time_zone: str
    address: str = ""
    version: int = 0


class UnitBody(msgspec.Struct, frozen=True, rename="camel"):
    """A unit as a program writes it; ``version`` is the one that was read, when it is changed."""

    label: str
    address: str = ""
    version: int = 0


class UnitQuery(PageQuery, frozen=True):
    """Units whose label or address holds ``q``."""

    q: str = ""


@operation(
    "GET",
    "/communities",
    "List communities by name",
    response=Listing[Community],
    permission="communities:read",
    query=PageQuery,
)
async def list_communities(ctx: ApiContext, _: Any, params: Params) -> Listing[Community]:
    """A page of communities."""
    async with ctx.db.transaction(readonly=True) as tx:
        return listing(await service.listed(tx, params.query.after, params.query.size))


@operation(
    "POST",
    "/communities",
    "Create a community",
    request=CommunityBody,
    response=Community,
    permission="communities:write",
    status=201,
)
async def create_community(ctx: ApiContext, body: CommunityBody, _: Params) -> Community:
    """A new community."""
    async with ctx.db.transaction() as tx:
        return await service.create(tx, ctx.actor, CommunityForm.read(fields(body)))


@operation("GET", "/communities/{id:uuid}", "Read a community", response=Community, permission="communities:read")
async def get_community(ctx: ApiContext, _: Any, params: Params) -> Community:
    """One community."""
    async with ctx.db.transaction(readonly=True) as tx:
        return await service.get(tx, params["id"])


@operation(
    "PUT",
    "/communities/{id:uuid}",
    "Change a community",
    request=CommunityBody,
    response=Community,
    permission="communities:write",
)
async def change_community(ctx: ApiContext, body: CommunityBody, params: Params) -> Community:
    """New facts about a community."""
    async with ctx.db.transaction() as tx:
        return await service.change(tx, ctx.actor, params["id"], CommunityForm.read(fields(body)))


@operation(
    "GET",
    "/communities/{id:uuid}/units",
    "List a community's units",
    response=Listing[Unit],
    permission="communities:read",
    query=UnitQuery,
)
async def list_units(ctx: ApiContext, _: Any, params: Params) -> Listing[Unit]:
    """A page of units."""
    async with ctx.db.transaction(readonly=True) as tx:
        await service.get(tx, params["id"])
        return listing(await service.units(tx, params["id"], params.query.q, params.query.after, params.query.size))


@operation(
    "POST",
    "/communities/{id:uuid}/units",
    "Add a unit",
    request=UnitBody,
    response=Unit,
    permission="communities:write",
    status=201,
)
async def create_unit(ctx: ApiContext, body: UnitBody, params: Params) -> Unit:
    """A new unit."""
    async with ctx.db.transaction() as tx:
        return await service.add_unit(tx, ctx.actor, params["id"], UnitForm.read(fields(body)))


@operation("GET", "/units/{id:uuid}", "Read a unit", response=Unit, permission="communities:read")
async def get_unit(ctx: ApiContext, _: Any, params: Params) -> Unit:
    """One unit."""
    async with ctx.db.transaction(readonly=True) as tx:
        return await service.unit(tx, params["id"])


@operation("PUT", "/units/{id:uuid}", "Change a unit", request=UnitBody, response=Unit, permission="communities:write")
async def change_unit(ctx: ApiContext, body: UnitBody, params: Params) -> Unit:
    """New facts about a unit."""
    async with ctx.db.transaction() as tx:
        return await service.change_unit(tx, ctx.actor, params["id"], UnitForm.read(fields(body)))


@operation("DELETE", "/units/{id:uuid}", "Remove a unit without a history", permission="communities:write")
async def delete_unit(ctx: ApiContext, _: Any, params: Params) -> None:
    """Take a unit away."""
    async with ctx.db.transaction() as tx:
        await service.remove_unit(tx, ctx.actor, params["id"])


OPERATIONS: tuple[Operation, ...] = (
    list_communities,
    create_community,
    get_community,
    change_community,
    list_units,
    create_unit,
    get_unit,
    change_unit,
    delete_unit,
)

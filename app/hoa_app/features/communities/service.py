"""What can be done with communities and units; pages and the API both come through here."""

from uuid import UUID

from psycopg.errors import UniqueViolation

from hoa_app.audit import audit
from hoa_app.db.session import Tx
from hoa_app.features.communities import store
from hoa_app.features.communities.model import Community, CommunityForm, Unit, UnitForm, Workload
from hoa_app.features.kit.answers import Rejected, Stale
from hoa_app.features.kit.paging import Page, decode_cursor, paged
from hoa_app.identity.actor import Actor
from hoa_app.problems import Problem, not_found


async def listed(tx: Tx, after: str | None, limit: int) -> Page[Community]:
    """A page of communities by name."""
    found = await store.communities(tx, decode_cursor(after, "text", "uuid"), limit)
    return paged(found, limit, lambda row: (row.name.lower(), row.id))


async def names(tx: Tx) -> list[tuple[UUID, str]]:
    """Ids and names of all communities, for lists to choose from."""
    return await store.names(tx)


async def busiest(tx: Tx, limit: int) -> list[Workload]:
    """The communities with most open requests."""
    return await store.busiest(tx, limit)


async def get(tx: Tx, community_id: UUID) -> Community:
    """One community, or 404."""
    found = await store.community(tx, community_id)
    if found is None:
        raise not_found("community")
    return found


async def create(tx: Tx, actor: Actor, form: CommunityForm, *, sent_twice: bool = False) -> Community:
    """A new community; with ``sent_twice``, one that is just as the form says will do."""
    made = await store.insert_community(tx, form)
    if made is None:
        twin = await store.same_community(tx, form) if sent_twice else None
        if twin is not None:
            return await get(tx, twin)
        raise Rejected({"name": f"There is already a community called {form.name}."})
    await audit(tx, actor, "communities.created", "community", made, {"name": form.name})
    return await get(tx, made)


async def change(tx: Tx, actor: Actor, community_id: UUID, form: CommunityForm) -> Community:
    """New facts about a community, if nobody changed it since."""
    before = await get(tx, community_id)
    try:
        saved = await store.update_community(tx, community_id, form)
    except UniqueViolation:
        raise Rejected({"name": f"There is already a community called {form.name}."}) from None
    if not saved:
        now = await get(tx, community_id)
        if _is_as_sent(now, form, "name", "address", "time_zone"):
            return now
        raise Stale("community")
    await audit(tx, actor, "communities.changed", "community", community_id, {"before": before.name, "name": form.name})
    return await get(tx, community_id)


async def units(tx: Tx, community_id: UUID, search: str, after: str | None, limit: int) -> Page[Unit]:
    """A page of a community's units."""
    found = await store.units(tx, community_id, search[:80], decode_cursor(after, "text", "uuid"), limit)
    return paged(found, limit, lambda row: (row.sort_key, row.id))


async def unit(tx: Tx, unit_id: UUID) -> Unit:
    """One unit, or 404."""
    found = await store.unit(tx, unit_id)
    if found is None:
        raise not_found("unit")
    return found


async def add_unit(tx: Tx, actor: Actor, community_id: UUID, form: UnitForm, *, sent_twice: bool = False) -> Unit:
    """A new unit of a community; with ``sent_twice``, one that is just as the form says will do."""
    community = await get(tx, community_id)
    made = await store.insert_unit(tx, community_id, form)
    if made is None:
        twin = await store.same_unit(tx, community_id, form) if sent_twice else None
        if twin is not None:
            return await unit(tx, twin)
        raise Rejected({"label": f"{community.name} already has a unit {form.label}."})
    await audit(tx, actor, "units.created", "unit", made, {"label": form.label, "community": community.name})
    return await unit(tx, made)


async def change_unit(tx: Tx, actor: Actor, unit_id: UUID, form: UnitForm) -> Unit:
    """New facts about a unit, if nobody changed it since."""
    before = await unit(tx, unit_id)
    try:
        saved = await store.update_unit(tx, unit_id, form)
    except UniqueViolation:
        raise Rejected({"label": f"{before.community} already has a unit {form.label}."}) from None
    if not saved:
        now = await unit(tx, unit_id)
        if _is_as_sent(now, form, "label", "address"):
            return now
        raise Stale("unit")
    await audit(tx, actor, "units.changed", "unit", unit_id, {"before": before.label, "label": form.label})
    return await unit(tx, unit_id)


async def remove_unit(tx: Tx, actor: Actor, unit_id: UUID) -> Unit:
    """Take away a unit that was made by mistake; one with a history stays."""
    gone = await unit(tx, unit_id)
    if not await store.delete_unit(tx, unit_id):
        raise Problem(
            409, "This unit has a history", "Units with owners or requests, now or in the past, cannot be removed."
        )
    await audit(tx, actor, "units.removed", "unit", unit_id, {"label": gone.label, "community": gone.community})
    return gone


def _is_as_sent(now: Community | Unit, form: CommunityForm | UnitForm, *fields: str) -> bool:
    """Whether the record is what the form made of it: a second click, after the first one saved it."""
    return now.version == form.version + 1 and all(getattr(now, field) == getattr(form, field) for field in fields)

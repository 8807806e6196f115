"""What is on record under a new HOATenant's name, and whether it takes it over: pure.

Nobody but a HOATenant of the same namespace and name is handed data without naming it, and a namespace holds one object of
a name: who else was registered under it is gone. docs/adr/0009-undelete.md says why it is decided like this.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from hoa_operator import names
from hoa_operator.errors import TenantRecordLeft, UserError
from hoa_operator.kinds import name_of
from hoa_operator.tenant import format_time
from hoa_operator.world import Behind, Record

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from uuid import UUID

    from hoa_operator.kinds import Object
    from hoa_operator.registry_model import Placement, RegistryRow, Retained
    from hoa_operator.tenant import Identity, TenantSpec

_LONG_AGO: Final = datetime(1, 1, 1, tzinfo=UTC)


def choose(spec: TenantSpec, known: Sequence[Retained]) -> Record:
    """Return what a tenant begins with, out of everything on record under its name; raise where a person must decide."""
    living = next((found for found in known if found.row.state != "Deleted"), None)
    if living is not None:
        return _of_lost(spec, living)
    kept = sorted((found for found in known if _can_be_had(found)), key=_closed_at, reverse=True)
    latest = next((found for found in kept if found.row.slug == spec.slug), None)
    if spec.adoption != "IfUnclaimed" or latest is None:
        return Record(None, None, None, others=tuple(kept), dropping=tuple(filter(_is_being_dropped, known)))
    _check_company(spec, latest.row)
    others = tuple(found for found in kept if found is not latest)
    return Record(None, latest.placement, None, latest.row, others=others)


def _of_lost(spec: TenantSpec, found: Retained) -> Record:
    """Decide about a row that is not retained: its HOATenant went without a teardown."""
    row, placement = found.row, found.placement
    if placement is None:
        return Record(None, None, None, void_row=row)
    if spec.adoption == "IfUnclaimed" and placement.database_oid is not None and row.slug == spec.slug:
        _check_company(spec, row)
        return Record(None, placement, None, row)
    raise TenantRecordLeft(f"{row.owner} (uid {row.uid}, tenant {row.tenant_id})", _going_on(spec, found))


def _going_on(spec: TenantSpec, found: Retained) -> str:
    """Say how to go on with the data of a row that is not retained, if that can be."""
    if found.placement is None or found.placement.database_oid is None:
        return "Its database was not finished. "
    if found.row.slug != spec.slug:
        return (
            f"It has the slug {found.row.slug!r}: to go on with its data, delete this HOATenant, of which nothing was made yet, and "
            "apply it again with that spec.slug and spec.adoptionPolicy IfUnclaimed. "
        )
    return "Set spec.adoptionPolicy to IfUnclaimed to go on with its data. "


def _can_be_had(found: Retained) -> bool:
    place = found.placement
    return place is not None and not place.abandoned and place.dropping_since is None


def _is_being_dropped(found: Retained) -> bool:
    place = found.placement
    return place is not None and not place.abandoned and place.dropping_since is not None


def _closed_at(found: Retained) -> datetime:
    return (found.placement.deleted_at if found.placement else None) or _LONG_AGO


def _check_company(spec: TenantSpec, row: RegistryRow) -> None:
    """Refuse to hand one company's data to another that came to have its name."""
    if row.display_name.casefold() == spec.display_name.casefold():
        return
    raise UserError(
        "RetainedDataDiffers",
        f"the data kept under this name is of {row.display_name!r}, and spec.displayName is {spec.display_name!r}. If it is "
        f"the same company, annotate this HOATenant with {names.ANNOTATION_ADOPT}={row.tenant_id}; if not, set "
        "spec.adoptionPolicy to Never, and it begins with an empty database",
    )


def void_claims(
    identity: Identity, record: Record, alive: Collection[UUID], rows: Sequence[RegistryRow]
) -> tuple[UUID, ...]:
    """Return the earlier claims on the data that count no more: their HOATenants are gone or have data of their own. Raise
    where one counts, or where another tenant is in the data's place."""
    kept, placement = record.kept, record.placement
    if kept is None or placement is None:
        return ()
    _check_place(kept, rows)
    rivals = busy(alive, rows) - {identity.uid}
    rival = next((uid for uid in placement.claimants if uid in rivals), None)
    if rival is not None:
        raise UserError(
            "RetainedDataClaimed",
            f"the data of tenant {kept.tenant_id} is being taken over by another HOATenant (uid {rival}); delete that one "
            "first, or ask for other data here",
        )
    return tuple(uid for uid in placement.claimants if uid != identity.uid)


def busy(alive: Collection[UUID], rows: Sequence[RegistryRow]) -> set[UUID]:
    """Return the HOATenants whose claims count: they exist, and have no data of their own."""
    return set(alive) - {row.uid for row in rows}


def _check_place(kept: RegistryRow, rows: Sequence[RegistryRow]) -> None:
    for row in rows:
        if row.state == "Deleted" or row.tenant_id == kept.tenant_id:
            continue
        if row.slug == kept.slug or (row.namespace, row.name) == (kept.namespace, kept.name):
            raise UserError(
                "SlugTaken",
                f"the retained data of slug {kept.slug!r} cannot come back while HOATenant {row.owner} is in its place; "
                "delete that one first",
            )


# In words


def kept_behind(identity: Identity, tenant_id: UUID, servers: Sequence[Object]) -> tuple[Behind, ...]:
    """Return what the servers' statuses list under the tenant's name, the latest first: not what it has taken over, which a
    list that was not written since still has."""
    listed = [
        (entry.get("retainedAt", ""), name_of(server), entry)
        for server in servers
        for entry in (server.get("status") or {}).get("retainedDatabases") or ()
        if entry.get("tenant") == identity.name and entry.get("tenantID") != str(tenant_id)
    ]
    listed.sort(key=lambda found: found[:2], reverse=True)
    return tuple(_behind(server, entry) for _, server, entry in listed)


def _behind(server: str, entry: Mapping[str, str]) -> Behind:
    """Read an entry of a server's list; what holds up its drop stands there in full."""
    tenant_id, closed_at, drop_after = (entry.get(key, "") for key in ("tenantID", "retainedAt", "dropAfter"))
    held_up = (
        f"status.retainedDatabases of HOADatabaseServer {server} says what holds that up" if "problem" in entry else ""
    )
    if "droppingSince" in entry:
        words = f"tenant {tenant_id} on {server} is being dropped since {entry['droppingSince']}"
        return Behind("; ".join(filter(None, (words, held_up))), lost=True)
    if held_up:
        return Behind(f"{_in_words(tenant_id, server, closed_at, None)}, to be dropped since {drop_after}; {held_up}")
    return Behind(_in_words(tenant_id, server, closed_at, drop_after))


def described(found: Retained) -> str:
    """Return retained data in words."""
    server = found.placement.server_name if found.placement else "no server"
    drop_after = drop_time(found.placement) if found.placement else None
    return _in_words(str(found.row.tenant_id), server, format_time(_closed_at(found).astimezone(UTC)), drop_after)


def being_dropped(found: Retained) -> str:
    """Return data whose drop has begun in words."""
    since = found.placement.dropping_since if found.placement else None
    begun = f" since {format_time(since.astimezone(UTC))}" if since else ""
    return f"tenant {found.row.tenant_id} is being dropped{begun} and cannot come back"


def drop_time(placement: Placement) -> str | None:
    """Return when retained data is dropped, as the API server writes times."""
    return format_time(placement.drop_after.astimezone(UTC)) if placement.drop_after else None


def _in_words(tenant_id: str, server: str, closed_at: str, drop_after: str | None) -> str:
    until = f", dropped after {drop_after}" if drop_after else ""
    return f"tenant {tenant_id} on {server}, closed {closed_at}{until}"

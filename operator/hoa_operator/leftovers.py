"""What is left without a living owner: databases, roles, objects, rows of the registry, and what to do with each: pure.

Nothing here decides on what could not be read; `Look.unread` says what that was.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from hoa_operator import names
from hoa_operator.kinds import kind_of, labels_of, name_of
from hoa_operator.postgres.names import database_name, tombstone_name
from hoa_operator.tenant import format_time, parse_time

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from hoa_operator.kinds import Object
    from hoa_operator.postgres.model import AdminLogin, DatabaseIdentity, TenantDatabase, TenantRole
    from hoa_operator.registry_model import Placement, RegistryRow, Retained

#: What is due is tried again at every resync; after two of them something must hold it up.
OVERDUE: Final = timedelta(minutes=15)
_RETAINED: Final = "docs/operations/retained-databases.md"
_LOST: Final = "docs/operations/lost-server.md"


@dataclass(frozen=True)
class Leftover:
    """One line of the list. `since` and `size` (bytes) are None where nobody knows; `todo` is a command where there is one."""

    kind: str
    name: str
    where: str
    why: str
    todo: str
    since: datetime | None = None
    size: int | None = None

    @property
    def key(self) -> tuple[str, str, str]:
        """What it is, of which name, and where."""
        return self.kind, self.name, self.where

    def to_json(self) -> dict[str, Any]:
        """Return it for a program."""
        since = format_time(self.since.astimezone(UTC)) if self.since else None
        return {
            "kind": self.kind,
            "name": self.name,
            "where": self.where,
            "since": since,
            "sizeBytes": self.size,
            "why": self.why,
            "todo": self.todo,
        }


@dataclass(frozen=True)
class ServerLook:
    """What was found on one HOADatabaseServer, which answers as the Postgres of that system identifier; `named` are the names of
    all its databases by their oid, which only there mean anything."""

    name: str
    login: AdminLogin
    system: str
    databases: tuple[TenantDatabase, ...]
    roles: tuple[TenantRole, ...]
    named: Mapping[int, str] = field(default_factory=dict)

    def psql(self, statement: str) -> str:
        """Return the command that runs a statement there."""
        return psql(self.login, statement)

    def holds(self, place: Placement) -> bool:
        """Tell whether data was put on this very Postgres."""
        return place.server_name == self.name and place.system_identifier == self.system


@dataclass(frozen=True)
class Look:
    """Everything that was read. `tenants` and `server_names` are by uid; None means that it could not be read."""

    namespace: str
    installation: str
    now: datetime
    tenants: Mapping[str, str] | None
    server_names: Mapping[str, str] | None
    children: tuple[Object, ...]
    registry: AdminLogin | None
    records: tuple[Retained, ...] | None
    servers: tuple[ServerLook, ...]
    unread: tuple[str, ...] = ()


def psql(login: AdminLogin, statement: str) -> str:
    """Return the command that runs a statement on a server as its administrator."""
    address = login.address
    where = f"-h {address.host} -p {address.port} -U {login.username} -d {login.maintenance_db}"
    return f"psql {where} -c {shlex.quote(statement)}"


def find(look: Look) -> list[Leftover]:
    """Return all that has no living owner, as far as it could be read."""
    found = [*_rows(look), *_children(look)]
    if look.records is not None:
        for server in look.servers:
            known = _placed(look.records, server)
            found += _databases(look, server, known)
            found += _roles(look, server, known)
    return sorted(found, key=lambda item: (item.kind, item.where, item.name))


# On a server


def _placed(records: Sequence[Retained], server: ServerLook) -> dict[UUID, Retained]:
    """Return the tenants that have data on a server, or shall have it: retained data that is gone places nobody there."""
    oids = {database.oid for database in server.databases}
    return {
        found.row.tenant_id: found
        for found in records
        if found.placement is not None
        and server.holds(found.placement)
        and (found.row.state != "Deleted" or found.placement.database_oid in oids)
    }


def _databases(look: Look, server: ServerLook, known: Mapping[UUID, Retained]) -> Iterator[Leftover]:
    for database in server.databases:
        if _is_others(look, database.identity):
            continue
        why = _why_nobodys(look, server, database, known)
        if why is None:
            continue
        drop = (
            server.psql(f'DROP DATABASE "{database.name}" WITH (FORCE)')
            + " (after pg_dump, unless it is surely not needed)"
        )
        todo = _why_kept(look, database.tenant_id, database.identity) or _unseen(look, database.tenant_id) or drop
        yield Leftover(
            "Database", database.name, server.name, why, todo, database.deleted_at, database.size_bytes,
        )  # fmt: skip


def _why_nobodys(
    look: Look, server: ServerLook, database: TenantDatabase, known: Mapping[UUID, Retained]
) -> str | None:
    record = known.get(database.tenant_id) if database.tenant_id else None
    if record is not None and record.placement is not None:
        oid = record.placement.database_oid
        if oid is None or oid == database.oid:
            return None
        return f"the registry's tenant of that id has another database (oid {oid}, this is {database.oid})"
    elsewhere = _recorded(look, database.tenant_id)
    if elsewhere is not None:
        system = f" as Postgres {elsewhere.system_identifier}" if elsewhere.server_name == server.name else ""
        return f"the registry has that tenant's data on HOADatabaseServer {elsewhere.server_name}{system}"
    owner = _owner(look, database.tenant_id, database.identity)
    if owner is not None:
        return f"HOATenant {owner} owns it, but the registry does not know it: was it put back from an old copy?"
    return "the registry does not know it"


def _why_kept(look: Look, tenant_id: UUID | None, identity: DatabaseIdentity | None) -> str | None:
    """Return what to do instead, where the registry says nothing of a tenant that may need what is left of it."""
    if look.tenants is None:
        return "it could not be told whether a HOATenant owns it: look again once they can be read"
    if _recorded(look, tenant_id) is not None:
        return None
    owner = _owner(look, tenant_id, identity)
    if owner is not None:
        return (
            f"keep it: restore the registry from a backup that knows it, or have the operator register HOATenant {owner} anew "
            f"(kubectl -n {look.namespace} describe hoat {owner} says what it waits for; {_LOST})"
        )
    if any(found.tombstone for server in look.servers for found in server.databases if found.tenant_id == tenant_id):
        return (
            "it could not be told whether its undelete window is over, which only the registry knew: restore that from a backup "
            f"that has it, then it is dropped when it is due, or comes back with adoptionPolicy: IfUnclaimed; {_RETAINED}"
        )
    return None


def _unseen(look: Look, tenant_id: UUID | None) -> str | None:
    """Return what comes before dropping a database beside the one on record, where nobody saw that one."""
    place = _recorded(look, tenant_id)
    if place is None or _sees(look, place):
        return None
    return (
        f"it could not be told whether it is needed: the database on record (oid {place.database_oid} on HOADatabaseServer "
        f"{place.server_name}) was not seen. Find that first: {_LOST}"
    )


def _recorded(look: Look, tenant_id: UUID | None) -> Placement | None:
    """Return where the registry has the data of a tenant."""
    return next((found.placement for found in look.records or () if found.row.tenant_id == tenant_id), None)


def _sees(look: Look, place: Placement) -> bool:
    return any(
        server.holds(place) and place.database_oid in {found.oid for found in server.databases}
        for server in look.servers
    )


def _owner(look: Look, tenant_id: UUID | None, identity: DatabaseIdentity | None) -> str | None:
    """Return the living HOATenant that a comment names, or whose uid the tenant id is: that of whoever made the database."""
    alive = look.tenants or {}
    return (alive.get(str(identity.uid)) if identity else None) or alive.get(str(tenant_id))


def _roles(look: Look, server: ServerLook, known: Mapping[UUID, Retained]) -> Iterator[Leftover]:
    present = {database.name for database in server.databases}
    for role in server.roles:
        if role.tenant_id is None or role.tenant_id in known or _is_others(look, role.identity):
            continue
        login = ", and it can log in" if role.can_login else ""
        first = ", after its database" if database_name(role.tenant_id) in present else ""
        drop = server.psql(f'DROP ROLE "{role.name}"') + first
        place = _recorded(look, role.tenant_id)
        unseen = _unseen(look, role.tenant_id) if place is not None and not server.holds(place) else None
        todo = _why_kept(look, role.tenant_id, role.identity) or unseen or drop
        yield Leftover("Role", role.name, server.name, f"the registry places no such tenant here{login}", todo)


def _is_others(look: Look, identity: DatabaseIdentity | None) -> bool:
    """Tell whether another installation says that it is its own."""
    return identity is not None and identity.installation != look.installation


# In the registry


def _rows(look: Look) -> Iterator[Leftover]:
    for record in look.records or ():
        row, placement = record.row, record.placement
        if row.namespace != look.namespace:
            continue
        if row.state != "Deleted":
            yield from _without_tenant(look, row)
        elif placement is None:
            yield _forgotten(look, row, "no data was ever placed for it", None)
        else:
            yield from _retained(look, row, placement)


def _without_tenant(look: Look, row: RegistryRow) -> Iterator[Leftover]:
    if look.tenants is None or str(row.uid) in look.tenants:
        return
    yield Leftover(
        "RegistryRow", row.owner, "registry",
        f"state {row.state}, but there is no HOATenant of uid {row.uid}",
        f"apply HOATenant {row.owner} again with adoptionPolicy: IfUnclaimed, or wait: an operator retains the data after an hour "
        "unless most HOATenants are gone", row.updated_at,
    )  # fmt: skip


def _retained(look: Look, row: RegistryRow, placement: Placement) -> Iterator[Leftover]:
    if look.server_names is not None and placement.server_name not in look.server_names.values():
        why = f"its data is retained on HOADatabaseServer {placement.server_name}, which does not exist"
        yield _forgotten(
            look, row, why, placement.deleted_at, f"create HOADatabaseServer {placement.server_name} again, or: "
        )
        return
    server = next((found for found in look.servers if found.name == placement.server_name), None)
    if server is None:
        return  # it could not be read
    if not server.holds(placement):
        why = f"its data is retained on Postgres {placement.system_identifier}, but {server.name} now answers as {server.system}"
        before = (
            f"correct spec.endpoint of HOADatabaseServer {server.name} if the former is still there ({_LOST}), or: "
        )
        yield _forgotten(look, row, why, placement.deleted_at, before)
        return
    here = placement.database_oid in {database.oid for database in server.databases}
    renamed = server.named.get(placement.database_oid or 0)
    if not here and renamed is not None:
        name = tombstone_name(row.tenant_id)
        why = f"its retained database (oid {placement.database_oid}) is called {renamed!r} on {server.name}, not {name}"
        rename = server.psql(f'ALTER DATABASE {_quoted(renamed)} RENAME TO "{name}"')
        todo = f"{rename}, and it is dropped when it is due, or comes back; {_RETAINED}"
        yield Leftover("RetainedDatabase", row.owner, server.name, why, todo, placement.deleted_at)
    elif not here:
        why = f"its retained database (oid {placement.database_oid}) is not on {server.name} any more"
        yield _forgotten(look, row, why, placement.deleted_at)
    elif placement.drop_after is not None and look.now - placement.drop_after > OVERDUE:
        due = format_time(placement.drop_after.astimezone(UTC))
        todo = f"kubectl -n {look.namespace} describe hoads {server.name} says what holds it up; {_RETAINED}"
        yield Leftover(
            "RetainedDatabase",
            row.owner,
            server.name,
            f"its undelete window was over at {due}",
            todo,
            placement.deleted_at,
        )


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _forgotten(look: Look, row: RegistryRow, why: str, since: datetime | None, before: str = "") -> Leftover:
    statement = f"DELETE FROM tenants WHERE tenant_id = $${row.tenant_id}$$ AND state = $$Deleted$$"  # noqa: S608 - for a person to read
    todo = before + (psql(look.registry, statement) if look.registry else statement)
    return Leftover("RegistryRow", row.owner, "registry", why, todo, since)


# In the namespace


def _children(look: Look) -> Iterator[Leftover]:
    if look.tenants is None or look.server_names is None:
        return
    alive = {*look.tenants, *look.server_names}
    for item in look.children:
        labels = labels_of(item)
        owner = labels.get(names.LABEL_TENANT) or labels.get(names.LABEL_SERVER)
        owners = item["metadata"].get("ownerReferences") or ()
        if owner is None or any(reference.get("uid") in alive for reference in owners):
            continue
        kind, created = kind_of(item), item["metadata"].get("creationTimestamp")
        why = f"made for {owner}, which is gone" if owners else f"made for {owner}, but owned by nothing"
        todo = f"kubectl -n {look.namespace} delete {kind.plural} {name_of(item)}"
        holders = item["metadata"].get("finalizers") or ()
        if "deletionTimestamp" in item["metadata"] and holders:
            why += f"; deleted, and held by {', '.join(holders)}"
            todo = (
                f"kubectl -n {look.namespace} patch {kind.plural} {name_of(item)} --type=merge "
                '-p \'{"metadata":{"finalizers":null}}\''
            )
        yield Leftover(kind.kind, name_of(item), look.namespace, why, todo, parse_time(created) if created else None)

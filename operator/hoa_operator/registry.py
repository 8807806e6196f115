"""The operator's door to the registry (contract section 1): the only writer, and fenced, so that a stale leader cannot write."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final

import structlog
from psycopg import errors
from psycopg.rows import tuple_row

from hoa_operator import registry_cluster, registry_fence, registry_retained, registry_rows, registry_setup
from hoa_operator.errors import SlugTaken, TenantRecordLeft, UserError, WorldError
from hoa_operator.postgres import names
from hoa_operator.postgres.connections import Connections
from hoa_operator.registry_fence import fenced
from hoa_operator.registry_model import Heir, Placement, RegistryRow, Retained, Retirement
from hoa_operator.registry_setup import ConnectionDirectory

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
    from datetime import datetime
    from pathlib import Path
    from uuid import UUID

    from hoa_operator.postgres.connections import Connection
    from hoa_operator.postgres.model import AdminLogin
    from hoa_operator.registry_cluster import Cluster

__all__ = ["SERVED_STATES", "Placement", "Registry", "RegistryRow"]

log = structlog.get_logger()

SERVED_STATES: Final = frozenset({"Active", "ReadOnly", "Suspended"})


_LOGIN_SINCE: Final = "coalesce(login_changed_at, updated_at)"
_SELECT: Final = (
    f"SELECT {', '.join(registry_rows.COLUMNS)}, updated_at, {_LOGIN_SINCE} AS login_since,"  # noqa: S608 - our own column names
    f" clock_timestamp() - {_LOGIN_SINCE} AS login_age FROM tenants "
)
#: What a session cannot be had for when the login, the server or the database's name is not what it was.
_ELSEWHERE: Final = frozenset(
    ["AdminLoginRefused", "DatabaseMissing", "ServerNameUnknown", "ServerSilent", "ServerUnreachable", "TlsFailed"]
)
_PLACEMENT_COLUMNS: Final = ", ".join(f.name for f in fields(Placement))


class Registry:
    """The registry of one installation; `identity` names this operator instance in the server's session list. Without a
    `cluster` it can only be attached to."""

    def __init__(
        self,
        directory: Path,
        reader_directory: Path,
        *,
        identity: str,
        installation: str,
        cluster: Cluster | None = None,
        maintenance_db: str = "postgres",
    ) -> None:
        self._directory = directory
        self._reader_directory = reader_directory
        self._maintenance_db = maintenance_db
        self.identity = identity
        self.installation = installation
        self._cluster = cluster
        self._application = names.application_name(installation, identity)
        self._connections: Connections | None = None

    async def start(self) -> None:
        """Create the database and the reader's role where missing, migrate to the head; raises OperatorError."""
        directory = ConnectionDirectory.read(self._directory, self._maintenance_db)
        reader = ConnectionDirectory.read(self._reader_directory)
        await registry_setup.set_up(directory, reader, self._application, self.installation, self._here())
        await self.close()
        self._connections = Connections(directory.inside(), self._application)

    def attach(self) -> AdminLogin:
        """Open what is there, to read and for nothing else; return the login. Raises UserError without a directory."""
        login = ConnectionDirectory.read(self._directory, self._maintenance_db).inside()
        self._connections = Connections(login, self._application, limit=1, read_only=True)
        return login

    async def admit(self, cluster: Cluster) -> None:
        """Raise ForeignRegistry where the registry is another cluster's; changes nothing."""
        async with self._session() as connection:
            await registry_cluster.admit(connection, cluster)

    async def close(self) -> None:
        """Close idle sessions."""
        if self._connections is not None:
            await self._connections.close()

    async def acquire_epoch(self) -> int:
        """Take the lead: later writes with an older epoch raise Fenced, and other instances' sessions here end."""
        async with self._session() as connection:
            return await registry_fence.take(connection, self.identity, self._here())

    async def check_epoch(self, epoch: int) -> None:
        """Raise Fenced unless `epoch` is the newest."""
        async with self._session() as connection:
            await registry_fence.check(connection, epoch)

    def guard(self, epoch: int) -> Callable[[], Awaitable[None]]:
        """Return what `PostgresServer` awaits under each tenant's lock, so that a stale leader stops before its next step."""

        async def guard() -> None:
            await self.check_epoch(epoch)

        return guard

    async def observe(self, uid: UUID) -> RegistryRow | None:
        """Return the row that a HOATenant owns."""
        return await self._one("WHERE uid = %s", uid)

    async def by_tenant_id(self, tenant_id: UUID) -> RegistryRow | None:
        """Return a tenant's row."""
        return await self._one("WHERE tenant_id = %s", tenant_id)

    async def by_slug(self, slug: str) -> RegistryRow | None:
        """Return the row that holds a slug now."""
        return await self._one("WHERE state <> 'Deleted' AND slug = %s", slug)

    async def by_host(self, host: str) -> RegistryRow | None:
        """Return the row that holds a host now."""
        return await self._one("WHERE tenant_id = (SELECT tenant_id FROM tenant_hosts WHERE host = %s)", host)

    async def rows(self) -> list[RegistryRow]:
        """Return every row, `Deleted` ones too."""
        return await self._many("ORDER BY namespace, name, tenant_id")

    async def tombstones(self) -> list[tuple[RegistryRow, Placement | None]]:
        """Return retained tenants and where their data lies."""
        placements = {placement.tenant_id: placement for placement in await self.placements()}
        return [
            (row, placements.get(row.tenant_id)) for row in await self._many("WHERE state = 'Deleted' ORDER BY name")
        ]

    async def placement(self, tenant_id: UUID) -> Placement | None:
        """Return where a tenant's data lies."""
        async with self._session() as connection:
            cursor = await connection.execute(
                f"SELECT {_PLACEMENT_COLUMNS} FROM placements WHERE tenant_id = %s",  # noqa: S608
                [tenant_id],
            )
            row = await cursor.fetchone()
        return _placement(row) if row else None

    async def placements(self) -> list[Placement]:
        """Return where everyone's data lies."""
        async with self._session() as connection:
            cursor = await connection.execute(f"SELECT {_PLACEMENT_COLUMNS} FROM placements ORDER BY server_name")  # noqa: S608
            return [_placement(row) for row in await cursor.fetchall()]

    async def occupied(self) -> dict[str, str]:
        """Return the server that holds the data of each tenant that was not deleted, by tenant id: whoever is to be placed asks,
        and there may be thousands."""
        query = "SELECT tenant_id::text, server_name FROM placements WHERE deleted_at IS NULL"
        async with self._session() as connection, connection.cursor(row_factory=tuple_row) as cursor:
            await cursor.execute(query)
            return dict(await cursor.fetchall())

    async def named(self, namespace: str, name: str) -> list[Retained]:
        """Return every tenant that a HOATenant of this name was for, the one of now too."""
        rows = await self._many("WHERE namespace = %s AND name = %s", namespace, name)
        return [Retained(row, await self.placement(row.tenant_id)) for row in rows]

    async def was_dropped(self, tenant_id: UUID) -> bool:
        """Tell whether it is on record that a tenant's database was dropped."""
        query = "SELECT count(*) AS found FROM dropped_tenants WHERE tenant_id = %s"
        async with self._session() as connection:
            row = await (await connection.execute(query, [tenant_id])).fetchone()
        return bool(row and row["found"])

    async def claimed_by(self, uid: UUID) -> list[UUID]:
        """Return the ids of the tenants whose data a HOATenant has begun to take over."""
        query = "SELECT tenant_id FROM placements WHERE %s = ANY(claimants)"
        async with self._session() as connection:
            return [row["tenant_id"] for row in await (await connection.execute(query, [uid])).fetchall()]

    async def upsert(self, row: RegistryRow, epoch: int) -> bool:
        """Write the row and its claims on hosts; says whether anything changed. Raises SlugTaken, HostTaken or Fenced."""
        async with self._session() as connection:
            try:
                async with fenced(connection, epoch):
                    return await registry_rows.write(connection, row)
            except errors.UniqueViolation as error:
                constraint = error.diag.constraint_name or ""
        raise await self._taken(row, constraint)

    async def set_state(self, tenant_id: UUID, state: str, epoch: int) -> bool:
        """Change only the state; says whether it changed."""
        async with self._writing(epoch) as connection:
            cursor = await connection.execute(
                "UPDATE tenants SET state = %(state)s WHERE tenant_id = %(id)s AND state <> %(state)s",
                {"state": state, "id": tenant_id},
            )
            return cursor.rowcount > 0

    async def reseal(self, row: RegistryRow, tokens: tuple[bytes, bytes], epoch: int) -> bool:
        """Replace the row's sealed password and signing keys, if they are still what `row` says; says whether they were."""
        async with self._writing(epoch) as connection:
            cursor = await connection.execute(
                "UPDATE tenants SET sealed_password = %s, sealed_signing_keys = %s"
                " WHERE tenant_id = %s AND sealed_password = %s AND sealed_signing_keys = %s",
                [*tokens, row.tenant_id, row.sealed_password, row.sealed_signing_keys],
            )
            return cursor.rowcount > 0

    async def record_placement(self, placement: Placement, epoch: int) -> None:
        """Remember where the data lies; the row must exist. A recorded server or oid never changes by this."""
        async with self._writing(epoch) as connection:
            await connection.execute(
                "INSERT INTO placements (tenant_id, server_name, system_identifier, database_oid) VALUES (%s, %s, %s, %s)"
                " ON CONFLICT (tenant_id) DO UPDATE SET database_oid = excluded.database_oid"
                " WHERE placements.database_oid IS NULL AND excluded.database_oid IS NOT NULL"
                " AND placements.system_identifier = excluded.system_identifier",
                [placement.tenant_id, placement.server_name, placement.system_identifier, placement.database_oid],
            )

    async def retire(self, retirement: Retirement, epoch: int) -> None:
        """Keep the row as a tombstone: state `Deleted`, no host, no secret; the slug is free again."""
        async with self._writing(epoch) as connection:
            await registry_retained.retire(connection, retirement)

    async def claim(self, tenant_id: UUID, heir: Heir, void: Collection[UUID], epoch: int) -> bool:
        """Note that `heir` takes the data over, before it is touched; says no where it cannot be had."""
        async with self._writing(epoch) as connection:
            return await registry_retained.claim(connection, tenant_id, heir, void)

    async def adopt(self, tenant_id: UUID, heir: Heir, epoch: int) -> bool:
        """Give a tenant to the HOATenant that claimed it; says whether the claim still held. Raises SlugTaken."""
        async with self._session() as connection:
            try:
                async with fenced(connection, epoch):
                    return await registry_retained.adopt(connection, tenant_id, heir)
            except errors.UniqueViolation as error:
                constraint = error.diag.constraint_name or ""
        row = await self.by_tenant_id(tenant_id)
        if row is None:
            return False
        raise await self._taken(row, constraint)

    async def begin_drop(self, tenant_id: UUID, void: Collection[UUID], now: datetime, epoch: int) -> bool:
        """Note that retained data is being dropped: nobody can take it over any more. Says no unless it is due."""
        async with self._writing(epoch) as connection:
            return await registry_retained.begin_drop(connection, tenant_id, void, now)

    async def forget(self, tenant_id: UUID, epoch: int, *, dropped: bool = False) -> bool:
        """Remove every trace of a tenant whose data is gone, but for a record that its database was `dropped`, which has the
        worker remove its files; says whether there was one."""
        async with self._writing(epoch) as connection:
            return await registry_retained.forget(connection, tenant_id, dropped=dropped)

    def _here(self) -> Cluster:
        if self._cluster is None:
            raise RuntimeError("a registry that was opened to be read cannot be written")
        return self._cluster

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[Connection]:
        async with AsyncExitStack() as stack:
            yield await self._lend(stack)

    async def _lend(self, stack: AsyncExitStack) -> Connection:
        """Lend a session; where there is none to be had, look whether the mounted directory says something new."""
        known = self._connections
        if known is None:
            raise RuntimeError("Registry.start() comes first")
        try:
            return await stack.enter_async_context(known.maintenance())
        except WorldError as error:
            if error.reason not in _ELSEWHERE:
                raise
            fresh = await self._follow(known)
            if fresh is known:
                raise
        return await stack.enter_async_context(fresh.maintenance())

    async def _follow(self, known: Connections) -> Connections:
        """Return connections by what the directory says now: `known` itself if it says the same."""
        login = ConnectionDirectory.read(self._directory, self._maintenance_db).inside()
        if self._connections is known and login != known.login:
            log.info("the registry's connection directory has changed", server=str(login.address))
            self._connections = Connections(login, self._application)
            await known.close()
        return self._connections or known

    @asynccontextmanager
    async def _writing(self, epoch: int) -> AsyncIterator[Connection]:
        async with self._session() as connection, fenced(connection, epoch):
            yield connection

    async def _one(self, where: str, value: object) -> RegistryRow | None:
        rows = await self._many(where, value)
        return rows[0] if rows else None

    async def _many(self, where: str, *values: object) -> list[RegistryRow]:
        async with self._session() as connection:
            cursor = await connection.execute(_SELECT + where, values)
            return [_row(found) for found in await cursor.fetchall()]

    async def _taken(self, row: RegistryRow, constraint: str) -> UserError:
        if constraint == "tenants_slug":
            holder = await self.by_slug(row.slug)
            return SlugTaken(row.slug, holder.owner if holder else "unknown, gone meanwhile")
        if constraint == "tenants_name":
            return TenantRecordLeft(row.owner)
        return UserError(
            "TenantRecordConflict",
            f"the registry refuses the row of HOATenant {row.owner}: {constraint}; look at both rows with psql",
        )


def _placement(found: Mapping[str, Any]) -> Placement:
    return Placement(**{**found, "claimants": tuple(found["claimants"])})


def _row(found: Mapping[str, Any]) -> RegistryRow:
    return RegistryRow(**{**found, "hosts": tuple(found["hosts"])})

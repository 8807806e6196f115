"""`PostgresServer`: the operator's one door to a database server. Each method is one step, safe to repeat after a kill at any point."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from psycopg import errors, sql

from hoa_operator.errors import WorldError
from hoa_operator.postgres import figures, logins, names, observe, provision, teardown, templates
from hoa_operator.postgres.connections import Connection, Connections, Guard
from hoa_operator.postgres.model import ServerFacts

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime
    from uuid import UUID

    from hoa_operator.postgres.model import (
        AdminLogin,
        Created,
        DatabaseIdentity,
        DatabaseSpec,
        Dropped,
        ObservedDatabase,
        OwnershipProof,
        TemplateDatabase,
        TenantDatabase,
        TenantRole,
        Usage,
    )

_PROBE: Final = """
SELECT (SELECT system_identifier::text FROM pg_control_system()) AS system_identifier,
    current_setting('server_version') AS version, current_setting('server_version_num')::int AS version_num,
    r.rolname AS admin, r.rolsuper AS superuser, r.rolcreatedb AS may_create_databases, r.rolcreaterole AS may_create_roles,
    has_parameter_privilege('app.current_tenant', 'SET') AS custom_settings_allowed,
    current_setting('max_connections')::int AS max_connections,
    (SELECT count(*)::int FROM pg_stat_activity WHERE backend_type = 'client backend') AS connections_used,
    (SELECT count(*)::int FROM pg_database WHERE starts_with(datname, %(prefix)s)) AS tenants,
    (SELECT coalesce(array_agg(d.datname::text ORDER BY d.datname), '{}') FROM pg_database d
        WHERE d.datallowconn AND EXISTS (SELECT FROM aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a
            WHERE a.grantee = 0 AND a.privilege_type = 'CONNECT')) AS open_databases
FROM pg_roles r WHERE r.rolname = current_user
"""
_EVICT: Final = """
SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
WHERE usename = current_user AND starts_with(application_name, %s)
    AND application_name <> current_setting('application_name')
"""
MINIMUM_VERSION: Final = 150000


class PostgresServer:
    """One server, one admin login. `identity` names this operator instance; `installation` the HOA Connect it serves."""

    def __init__(
        self,
        login: AdminLogin,
        *,
        identity: str,
        installation: str,
        guard: Guard | None = None,
        max_sessions: int = 4,
        read_only: bool = False,
    ) -> None:
        self.login = login
        self.installation = installation
        application = names.application_name(installation, identity)
        self._connections = Connections(login, application, limit=max_sessions, guard=guard, read_only=read_only)

    async def close(self) -> None:
        """Close idle sessions."""
        await self._connections.close()

    async def probe(self) -> ServerFacts:
        """Return what the server is; raises WorldError when it cannot be used."""
        async with self._connections.maintenance() as connection:
            cursor = await connection.execute(_PROBE, {"prefix": names.TENANT_PREFIX})
            row = await cursor.fetchone() or {}
        facts = ServerFacts(**{**row, "open_databases": tuple(row["open_databases"])})
        if facts.version_num < MINIMUM_VERSION:
            raise WorldError(
                "ServerTooOld",
                f"Postgres at {self.login.address} is {facts.version}, and 15 or newer is needed; upgrade "
                "it, or name another one in spec.endpoint",
            )
        return facts

    async def evict_others(self) -> None:
        """End the sessions of this installation's other operator instances: a new leader does so on every server, and one
        that was replaced must not end its successor's."""
        async with self._connections.guarded() as connection:
            await connection.execute(_EVICT, [names.application_prefix(self.installation)])

    async def lock_front_doors(self) -> tuple[str, ...]:
        """Revoke CONNECT from PUBLIC on `postgres`, `template1` and the maintenance database.

        Returns every database that is still open to PUBLIC, also those of others, which are theirs to close.
        """
        facts = await self.probe()
        doors = {"postgres", "template1", self.login.maintenance_db}
        async with self._connections.locked("server", "doors") as connection:
            for name in sorted(doors & set(facts.open_databases)):
                await _lock_door(connection, name)
        return (await self.probe()).open_databases

    async def observe(self, tenant_id: UUID) -> ObservedDatabase:
        """Return what the server holds of the tenant, by one query."""
        async with self._connections.maintenance() as connection:
            return await observe.observe(connection, tenant_id)

    async def ensure_roles(self, spec: DatabaseSpec) -> None:
        """Make the tenant's roles what they shall be."""
        async with self._connections.locked("tenant", spec.tenant_id.hex) as connection:
            await provision.ensure_roles(connection, spec)

    async def ensure_database(self, spec: DatabaseSpec) -> Created:
        """Make the tenant's database, cloned from its template if it names one; the roles come first."""
        async with self._connections.locked("tenant", spec.tenant_id.hex) as connection:
            return await provision.ensure_database(connection, spec)

    async def ensure_grants(self, spec: DatabaseSpec) -> None:
        """Finish a clone, install extensions, let in the tenant's logins and nobody else."""
        async with self._connections.locked("tenant", spec.tenant_id.hex) as connection:
            await provision.ensure_grants(connection, self._connections, spec)

    async def ensure_settings(self, spec: DatabaseSpec) -> None:
        """Set what the tenant's sessions start with; a suspended tenant's sessions end."""
        async with self._connections.locked("tenant", spec.tenant_id.hex) as connection:
            await provision.ensure_settings(connection, spec)

    async def shut_out(self, identity: DatabaseIdentity) -> None:
        """Let the app in no more and end its sessions, whatever else of the tenant is not what it shall be."""
        async with self._connections.locked("tenant", identity.tenant_id.hex) as connection:
            await provision.shut_out(connection, identity)

    async def set_passwords(self, spec: DatabaseSpec) -> tuple[str, ...]:
        """Make the spec's passwords the ones that log in; returns the roles that changed."""
        async with self._connections.locked("tenant", spec.tenant_id.hex) as connection:
            return await logins.set_passwords(connection, self.login.address, spec)

    async def ensure(self, spec: DatabaseSpec) -> Created:
        """Do all of the above in order."""
        await self.ensure_roles(spec)
        created = await self.ensure_database(spec)
        await self.ensure_grants(spec)
        await self.ensure_settings(spec)
        await self.set_passwords(spec)
        return created

    async def verify_login(self, tenant_id: UUID, role: str, password: str) -> bool:
        """Say whether the password is the one of the tenant's login `role` (`app`, `app_b` or `migrator`)."""
        name = names.role_name(tenant_id, role)
        return await logins.verify_login(self.login.address, names.database_name(tenant_id), name, password)

    async def usage(self, tenant_id: UUID, migrator_password: str) -> Usage | None:
        """Return the row of `hoa_usage`, read as the tenant's migrator, or None while there is no such view."""
        return await figures.read(self._connections, self.login.address, tenant_id, migrator_password)

    async def tombstone(self, proof: OwnershipProof, deleted_at: datetime) -> ObservedDatabase:
        """Retain the database: no login, no connections, another name, listed; raises when the proof does not hold."""
        async with self._connections.locked("tenant", proof.tenant_id.hex) as connection:
            return await teardown.tombstone(connection, proof, deleted_at)

    async def restore_from_tombstone(self, proof: OwnershipProof) -> ObservedDatabase:
        """Give a retained database its name and connections back."""
        async with self._connections.locked("tenant", proof.tenant_id.hex) as connection:
            return await teardown.restore(connection, proof)

    async def prove(self, proof: OwnershipProof) -> None:
        """Raise unless the proof holds now and nothing else stands against a drop; changes nothing."""
        async with self._connections.maintenance() as connection:
            await teardown.may_drop(connection, proof)

    async def adopt(self, proof: OwnershipProof, identity: DatabaseIdentity) -> None:
        """Hand the data to another uid of the same tenant id."""
        async with self._connections.locked("tenant", proof.tenant_id.hex) as connection:
            await teardown.adopt(connection, proof, identity)

    async def drop(self, proof: OwnershipProof) -> Dropped:
        """Drop database and roles; raises, and drops nothing, when the proof does not hold."""
        async with self._connections.locked("tenant", proof.tenant_id.hex) as connection:
            return await teardown.drop(connection, self._connections, proof)

    async def list_tenant_databases(self) -> list[TenantDatabase]:
        """Return every tenant database on the server, live and retained."""
        async with self._connections.maintenance() as connection:
            return await observe.list_tenants(connection)

    async def list_database_names(self) -> dict[int, str]:
        """Return the name of every database on the server, whoever's it is, by its oid."""
        async with self._connections.maintenance() as connection:
            return await observe.list_names(connection)

    async def list_tenant_roles(self) -> list[TenantRole]:
        """Return every role on the server that is named like a tenant's."""
        async with self._connections.maintenance() as connection:
            return await observe.list_roles(connection)

    async def ensure_template(self, revision: str, migrator_password: str) -> None:
        """Make the empty template database of `revision` for the template Job."""
        async with self._connections.locked("template", "all") as connection:
            await templates.ensure_template(
                connection, self._connections, self.installation, revision, migrator_password
            )

    async def seal_template(self, revision: str) -> None:
        """Close the migrated template and mark it ready."""
        async with self._connections.locked("template", "all") as connection:
            await templates.seal_template(connection, self.installation, revision)

    async def template_ready(self, revision: str) -> bool:
        """Say whether tenants can be cloned from the template of `revision`."""
        async with self._connections.maintenance() as connection:
            return await templates.template_ready(connection, revision)

    async def list_templates(self) -> list[TemplateDatabase]:
        """Return every template database on the server."""
        async with self._connections.maintenance() as connection:
            return await observe.list_templates(connection)

    async def drop_old_templates(self, keep: Collection[str]) -> tuple[str, ...]:
        """Drop this installation's templates of other revisions."""
        async with self._connections.locked("template", "all") as connection:
            return await templates.drop_old_templates(connection, self.installation, keep)


async def _lock_door(connection: Connection, name: str) -> None:
    database = provision.ident(name)
    try:
        async with connection.transaction():
            await connection.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO CURRENT_USER").format(database))
            await connection.execute(sql.SQL("REVOKE CONNECT, TEMPORARY ON DATABASE {} FROM PUBLIC").format(database))
    except errors.InsufficientPrivilege:
        return

"""What the Postgres doors take and give: immutable, parsed once, without a connection in sight."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from hoa_operator.postgres import names

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from uuid import UUID

Created = Literal["Created", "Exists"]
Dropped = Literal["Dropped", "Absent"]


@dataclass(frozen=True)
class ServerAddress:
    """Where a Postgres answers; `sslmode` as libpq spells it."""

    host: str
    port: int = 5432
    sslmode: str = "prefer"

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True)
class AdminLogin:
    """The login the operator works with: a superuser, or a role with CREATEDB and CREATEROLE."""

    address: ServerAddress
    username: str
    password: str = field(repr=False)
    maintenance_db: str = "postgres"


@dataclass(frozen=True)
class DatabaseIdentity:
    """Whose data this is; carried as JSON by COMMENT ON DATABASE and COMMENT ON ROLE."""

    tenant_id: UUID
    uid: UUID
    installation: str


@dataclass(frozen=True)
class ObservedRole:
    """A role as the catalogs show it; `settings` are those that hold in the tenant's database.

    `expires` says that its password has an end, `set_everywhere` that it has settings which hold in any database: a role
    may give itself such, and one of them stops every login. `admin_of` names the groups it may take others into, and
    `trespasses` the databases that grant it more than CONNECT to its own: no role of a tenant has either.
    """

    exists: bool
    oid: int = 0
    identity: DatabaseIdentity | None = None
    can_login: bool = False
    connection_limit: int = -1
    inherits: bool = True
    expires: bool = False
    set_everywhere: bool = False
    powers: tuple[str, ...] = ()
    member_of: tuple[str, ...] = ()
    admin_of: tuple[str, ...] = ()
    trespasses: tuple[str, ...] = ()
    can_connect: bool = False
    sessions: int = 0
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ObservedDatabase:
    """Everything one query tells about a tenant on one server.

    `tombstone` says that the database was found under its retained name, `foreign_objects` counts objects in it that still
    belong to (or are granted to) the template's owner: a clone that was not finished.
    """

    exists: bool
    system_identifier: str
    name: str = ""
    oid: int = 0
    owner: str = ""
    identity: DatabaseIdentity | None = None
    tombstone: bool = False
    deleted_at: datetime | None = None
    connection_limit: int = -1
    allow_connections: bool = False
    public_connect: bool = False
    foreign_objects: int = 0
    extensions: tuple[str, ...] = ()
    sessions: int = 0
    custom_settings_allowed: bool = True
    roles: Mapping[str, ObservedRole] = field(default_factory=dict)

    def role(self, kind: str) -> ObservedRole:
        """Return the role of that kind (`names.ROLE_KINDS`), existing or not."""
        return self.roles.get(kind, ObservedRole(exists=False))

    @property
    def absent(self) -> bool:
        """Nothing of the tenant is on the server: no database under either name, no role."""
        return not self.exists and not any(role.exists for role in self.roles.values())


@dataclass(frozen=True)
class DatabaseSpec:
    """What a tenant's database shall be. `connection_limit` bounds each of the app's logins; `template` None makes it empty.

    `login` is the app login that `app_password` is for; with `overlapping` the other one may log in, too.
    """

    identity: DatabaseIdentity
    connection_limit: int
    statement_timeout_ms: int
    read_only: bool = False
    suspended: bool = False
    login: str = names.APP
    overlapping: bool = False
    template: str | None = None
    app_password: str = field(default="", repr=False)
    migrator_password: str = field(default="", repr=False)
    extensions: tuple[str, ...] = ()
    migrator_connection_limit: int = 4
    idle_in_transaction_timeout_ms: int = 60_000

    @property
    def tenant_id(self) -> UUID:
        """Tenant id of the identity."""
        return self.identity.tenant_id

    @property
    def database(self) -> str:
        """Name of the live database."""
        return names.database_name(self.identity.tenant_id)


@dataclass(frozen=True)
class OwnershipProof:
    """What must agree with the server, all of it, before anything is tombstoned or dropped.

    `database_oid` None says that no database was ever recorded; then only roles may go, and only while no database is found.
    `claimants` are further uids that the comments may carry: of takeovers that the registry knows to have begun.
    """

    tenant_id: UUID
    uid: UUID
    database_oid: int | None
    system_identifier: str
    claimants: tuple[UUID, ...] = ()


@dataclass(frozen=True)
class Usage:
    """The row of a tenant's `hoa_usage` view (contract section 5), and beside it the size of the whole database."""

    tenant_id: UUID
    homeowners: int
    storage_bytes: int
    emails_sent: int
    sms_sent: int
    active_users: int
    welcome_mail: str
    schema_revision: str | None
    database_bytes: int


@dataclass(frozen=True)
class ServerFacts:
    """What a server is, and what the admin login may do there."""

    system_identifier: str
    version: str
    version_num: int
    admin: str
    superuser: bool
    may_create_databases: bool
    may_create_roles: bool
    custom_settings_allowed: bool
    max_connections: int
    connections_used: int
    tenants: int
    open_databases: tuple[str, ...] = ()

    @property
    def missing(self) -> tuple[str, ...]:
        """Attributes the admin login lacks for provisioning."""
        if self.superuser:
            return ()
        wanted = (("CREATEDB", self.may_create_databases), ("CREATEROLE", self.may_create_roles))
        return tuple(attribute for attribute, has in wanted if not has)


@dataclass(frozen=True)
class TenantDatabase:
    """One tenant database found on a server, live or retained, for the orphan finder."""

    name: str
    oid: int
    tenant_id: UUID | None
    identity: DatabaseIdentity | None
    tombstone: bool
    deleted_at: datetime | None
    size_bytes: int | None


@dataclass(frozen=True)
class TenantRole:
    """One role that is named like a tenant's, whoever made it."""

    name: str
    tenant_id: UUID | None
    identity: DatabaseIdentity | None
    can_login: bool


@dataclass(frozen=True)
class TemplateDatabase:
    """One template database found on a server; `ready` says sealed at its revision."""

    revision: str
    oid: int
    ready: bool
    installation: str | None

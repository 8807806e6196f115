"""The steps a plan is made of: plain data that `apply` carries out, each safe to repeat after a kill at any point.

`condition` is where a failure shows; `onboarding` which of the seven steps of the business process it is part of, if
any.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

from hoa_operator.kinds import kind_of, name_of
from hoa_operator.postgres.names import APP

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from uuid import UUID

    from hoa_operator.kinds import Kind
    from hoa_operator.manifests.meta import Manifest
    from hoa_operator.manifests.secrets import Credentials
    from hoa_operator.postgres.model import DatabaseIdentity, DatabaseSpec, OwnershipProof
    from hoa_operator.registry_model import Heir, Placement, RegistryRow, Retirement
    from hoa_operator.world import RowSecrets

READY: Final = "Ready"
SPEC_ACCEPTED: Final = "SpecAccepted"
DATABASE_READY: Final = "DatabaseReady"
CREDENTIALS_READY: Final = "CredentialsReady"
SCHEMA_CURRENT: Final = "SchemaCurrent"
ROUTE_READY: Final = "RouteReady"
CAPACITY_READY: Final = "CapacityReady"
DOMAINS_READY: Final = "DomainsReady"
STORAGE_WITHIN_LIMIT: Final = "StorageWithinLimit"
WELCOME_MAIL_SENT: Final = "WelcomeMailSent"
STALLED: Final = "Stalled"
IN_SYNC: Final = "InSync"

#: Only there while the tenant is being deleted: what the deletion waits for.
DELETION: Final = "Deleting"

DELETING: Final = "Deleting"
DELETION_PAUSED: Final = "DeletionPaused"

CREATE_TENANT_RECORD: Final = "CreateTenantRecord"
PROVISION_DATABASE: Final = "ProvisionDatabase"
RUN_MIGRATIONS: Final = "RunMigrations"
CREATE_ADMIN_USER: Final = "CreateAdminUser"
CONFIGURE_ROUTE: Final = "ConfigureRoute"
INITIALIZE_DEFAULTS: Final = "InitializeDefaults"
SEND_WELCOME_EMAIL: Final = "SendWelcomeEmail"
ONBOARDING: Final = (
    CREATE_TENANT_RECORD,
    PROVISION_DATABASE,
    RUN_MIGRATIONS,
    CREATE_ADMIN_USER,
    CONFIGURE_ROUTE,
    INITIALIZE_DEFAULTS,
    SEND_WELCOME_EMAIL,
)


def is_onboarded(status: Mapping[str, Any]) -> bool:
    """Tell from its status whether a tenant was taken into service once."""
    return any(entry["step"] == RUN_MIGRATIONS and "finishedAt" in entry for entry in status.get("onboarding") or ())


@dataclass(frozen=True)
class AddFinalizer:
    """Hold the HOATenant back from vanishing before anything is made for it."""

    condition: ClassVar[str] = SPEC_ACCEPTED

    def describe(self) -> str:
        """Return what it does, for people."""
        return "add the finalizer"


@dataclass(frozen=True)
class RemoveFinalizer:
    """Let the HOATenant go."""

    condition: ClassVar[str] = READY

    def describe(self) -> str:
        """Return what it does, for people."""
        return "remove the finalizer"


@dataclass(frozen=True)
class Register:
    """Write the registry row. With `secrets`, its tokens are sealed over them; else they stay as `row` has them."""

    row: RegistryRow
    secrets: RowSecrets | None = None
    condition: ClassVar[str] = SPEC_ACCEPTED

    def describe(self) -> str:
        """Return what it does, for people."""
        return f"write the registry row (state {self.row.state}, tier {self.row.tier})"


@dataclass(frozen=True)
class RecordPlacement:
    """Remember server and oid, without which nothing is ever dropped."""

    placement: Placement
    condition: ClassVar[str] = DATABASE_READY

    def describe(self) -> str:
        """Return what it does, for people."""
        return f"record the placement on server {self.placement.server_name}"


@dataclass(frozen=True)
class MintCredentials:
    """Make the credentials Secret, from `known` secrets where there are any: what is lost is rebuilt, never replaced.

    `login` is the app login that is in use; `replaces` is the uid of a Secret of that name that cannot be read any more.
    """

    known: RowSecrets | None
    replaces: str | None
    login: str = APP
    condition: ClassVar[str] = CREDENTIALS_READY

    def describe(self) -> str:
        """Return what it does, for people."""
        return "rebuild the credentials Secret" if self.known else "make the credentials Secret"


@dataclass(frozen=True)
class RotateCredentials:
    """Replace what the credentials Secret holds, if it is still at `version`: other app login, new passwords, new key."""

    credentials: Credentials = field(repr=False)
    version: str
    condition: ClassVar[str] = CREDENTIALS_READY

    def describe(self) -> str:
        """Return what it does, for people."""
        return "rotate the credentials"


@dataclass(frozen=True)
class WriteCredentials:
    """Make the credentials Secret hold just this, if it is still at `version`."""

    credentials: Credentials = field(repr=False)
    version: str
    condition: ClassVar[str] = CREDENTIALS_READY

    def describe(self) -> str:
        """Return what it does, for people."""
        return "drop signing keys that nothing is signed with any more"


@dataclass(frozen=True)
class EnsureDatabase:
    """Make roles, database, grants and settings what they shall be."""

    server: str
    spec: DatabaseSpec
    differences: tuple[str, ...]
    condition: ClassVar[str] = DATABASE_READY

    def describe(self) -> str:
        """Return what it does, for people."""
        return "correct the database: " + "; ".join(self.differences)


@dataclass(frozen=True)
class SetPasswords:
    """Make the Secret's passwords the ones that log in."""

    server: str
    spec: DatabaseSpec
    credentials: Credentials = field(repr=False)
    condition: ClassVar[str] = CREDENTIALS_READY

    def describe(self) -> str:
        """Return what it does, for people."""
        return "set the roles' passwords to the Secret's"


@dataclass(frozen=True)
class ApplyObject:
    """Apply a child; refuse if an object of that name is there that is not ours."""

    manifest: Manifest = field(repr=False)
    condition: str

    def describe(self) -> str:
        """Return what it does, for people."""
        return f"apply {kind_of(self.manifest).kind} {name_of(self.manifest)}"


@dataclass(frozen=True)
class DeleteObject:
    """Delete that very object."""

    kind: Kind
    name: str
    uid: str
    condition: str

    def describe(self) -> str:
        """Return what it does, for people."""
        return f"delete {self.kind.kind} {self.name}"


@dataclass(frozen=True)
class ClaimDatabase:
    """Comment the database that a killed run made: what goes away has to carry its identity first."""

    server: str
    proof: OwnershipProof
    identity: DatabaseIdentity
    condition: ClassVar[str] = DATABASE_READY

    def describe(self) -> str:
        """Return what it does, for people."""
        return "comment the database that was just made"


@dataclass(frozen=True)
class AdoptData:
    """Make the new HOATenant the owner of retained data: claimed in the registry, then in Postgres, then the registry's row."""

    server: str
    proof: OwnershipProof
    identity: DatabaseIdentity
    heir: Heir
    void: tuple[UUID, ...]
    condition: ClassVar[str] = DATABASE_READY

    def describe(self) -> str:
        """Return what it does, for people."""
        return f"take over the retained data of tenant {self.identity.tenant_id}"


@dataclass(frozen=True)
class RestoreDatabase:
    """Give a retained database its name back and open it."""

    server: str
    proof: OwnershipProof
    condition: ClassVar[str] = DATABASE_READY

    def describe(self) -> str:
        """Return what it does, for people."""
        return "bring the retained database back"


@dataclass(frozen=True)
class Tombstone:
    """Close and keep the database."""

    server: str
    proof: OwnershipProof
    deleted_at: datetime
    condition: ClassVar[str] = DATABASE_READY

    def describe(self) -> str:
        """Return what it does, for people."""
        return "close and retain the database"


@dataclass(frozen=True)
class DropDatabase:
    """Drop database and roles, if the proof holds."""

    server: str
    proof: OwnershipProof
    condition: ClassVar[str] = DATABASE_READY

    def describe(self) -> str:
        """Return what it does, for people."""
        return "drop the database and its roles"


@dataclass(frozen=True)
class Tell:
    """Post an Event; with `once`, a single time however often it is repeated."""

    kind: Literal["Normal", "Warning"]
    reason: str
    message: str
    once: bool = True
    condition: ClassVar[str] = READY

    def describe(self) -> str:
        """Return what it does, for people."""
        return f"tell {self.reason}"


@dataclass(frozen=True)
class Retire:
    """Keep the registry row as a tombstone: slug and hosts are free again."""

    retirement: Retirement
    condition: ClassVar[str] = SPEC_ACCEPTED

    def describe(self) -> str:
        """Return what it does, for people."""
        window = self.retirement.window
        return "retire the registry row" + (f", its data to be dropped in {window}" if window is not None else "")


@dataclass(frozen=True)
class StopServing:
    """Set the row's state to `Deleting`: the app forgets the tenant."""

    tenant_id: Any
    condition: ClassVar[str] = SPEC_ACCEPTED

    def describe(self) -> str:
        """Return what it does, for people."""
        return "stop serving the tenant"


@dataclass(frozen=True)
class Suspend:
    """Have the app say that the tenant is suspended, let it in no more, and end its sessions; `server` None has no database."""

    server: str | None
    identity: DatabaseIdentity
    condition: ClassVar[str] = DATABASE_READY

    def describe(self) -> str:
        """Return what it does, for people."""
        return "suspend the tenant"


@dataclass(frozen=True)
class Forget:
    """Remove the registry row of a tenant whose data is gone; `dropped` says that its database was, so that its files go too."""

    tenant_id: Any
    dropped: bool = False
    condition: ClassVar[str] = SPEC_ACCEPTED

    def describe(self) -> str:
        """Return what it does, for people."""
        return "remove the registry row" + (" and have the files removed" if self.dropped else "")


Step = (
    AddFinalizer
    | RemoveFinalizer
    | Register
    | RecordPlacement
    | MintCredentials
    | RotateCredentials
    | WriteCredentials
    | EnsureDatabase
    | SetPasswords
    | ApplyObject
    | DeleteObject
    | ClaimDatabase
    | AdoptData
    | RestoreDatabase
    | Tombstone
    | DropDatabase
    | Tell
    | Retire
    | StopServing
    | Suspend
    | Forget
)


@dataclass(frozen=True)
class Plan:
    """What to do now; when to look again at the latest; and why nothing more can be done without a person, if so.

    `stop` is a condition, a reason and a message; `queued` says that a migration Job waits for its turn; `waits_for` is the
    reason and the message of what a deletion waits for.
    """

    steps: tuple[Step, ...] = ()
    wait: float | None = None
    stop: tuple[str, str, str] | None = None
    queued: bool = False
    waits_for: tuple[str, str] | None = None

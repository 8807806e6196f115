"""What the registry takes and gives: immutable rows, without a connection in sight."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hoa_operator.postgres.model import OwnershipProof

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime, timedelta
    from uuid import UUID


@dataclass(frozen=True)
class RegistryRow:
    """One row of `tenants`; the columns and their shapes are the contract's.

    What is not compared is the database's to write: `login_since` is when the row began to name its app login, by the clock of
    the registry's server, and `login_age` how long that was ago when the row was read, by the same clock.
    """

    tenant_id: UUID
    uid: UUID
    namespace: str
    name: str
    slug: str
    hosts: tuple[str, ...]
    display_name: str
    state: str
    placement: str
    tier: str
    limits: Mapping[str, Any]
    branding: Mapping[str, Any] = field(default_factory=dict)
    database: Mapping[str, Any] = field(default_factory=dict)
    sealed_password: bytes | None = field(default=None, repr=False)
    sealed_signing_keys: bytes | None = field(default=None, repr=False)
    schema_revision: str | None = None
    updated_at: datetime | None = field(default=None, compare=False)
    login_since: datetime | None = field(default=None, compare=False)
    login_age: timedelta | None = field(default=None, compare=False)

    @property
    def owner(self) -> str:
        """`namespace/name` of the HOATenant."""
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True)
class Placement:
    """Where a tenant's data lies, and what proves it: for the operator's eyes only.

    `drop_after` None keeps retained data until a person acts. `claimants` are uids of HOATenants that began to take it over:
    its comments may carry theirs. After `dropping_since` nobody can.
    """

    tenant_id: UUID
    server_name: str
    system_identifier: str
    database_oid: int | None = None
    deleted_at: datetime | None = None
    drop_after: datetime | None = None
    dropping_since: datetime | None = None
    claimants: tuple[UUID, ...] = ()
    abandoned: bool = False

    def proof(self, uid: UUID) -> OwnershipProof:
        """Return the proof that teardown asks for."""
        return OwnershipProof(self.tenant_id, uid, self.database_oid, self.system_identifier, self.claimants)


@dataclass(frozen=True)
class Retained:
    """A tenant that is on record, and where its data lies; without a place there is none."""

    row: RegistryRow
    placement: Placement | None


@dataclass(frozen=True)
class Retirement:
    """How a tenant's data is kept: for good, or until `window` after `deleted_at`. `abandoned` says that a person gave up the
    server it lies on."""

    tenant_id: UUID
    deleted_at: datetime
    window: timedelta | None = None
    abandoned: bool = False


@dataclass(frozen=True)
class Heir:
    """Who takes data over, and from which uid."""

    uid: UUID
    namespace: str
    name: str
    owner: UUID

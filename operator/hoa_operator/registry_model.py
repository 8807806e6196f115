"""What the registry takes and gives: immutable rows, without a connection in sight."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hoa_operator.postgres.model import OwnershipProof

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from uuid import UUID


@dataclass(frozen=True)
class RegistryRow:
    """One row of `tenants`; the columns and their shapes are the contract's. `updated_at` is the database's to write."""

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

    @property
    def owner(self) -> str:
        """`namespace/name` of the HOATenant."""
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True)
class Placement:
    """Where a tenant's data lies, and what proves it: for the operator's eyes only."""

    tenant_id: UUID
    server_name: str
    system_identifier: str
    database_oid: int | None = None
    deleted_at: datetime | None = None

    def proof(self, uid: UUID) -> OwnershipProof:
        """Return the proof that teardown asks for."""
        return OwnershipProof(self.tenant_id, uid, self.database_oid, self.system_identifier)

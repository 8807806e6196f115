"""What a job's handler has at hand besides its transaction and its payload."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

if TYPE_CHECKING:
    from hoa_app.services import Services
    from hoa_app.tenancy.tenant import Tenant


@dataclass(frozen=True, slots=True)
class JobContext:
    """One row of one tenant's outbox, being done. `row_id` is stable over retries: derive idempotency keys from it."""

    services: Services
    tenant: Tenant
    row_id: UUID
    kind: str
    attempt: int

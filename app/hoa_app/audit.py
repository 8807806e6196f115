"""The audit log: who did what to what. Rows are only ever added; the database chains and seals them (migration 0001)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

from psycopg.types.json import Jsonb

if TYPE_CHECKING:
    from hoa_app.db.session import Tx
    from hoa_app.identity.actor import Actor


async def audit(
    tx: Tx,
    actor: Actor | None,
    action: str,
    subject_type: str,
    subject_id: UUID | str | None,
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Add a row in the caller's transaction. `action` reads like `requests.answered`; `detail` holds no secret."""
    await tx.execute(
        "INSERT INTO audit_log (actor_id, actor_label, action, subject_type, subject_id, detail)"
        " VALUES (%s, %s, %s, %s, %s, %s)",
        (
            actor.user_id if actor else None,
            actor.email if actor else "system",
            action,
            subject_type,
            None if subject_id is None else str(subject_id),
            Jsonb(dict(detail or {})),
        ),
    )

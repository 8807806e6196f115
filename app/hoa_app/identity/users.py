"""Users as rows: listing them, and changing what one may do without ever leaving a tenant without an owner."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from hoa_app.audit import audit
from hoa_app.db.session import Tx
from hoa_app.identity.actor import Actor
from hoa_app.identity.roles import Role
from hoa_app.identity.sessions import revoke_all
from hoa_app.problems import Problem, not_found

_COLUMNS = "id, email, name, role, disabled_at IS NOT NULL AS disabled, last_sign_in_at, created_at"


async def page(tx: Tx, after: str | None, size: int) -> tuple[list[dict[str, Any]], str | None]:
    """Users by address, and where the next page begins."""
    cursor = await tx.execute(
        f"SELECT {_COLUMNS} FROM users WHERE lower(email) > %s ORDER BY lower(email) LIMIT %s",  # noqa: S608 - constants
        ((after or "").lower(), size + 1),
    )
    rows = await cursor.fetchall()
    return rows[:size], rows[size - 1]["email"] if len(rows) > size else None


async def get(tx: Tx, user_id: UUID) -> dict[str, Any]:
    """One user; raises the 404 problem."""
    cursor = await tx.execute(f"SELECT {_COLUMNS} FROM users WHERE id = %s", (user_id,))  # noqa: S608 - constants
    row = await cursor.fetchone()
    if row is None:
        raise not_found("user")
    return row


async def change(tx: Tx, actor: Actor, user_id: UUID, role: Role | None, disabled: bool | None) -> dict[str, Any]:
    """Set role or disabled; ends the user's sessions when they may no longer sign in."""
    # All owners are locked, so that two owners who demote each other at once do not both succeed.
    await tx.execute("SELECT id FROM users WHERE role = 'owner' AND disabled_at IS NULL ORDER BY id FOR UPDATE")
    before = await get(tx, user_id)
    await tx.execute(
        "UPDATE users SET role = coalesce(%(role)s, role), disabled_at = CASE WHEN %(disabled)s::boolean IS NULL"
        " THEN disabled_at WHEN %(disabled)s THEN coalesce(disabled_at, now()) END, updated_at = now() WHERE id = %(id)s",
        {"role": role.value if role else None, "disabled": disabled, "id": user_id},
    )
    cursor = await tx.execute("SELECT 1 FROM users WHERE role = 'owner' AND disabled_at IS NULL LIMIT 1")
    if await cursor.fetchone() is None:
        raise Problem(409, "An owner is needed", "Make someone else an owner first: a company cannot be without one.")
    if disabled:
        await revoke_all(tx, user_id)
    after = await get(tx, user_id)
    changed = {key: after[key] for key in ("role", "disabled") if after[key] != before[key]}
    if changed:
        await audit(tx, actor, "users.changed", "user", user_id, changed)
    return after

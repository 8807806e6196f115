"""Invitations: the only way a user comes to be. The link's token is minted when the mail is sent (jobs/mails.py)."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from hoa_app.audit import audit
from hoa_app.feature import AcceptedInvitation
from hoa_app.identity.roles import INVITABLE, Role
from hoa_app.identity.tokens import secret_hash
from hoa_app.jobs.outbox import enqueue
from hoa_app.problems import Problem, forbidden

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hoa_app.db.session import Tx
    from hoa_app.feature import Feature
    from hoa_app.identity.actor import Actor

TERMS_VERSION = "2026-01"
GONE = Problem(
    404,
    "This invitation is no longer valid",
    "It was used, withdrawn or ran out, or a newer one has been sent. Ask whoever invited you for a new one.",
)


async def invite(  # noqa: PLR0913 - one argument per fact of the invitation
    tx: Tx, actor: Actor | None, *, email: str, name: str, role: Role, person_id: UUID | None = None
) -> UUID:
    """Invite `email`; an open invitation to the same address is replaced. Returns the invitation's id."""
    if actor is not None and role not in INVITABLE[actor.role]:
        raise forbidden()
    await tx.execute(
        "UPDATE invitations SET revoked_at = now() WHERE lower(email) = lower(%s)"
        " AND accepted_at IS NULL AND revoked_at IS NULL",
        (email,),
    )
    cursor = await tx.execute(
        "INSERT INTO invitations (email, name, role, person_id, invited_by) VALUES (%s, %s, %s, %s, %s) RETURNING id",
        (email, name, role.value, person_id, actor.user_id if actor else None),
    )
    row = await cursor.fetchone()
    if row is None:
        raise RuntimeError("INSERT ... RETURNING returned no row")
    invitation_id: UUID = row["id"]
    await enqueue(tx, "mail.invitation", {"invitation_id": str(invitation_id)}, f"invitation:{invitation_id}")
    await audit(tx, actor, "invitations.created", "invitation", invitation_id, {"email": email, "role": role.value})
    return invitation_id


async def find_open(tx: Tx, token: str, *, lock: bool = False) -> AcceptedInvitation:
    """The open invitation of a link's token; raises Problem 404 when there is none."""
    cursor = await tx.execute(
        "SELECT id, email, name, role, person_id FROM invitations WHERE token_hash = %s AND accepted_at IS NULL"
        " AND revoked_at IS NULL AND expires_at > now()" + (" FOR UPDATE" if lock else ""),
        (secret_hash(token),),
    )
    row = await cursor.fetchone()
    if row is None:
        raise GONE
    return AcceptedInvitation(row["id"], row["email"], row["name"], row["role"], row["person_id"])


async def accept(tx: Tx, features: Sequence[Feature], token: str, name: str, password_hash: str) -> UUID:
    """Make the user, once. Features learn of it in the same transaction."""
    invitation = await find_open(tx, token, lock=True)
    cursor = await tx.execute(
        "INSERT INTO users (email, name, role, password_hash, terms_version, terms_accepted_at)"
        " VALUES (%s, %s, %s, %s, %s, now()) ON CONFLICT DO NOTHING RETURNING id",
        (invitation.email, name, invitation.role, password_hash, TERMS_VERSION),
    )
    row = await cursor.fetchone()
    if row is None:
        raise Problem(409, "You have an account already", "Sign in with it, or set a new password if you forgot yours.")
    user_id: UUID = row["id"]
    await tx.execute(
        "UPDATE invitations SET accepted_at = now(), accepted_user_id = %s, token_hash = NULL WHERE id = %s",
        (user_id, invitation.id),
    )
    for feature in features:
        if feature.on_invitation_accepted is not None:
            await feature.on_invitation_accepted(tx, invitation, user_id)
    await audit(tx, None, "users.created", "user", user_id, {"email": invitation.email, "role": invitation.role})
    return user_id

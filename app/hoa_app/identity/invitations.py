"""Invitations: someone who may invite names an address and a role; the mail's link sets the password, once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from psycopg.errors import UniqueViolation

from hoa_app.audit import audit
from hoa_app.db.session import Tx
from hoa_app.feature import AcceptedInvitation, InvitationHook
from hoa_app.identity.actor import Actor
from hoa_app.identity.roles import INVITABLE, Role
from hoa_app.identity.tokens import hash_secret, link_secrets
from hoa_app.jobs.outbox import enqueue
from hoa_app.problems import Problem, forbidden, not_found
from hoa_app.tenancy.tenant import Tenant

KIND = "mail.invitation"
TERMS_VERSION = "2026-01"
LIFETIME = timedelta(days=14)


@dataclass(frozen=True, slots=True)
class OpenInvitation:
    """An invitation whose link was followed."""

    id: UUID
    email: str
    name: str
    role: str
    person_id: UUID | None


async def invite(tx: Tx, actor: Actor, *, email: str, name: str, role: Role, person_id: UUID | None = None) -> UUID:
    """Invite someone, or invite them again: an open invitation to the same address is withdrawn.

    One that says the same and whose mail has yet to leave stays as it is, so a second click sends nothing twice.
    Raises 403 for a role the actor may not give, 409 for someone who can sign in already or whose open invitation the
    actor could not have sent.
    """
    if role not in INVITABLE[actor.role]:
        raise forbidden(f"As {actor.role.label.lower()} you cannot invite someone as {role.label.lower()}.")
    await tx.execute("SELECT pg_advisory_xact_lock(hashtextextended('invitation:' || lower(%s), 0))", (email,))
    before = await _open_for(tx, email)
    known = await tx.execute("SELECT 1 FROM users WHERE lower(email) = lower(%s)", (email,))
    if await known.fetchone():
        raise Problem(
            409, "Already a user", f"{email} can sign in already.", [{"field": "email", "detail": "Has an account."}]
        )
    if before is not None:
        if before["live"] and Role(before["role"]) not in INVITABLE[actor.role]:
            raise _invited_by_others(email, Role(before["role"]))
        if before["under_way"] and (before["name"], before["role"], before["person_id"]) == (name, role, person_id):
            under_way: UUID = before["id"]
            return under_way
        await tx.execute("UPDATE invitations SET revoked_at = now() WHERE id = %s", (before["id"],))
    cursor = await tx.execute(
        "INSERT INTO invitations (email, name, role, person_id, invited_by, expires_at)"
        " VALUES (%s, %s, %s, %s, %s, now() + %s) RETURNING id",
        (email, name, role.value, person_id, actor.user_id, LIFETIME),
    )
    row = await cursor.fetchone()
    invitation_id: UUID = row["id"] if row else UUID(int=0)
    await enqueue(tx, KIND, {"invitation_id": str(invitation_id)}, f"invitation:{invitation_id}")
    await audit(tx, actor, "invitations.created", "invitation", invitation_id, {"email": email, "role": role.value})
    return invitation_id


async def _open_for(tx: Tx, email: str) -> dict[str, Any] | None:
    """The one invitation to an address that is neither accepted nor withdrawn; `under_way` means its mail will leave.

    Locked, so that one being accepted at this moment is waited for.
    """
    cursor = await tx.execute(
        "SELECT i.id, i.name, i.role, i.person_id, i.expires_at > now() AS live,"
        " i.expires_at > now() AND i.sent_at IS NULL AND EXISTS (SELECT FROM outbox o"
        " WHERE o.dedupe_key = 'invitation:' || i.id AND o.state = 'queued') AS under_way"
        " FROM invitations i WHERE lower(i.email) = lower(%s) AND i.accepted_at IS NULL AND i.revoked_at IS NULL"
        " FOR UPDATE OF i",
        (email,),
    )
    return await cursor.fetchone()


def _invited_by_others(email: str, role: Role) -> Problem:
    return Problem(
        409,
        "Invited already",
        f"{email} is invited as {role.label.lower()}. Only an owner can change or withdraw that invitation.",
        [{"field": "email", "detail": f"Is invited as {role.label.lower()} already."}],
    )


_OPEN = "accepted_at IS NULL AND revoked_at IS NULL AND expires_at > now()"
_COLUMNS = "id, email, name, role, created_at, sent_at, expires_at"


async def list_open(tx: Tx) -> list[dict[str, Any]]:
    """Invitations that can still be accepted, newest first."""
    query = f"SELECT {_COLUMNS} FROM invitations WHERE {_OPEN} ORDER BY created_at DESC LIMIT 500"  # noqa: S608 - constants
    return await (await tx.execute(query)).fetchall()


async def get_open(tx: Tx, invitation_id: UUID) -> dict[str, Any]:
    """One of them; raises the 404 problem."""
    query = f"SELECT {_COLUMNS} FROM invitations WHERE {_OPEN} AND id = %s"  # noqa: S608 - constants
    row = await (await tx.execute(query, (invitation_id,))).fetchone()
    if row is None:
        raise not_found("invitation")
    return row


async def withdraw(tx: Tx, actor: Actor, invitation_id: UUID) -> None:
    """Make an invitation's link worthless; 404 for one that the actor could not have sent."""
    cursor = await tx.execute(
        "UPDATE invitations SET revoked_at = now() WHERE id = %s AND accepted_at IS NULL AND revoked_at IS NULL"
        " AND role = ANY(%s) RETURNING email",
        (invitation_id, [role.value for role in INVITABLE[actor.role]]),
    )
    row = await cursor.fetchone()
    if row is None:
        raise not_found("invitation")
    await audit(tx, actor, "invitations.revoked", "invitation", invitation_id, {"email": row["email"]})


def checked(name: str, email: str) -> tuple[str, str]:
    """Name and address as they are stored; raises the 422 problem."""
    name, email = " ".join(name.split()), email.strip()
    errors = []
    if not 1 <= len(name) <= 160:
        errors.append({"pointer": "/name", "detail": "Give a name of at most 160 characters."})
    local, at, domain = email.rpartition("@")
    if not (
        at and local and "." in domain and len(email) <= 254 and not any(c.isspace() or ord(c) < 33 for c in email)
    ):
        errors.append({"pointer": "/email", "detail": "This is not an email address."})
    if errors:
        raise Problem(422, "Some values are not acceptable", errors[0]["detail"], errors)
    return name, email


async def mint_link(tx: Tx, tenant: Tenant, invitation_id: UUID) -> tuple[str, OpenInvitation] | None:
    """The token of an invitation that is still open, the same at every attempt to send it. Called when the mail leaves."""
    link = link_secrets(tenant, "invitation", invitation_id)
    cursor = await tx.execute(
        "UPDATE invitations SET token_hash = CASE WHEN token_hash = ANY(%s) THEN token_hash ELSE %s END, sent_at = now()"
        " WHERE id = %s AND accepted_at IS NULL AND revoked_at IS NULL AND expires_at > now()"
        " RETURNING id, email, name, role, person_id, token_hash",
        (link.hashes, link.preferred, invitation_id),
    )
    row = await cursor.fetchone()
    return (link.token(row.pop("token_hash")), OpenInvitation(**row)) if row else None


async def find(tx: Tx, token: str, *, lock: bool = False) -> OpenInvitation:
    """The invitation behind a link; a 404 that says what to do when it is used up, withdrawn or too old."""
    query = (
        "SELECT id, email, name, role, person_id FROM invitations WHERE token_hash = %s AND accepted_at IS NULL"
        " AND revoked_at IS NULL AND expires_at > now()"
    )
    cursor = await tx.execute(f"{query} FOR UPDATE" if lock else query, (hash_secret(token),))
    row = await cursor.fetchone()
    if row is None:
        raise Problem(
            404,
            "This invitation is no longer good",
            "It was used already, was withdrawn, or is too old. If you have set a password, sign in. Otherwise ask for a new one.",
        )
    return OpenInvitation(**row)


async def accept(tx: Tx, token: str, name: str, password_hash: str, hooks: Sequence[InvitationHook]) -> UUID:
    """Turn an invitation into a user, and let features link what they keep. Of two attempts at once, one gets the 404."""
    found = await find(tx, token, lock=True)
    try:
        async with tx.transaction():
            cursor = await tx.execute(
                "INSERT INTO users (email, name, role, password_hash, terms_version, terms_accepted_at)"
                " VALUES (%s, %s, %s, %s, %s, now()) RETURNING id",
                (found.email, name, found.role, password_hash, TERMS_VERSION),
            )
            row = await cursor.fetchone()
    except UniqueViolation:
        raise Problem(409, "You have an account already", f"Sign in as {found.email}.") from None
    if row is None:
        raise not_found("invitation")
    user_id: UUID = row["id"]
    await tx.execute(
        "UPDATE invitations SET accepted_at = now(), accepted_user_id = %s WHERE id = %s", (user_id, found.id)
    )
    accepted = AcceptedInvitation(found.id, found.email, name, found.role, found.person_id)
    for hook in hooks:
        await hook(tx, accepted, user_id)
    await audit(tx, None, "invitations.accepted", "user", user_id, {"email": found.email, "role": found.role})
    return user_id

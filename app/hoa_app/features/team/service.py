"""Who may sign in as staff, and who is invited to."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from hoa_app.audit import audit
from hoa_app.db.session import Tx
from hoa_app.features.kit.answers import Rejected
from hoa_app.features.kit.forms import FormReader
from hoa_app.features.kit.mailed import of_invitations
from hoa_app.identity import users
from hoa_app.identity.actor import Actor
from hoa_app.identity.invitations import invite
from hoa_app.identity.roles import INVITABLE, Role
from hoa_app.problems import Problem, not_found

STAFF = (Role.OWNER, Role.MANAGER, Role.BOARD)
MEANING = {
    Role.MANAGER: "Looks after communities, people and requests",
    Role.BOARD: "Reads everything and answers requests",
    Role.OWNER: "Everything, settings and the audit log too",
}


@dataclass(frozen=True)
class StaffForm:
    """A member of staff to invite."""

    name: str
    email: str
    role: Role

    @classmethod
    def read(cls, raw: Mapping[str, object], actor: Actor) -> "StaffForm":
        """From a submitted form; raises Rejected. Nobody invites to more than they may."""
        reader = FormReader(raw)
        name = reader.line("name", "their name", limit=160, required=True)
        email = reader.email("email", required=True)
        role = reader.choice("role", "what they do", frozenset(role.value for role in offered(actor)))
        if reader.errors:
            raise Rejected(reader.errors)
        return cls(name, email, Role(role))


@dataclass(frozen=True)
class MemberForm:
    """What an owner decides about a member of staff: the role, and whether they may still sign in."""

    role: Role
    closed: bool

    @classmethod
    def read(cls, raw: Mapping[str, object]) -> "MemberForm":
        """From a submitted form; raises Rejected."""
        reader = FormReader(raw)
        role = reader.choice("role", "what they do", frozenset(role.value for role in STAFF))
        access = reader.choice("access", "whether they may sign in", frozenset({"open", "closed"}))
        if reader.errors:
            raise Rejected(reader.errors)
        return cls(Role(role), access == "closed")


def offered(actor: Actor) -> tuple[Role, ...]:
    """Staff roles that someone may invite to."""
    return tuple(role for role in MEANING if role in INVITABLE[actor.role])


async def members(tx: Tx) -> list[dict[str, Any]]:
    """Everyone who signs in as staff."""
    cursor = await tx.execute(
        "SELECT id, name, email, role, last_sign_in_at, disabled_at FROM users WHERE role <> 'homeowner'"
        " ORDER BY disabled_at IS NOT NULL, array_position(ARRAY['owner', 'manager', 'board'], role), lower(name)"
    )
    return await cursor.fetchall()


async def waiting(tx: Tx) -> list[dict[str, Any]]:
    """Staff invitations that nobody has accepted yet, and what became of their mail."""
    cursor = await tx.execute(
        "SELECT id, name, email, role, created_at, expires_at, expires_at < now() AS expired FROM invitations"
        " WHERE role <> 'homeowner' AND accepted_at IS NULL AND revoked_at IS NULL ORDER BY created_at DESC"
    )
    found = await cursor.fetchall()
    mails = await of_invitations(tx, [one["id"] for one in found])
    return [{**one, "mail": mails.get(one["id"])} for one in found]


async def invite_staff(tx: Tx, actor: Actor, form: StaffForm) -> None:
    """Mail someone the invitation to the team."""
    taken = await (await tx.execute("SELECT role FROM users WHERE lower(email) = %s", (form.email,))).fetchone()
    if taken is not None:
        raise Rejected({"email": f"{form.email} has an account already, as {Role(taken['role']).label.lower()}."})
    await invite(tx, actor, email=form.email, name=form.name, role=form.role)


async def change_member(tx: Tx, actor: Actor, user_id: UUID, form: MemberForm) -> str:
    """Set a member's role and whether they may sign in; ends their sessions if not. Returns what to tell."""
    before = await users.get(tx, user_id)
    if Role(before["role"]) not in STAFF:
        raise not_found("member of the team")
    if user_id == actor.user_id:
        raise Problem(409, "This is you", "Another owner has to change what you may do.")
    after = await users.change(tx, actor, user_id, form.role, form.closed)
    name, role = after["name"], Role(after["role"]).label.lower()
    if after["disabled"] and not before["disabled"]:
        return f"{name} cannot sign in any more, and is signed out everywhere."
    return f"{name} is {role} now" + ("." if not after["disabled"] else ", and cannot sign in.")


async def withdraw(tx: Tx, actor: Actor, invitation_id: UUID) -> str:
    """Make an invitation's link worthless; returns the address it went to."""
    cursor = await tx.execute(
        "UPDATE invitations SET revoked_at = now() WHERE id = %s AND accepted_at IS NULL AND revoked_at IS NULL"
        " AND role = ANY(%s) RETURNING email",
        (invitation_id, [role.value for role in INVITABLE[actor.role]]),
    )
    row = await cursor.fetchone()
    if row is None:
        raise not_found("invitation")
    await audit(tx, actor, "invitations.revoked", "invitation", invitation_id, {"email": row["email"]})
    return str(row["email"])

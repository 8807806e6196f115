"""Signing in and passwords, with the brakes that make guessing useless and the silence that makes probing useless."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from hoa_app.audit import audit
from hoa_app.identity.passwords import Passwords, complaint
from hoa_app.identity.sessions import Client, close_all, open_session
from hoa_app.identity.tokens import secret_hash
from hoa_app.jobs.outbox import enqueue
from hoa_app.problems import Problem

if TYPE_CHECKING:
    from hoa_app.db.session import TenantDatabase, Tx
    from hoa_app.identity.actor import Actor

WINDOW = "15 minutes"
MOST_PER_ACCOUNT = 10
MOST_PER_ADDRESS = 50
WRONG = Problem(
    401, "That did not work", "The email address or the password is not right. Check both, or set a new password."
)


def _account_hash(email: str) -> bytes:
    return secret_hash(email.strip().lower())


async def sign_in(db: TenantDatabase, passwords: Passwords, email: str, password: str, client: Client) -> str:
    """Check the password and open a session; returns its token. Raises Problem 401 or 429."""
    async with db.transaction(readonly=True) as tx:
        await _refuse_guessing(tx, email, client)
        cursor = await tx.execute(
            "SELECT id, password_hash FROM users WHERE lower(email) = lower(%s) AND disabled_at IS NULL",
            (email.strip(),),
        )
        row = await cursor.fetchone()
    if not await passwords.matches(row["password_hash"] if row else None, password) or row is None:
        async with db.transaction(bookkeeping=True) as tx:
            await tx.execute(
                "INSERT INTO sign_in_failures (account_hash, ip) VALUES (%s, %s)", (_account_hash(email), client.ip)
            )
        raise WRONG
    rehashed = await passwords.hash(password) if passwords.outdated(row["password_hash"]) else None
    async with db.transaction(bookkeeping=True) as tx:
        if rehashed is not None:
            await tx.execute("UPDATE users SET password_hash = %s WHERE id = %s", (rehashed, row["id"]))
        await tx.execute("DELETE FROM sign_in_failures WHERE account_hash = %s", (_account_hash(email),))
        return await open_session(tx, db.tenant, row["id"], client)


async def _refuse_guessing(tx: Tx, email: str, client: Client) -> None:
    cursor = await tx.execute(
        "SELECT count(*) FILTER (WHERE account_hash = %(account)s) AS account, count(*) FILTER (WHERE ip = %(ip)s) AS ip"
        " FROM sign_in_failures WHERE at > now() - %(window)s::interval"
        " AND (account_hash = %(account)s OR ip = %(ip)s)",
        {"account": _account_hash(email), "ip": client.ip, "window": WINDOW},
    )
    row = await cursor.fetchone() or {"account": 0, "ip": 0}
    if row["account"] >= MOST_PER_ACCOUNT or row["ip"] >= MOST_PER_ADDRESS:
        raise Problem(
            429,
            "Too many tries",
            "Wait fifteen minutes and try again, or set a new password.",
            headers={"Retry-After": "900"},
        )


async def request_reset(db: TenantDatabase, email: str) -> None:
    """Mail a link for a new password, if the address has an account; whoever asks cannot tell."""
    async with db.transaction() as tx:
        cursor = await tx.execute(
            "SELECT id FROM users WHERE lower(email) = lower(%s) AND disabled_at IS NULL", (email.strip(),)
        )
        user = await cursor.fetchone()
        if user is None:
            return
        recent = await tx.execute(
            "SELECT 1 FROM password_resets WHERE user_id = %s AND requested_at > now() - interval '2 minutes'",
            (user["id"],),
        )
        if await recent.fetchone() is not None:
            return
        cursor = await tx.execute("INSERT INTO password_resets (user_id) VALUES (%s) RETURNING id", (user["id"],))
        row = await cursor.fetchone()
        if row is not None:
            await enqueue(tx, "mail.password_reset", {"reset_id": str(row["id"])}, f"reset:{row['id']}")


RESET_QUERY = (
    "SELECT r.id, r.user_id, u.email FROM password_resets r JOIN users u ON u.id = r.user_id"
    " WHERE r.token_hash = %s AND r.used_at IS NULL AND r.expires_at > now() AND u.disabled_at IS NULL"
)
RESET_GONE = Problem(404, "This link is no longer valid", "It works once and for one hour. Ask for a new one.")


async def reset_email(tx: Tx, token: str) -> str:
    """Whose password the link will set; raises Problem 404."""
    row = await (await tx.execute(RESET_QUERY, (secret_hash(token),))).fetchone()
    if row is None:
        raise RESET_GONE
    return str(row["email"])


async def reset_password(tx: Tx, token: str, password_hash: str) -> UUID:
    """Set the password, once, and end every session of the user."""
    row = await (await tx.execute(RESET_QUERY + " FOR UPDATE OF r", (secret_hash(token),))).fetchone()
    if row is None:
        raise RESET_GONE
    await tx.execute("UPDATE password_resets SET used_at = now() WHERE user_id = %s", (row["user_id"],))
    await tx.execute(
        "UPDATE users SET password_hash = %s, updated_at = now() WHERE id = %s", (password_hash, row["user_id"])
    )
    await close_all(tx, row["user_id"])
    await audit(tx, None, "users.password_reset", "user", row["user_id"])
    user_id: UUID = row["user_id"]
    return user_id


async def change_password(db: TenantDatabase, passwords: Passwords, actor: Actor, current: str, new: str) -> None:
    """Replace the actor's own password and end the other sessions; raises Problem 422 with the field."""
    async with db.transaction(readonly=True) as tx:
        row = await (await tx.execute("SELECT password_hash FROM users WHERE id = %s", (actor.user_id,))).fetchone()
    errors = []
    if row is None or not await passwords.matches(row["password_hash"], current):
        errors.append({"field": "current", "detail": "This is not your present password."})
    if text := complaint(new, actor.email):
        errors.append({"field": "password", "detail": text})
    if errors:
        raise Problem(422, "The password was not changed", errors=errors)
    hashed = await passwords.hash(new)
    async with db.transaction() as tx:
        await tx.execute(
            "UPDATE users SET password_hash = %s, updated_at = now() WHERE id = %s", (hashed, actor.user_id)
        )
        await close_all(tx, actor.user_id, but=actor.session_id)
        await audit(tx, actor, "users.password_changed", "user", actor.user_id)

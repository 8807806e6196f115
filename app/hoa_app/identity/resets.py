"""Password resets: a link by mail, good once and for an hour. Asking never tells whether an address is known."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from hoa_app.audit import audit
from hoa_app.db.session import Tx
from hoa_app.identity.accounts import forget_failures
from hoa_app.identity.api_tokens import revoke_tokens
from hoa_app.identity.sessions import revoke_all
from hoa_app.identity.tokens import hash_secret, link_secrets
from hoa_app.jobs.outbox import enqueue
from hoa_app.problems import Problem
from hoa_app.tenancy.tenant import Tenant

KIND = "mail.password_reset"
LIFETIME = timedelta(hours=1)
EVERY = timedelta(minutes=2)


async def ask(tx: Tx, email: str) -> None:
    """Queue the mail if there is such a user and none was asked for in the last minutes. The same answer either way."""
    cursor = await tx.execute(
        "INSERT INTO password_resets (user_id, expires_at) SELECT u.id, now() + %s FROM users u"
        " WHERE lower(u.email) = lower(%s) AND u.disabled_at IS NULL AND NOT EXISTS"
        " (SELECT FROM password_resets r WHERE r.user_id = u.id AND r.requested_at > now() - %s) RETURNING id",
        (LIFETIME, email, EVERY),
    )
    row = await cursor.fetchone()
    if row is not None:
        await enqueue(tx, KIND, {"reset_id": str(row["id"])}, f"reset:{row['id']}")


async def mint_link(tx: Tx, tenant: Tenant, reset_id: UUID) -> tuple[str, str, str] | None:
    """(token, email, name) for a reset that is still good, the same at every attempt; called when the mail leaves."""
    link = link_secrets(tenant, "reset", reset_id)
    cursor = await tx.execute(
        "UPDATE password_resets r SET token_hash = CASE WHEN token_hash = ANY(%s) THEN token_hash ELSE %s END FROM users u"
        " WHERE r.id = %s AND r.used_at IS NULL AND r.expires_at > now() AND u.id = r.user_id AND u.disabled_at IS NULL"
        " RETURNING r.token_hash, u.email, u.name",
        (link.hashes, link.preferred, reset_id),
    )
    row = await cursor.fetchone()
    return (link.token(row["token_hash"]), row["email"], row["name"]) if row else None


async def check(tx: Tx, token: str) -> str:
    """The address a good link belongs to; raises the 404 problem."""
    cursor = await tx.execute(
        "SELECT u.email FROM password_resets r JOIN users u ON u.id = r.user_id WHERE r.token_hash = %s"
        " AND r.used_at IS NULL AND r.expires_at > now() AND u.disabled_at IS NULL",
        (hash_secret(token),),
    )
    row = await cursor.fetchone()
    if row is None:
        raise _gone()
    return str(row["email"])


async def use(tx: Tx, token: str, password_hash: str) -> UUID:
    """Set the new password; end every session and every API token, for whoever knew the old one may have made them.

    The link and any other open one are used up, and wrong guesses are forgotten.
    """
    cursor = await tx.execute(
        "UPDATE password_resets SET used_at = now() WHERE token_hash = %s AND used_at IS NULL AND expires_at > now()"
        " RETURNING user_id, (SELECT email FROM users u WHERE u.id = user_id) AS email",
        (hash_secret(token),),
    )
    row = await cursor.fetchone()
    if row is None:
        raise _gone()
    user_id: UUID = row["user_id"]
    await tx.execute("UPDATE password_resets SET used_at = now() WHERE user_id = %s AND used_at IS NULL", (user_id,))
    await tx.execute("UPDATE users SET password_hash = %s, updated_at = now() WHERE id = %s", (password_hash, user_id))
    await revoke_all(tx, user_id)
    ended = await revoke_tokens(tx, user_id)
    await forget_failures(tx, row["email"])
    await audit(tx, None, "passwords.reset", "user", user_id, {"tokensRevoked": ended} if ended else None)
    return user_id


def _gone() -> Problem:
    return Problem(
        404, "This link is no longer good", "It was used already or is older than an hour. Ask for a new one."
    )

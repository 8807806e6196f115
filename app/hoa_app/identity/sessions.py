"""Sessions and API tokens as rows: who is signed in, since when, until when, and how to end it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from hoa_app.audit import audit
from hoa_app.identity.actor import Actor
from hoa_app.identity.roles import Role
from hoa_app.identity.tokens import Kind, mint, verify
from hoa_app.problems import not_found

if TYPE_CHECKING:
    from hoa_app.db.session import TenantDatabase, Tx
    from hoa_app.tenancy.tenant import Tenant

ABSOLUTE = timedelta(days=30)
IDLE = timedelta(days=7)
TOUCH_AFTER = timedelta(minutes=5)
TOKEN_LIFE = timedelta(days=365)

SESSION_QUERY = """
SELECT s.id, s.user_id, s.created_at, s.last_seen_at, u.email, u.name, u.role
FROM sessions s JOIN users u ON u.id = s.user_id
WHERE s.token_hash = %s AND s.revoked_at IS NULL AND s.expires_at > now()
  AND s.last_seen_at > now() - interval '7 days' AND u.disabled_at IS NULL
"""
TOKEN_QUERY = """
SELECT t.id, t.user_id, t.created_at, coalesce(t.last_used_at, t.created_at) AS last_seen_at, u.email, u.name, u.role
FROM api_tokens t JOIN users u ON u.id = t.user_id
WHERE t.token_hash = %s AND t.revoked_at IS NULL AND t.expires_at > now() AND u.disabled_at IS NULL
"""


@dataclass(frozen=True)
class Client:
    """What is remembered of the browser or program that signed in."""

    ip: str
    user_agent: str


async def find_actor(db: TenantDatabase, token: str) -> Actor | None:
    """Who holds this token now, from the tenant's own database, in one query."""
    verified = verify(db.tenant, token)
    if verified is None:
        return None
    kind, token_hash = verified
    query = SESSION_QUERY if kind == "session" else TOKEN_QUERY
    async with db.transaction(readonly=True) as tx:
        row = await (await tx.execute(query, (token_hash,))).fetchone()
    if row is None:
        return None
    if datetime.now(UTC) - row["last_seen_at"] > TOUCH_AFTER:
        await _touch(db, kind, row["id"])
    return Actor(
        user_id=row["user_id"],
        email=row["email"],
        name=row["name"],
        role=Role(row["role"]),
        session_id=row["id"],
        via="session" if kind == "session" else "token",
        signed_in_at=row["created_at"],
    )


async def _touch(db: TenantDatabase, kind: Kind, row_id: UUID) -> None:
    statement = (
        "UPDATE sessions SET last_seen_at = now() WHERE id = %s"
        if kind == "session"
        else "UPDATE api_tokens SET last_used_at = now() WHERE id = %s"
    )
    async with db.transaction(bookkeeping=True) as tx:
        await tx.execute(statement, (row_id,))


async def open_session(tx: Tx, tenant: Tenant, user_id: UUID, client: Client) -> str:
    """A new session; the token is what the browser keeps."""
    minted = mint(tenant, "session", int(ABSOLUTE.total_seconds()))
    await tx.execute(
        "INSERT INTO sessions (token_hash, user_id, user_agent, ip, expires_at) VALUES (%s, %s, %s, %s, now() + %s)",
        (minted.token_hash, user_id, client.user_agent[:300], client.ip, ABSOLUTE),
    )
    await tx.execute("UPDATE users SET last_sign_in_at = now() WHERE id = %s", (user_id,))
    await tx.execute("DELETE FROM sessions WHERE expires_at < now() - interval '30 days'")
    return minted.token


async def close_session(tx: Tx, session_id: UUID) -> None:
    """End one session."""
    await tx.execute("UPDATE sessions SET revoked_at = now() WHERE id = %s AND revoked_at IS NULL", (session_id,))


async def close_all(tx: Tx, user_id: UUID, but: UUID | None = None) -> None:
    """End every session of a user, as after a new password."""
    await tx.execute(
        "UPDATE sessions SET revoked_at = now() WHERE user_id = %s AND revoked_at IS NULL AND id IS DISTINCT FROM %s",
        (user_id, but),
    )


async def open_sessions(tx: Tx, user_id: UUID) -> list[dict[str, Any]]:
    """A user's live sessions, newest first."""
    cursor = await tx.execute(
        "SELECT id, user_agent, ip, created_at, last_seen_at FROM sessions"
        " WHERE user_id = %s AND revoked_at IS NULL AND expires_at > now() ORDER BY last_seen_at DESC",
        (user_id,),
    )
    return await cursor.fetchall()


async def create_token(tx: Tx, tenant: Tenant, actor: Actor, name: str) -> tuple[UUID, str]:
    """An API token of the actor's; the text is shown once and never stored."""
    minted = mint(tenant, "api", int(TOKEN_LIFE.total_seconds()))
    cursor = await tx.execute(
        "INSERT INTO api_tokens (user_id, name, token_hash, expires_at) VALUES (%s, %s, %s, now() + %s) RETURNING id",
        (actor.user_id, name, minted.token_hash, TOKEN_LIFE),
    )
    row = await cursor.fetchone()
    if row is None:
        raise RuntimeError("INSERT ... RETURNING returned no row")
    await audit(tx, actor, "tokens.created", "api_token", row["id"], {"name": name})
    return row["id"], minted.token


async def live_tokens(tx: Tx, user_id: UUID) -> list[dict[str, Any]]:
    """A user's live API tokens."""
    cursor = await tx.execute(
        "SELECT id, name, created_at, last_used_at, expires_at FROM api_tokens"
        " WHERE user_id = %s AND revoked_at IS NULL AND expires_at > now() ORDER BY created_at DESC",
        (user_id,),
    )
    return await cursor.fetchall()


async def revoke_token(tx: Tx, actor: Actor, token_id: UUID) -> None:
    """Make one of the actor's own tokens worthless; anyone else's is not there."""
    cursor = await tx.execute(
        "UPDATE api_tokens SET revoked_at = now() WHERE id = %s AND user_id = %s AND revoked_at IS NULL",
        (token_id, actor.user_id),
    )
    if cursor.rowcount == 0:
        raise not_found("token")
    await audit(tx, actor, "tokens.revoked", "api_token", token_id)

"""Sessions and API tokens as rows: looked up at each request, so that a change of role or a revocation acts at once."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from starlette.requests import Request

from hoa_app.db.session import TenantDatabase, Tx
from hoa_app.identity.actor import Actor, Via
from hoa_app.identity.roles import Role
from hoa_app.identity.tokens import Claims, Minted, mint
from hoa_app.tenancy.tenant import Tenant

IDLE = timedelta(days=7)
ABSOLUTE = timedelta(days=30)
TOUCH = timedelta(minutes=1)
API_SESSION = timedelta(hours=12)
VIA: dict[str, Via] = {"browser": "session", "api": "program", "token": "token"}
ROLES = {role.value: role for role in Role}

_USER = "u.id AS user_id, u.email, u.name, u.role"
SESSION_QUERY = f"""
SELECT s.id, {_USER}, s.created_at, s.last_seen_at < now() - %(touch)s AS stale, s.via
FROM sessions s JOIN users u ON u.id = s.user_id
WHERE s.token_hash = %(token_hash)s AND s.revoked_at IS NULL AND s.expires_at > now()
    AND s.last_seen_at > now() - %(idle)s AND u.disabled_at IS NULL
"""  # noqa: S608 - constants
TOKEN_QUERY = f"""
SELECT t.id, {_USER}, t.created_at,
    t.last_used_at IS NULL OR t.last_used_at < now() - %(touch)s AS stale, 'token' AS via
FROM api_tokens t JOIN users u ON u.id = t.user_id
WHERE t.token_hash = %(token_hash)s AND t.revoked_at IS NULL AND t.expires_at > now() AND u.disabled_at IS NULL
"""  # noqa: S608 - constants


@dataclass(frozen=True, slots=True)
class Client:
    """Where a sign-in comes from, for the list of sessions."""

    ip: str
    user_agent: str


def client_of(request: Request) -> Client:
    """Where the request comes from."""
    return Client(request.state.client_ip, request.headers.get("user-agent", ""))


async def find_actor(db: TenantDatabase, claims: Claims) -> Actor | None:
    """Who a good token stands for now; one query. None once it is revoked, idle too long, or the user is disabled."""
    query = SESSION_QUERY if claims.kind == "session" else TOKEN_QUERY
    parameters = {"token_hash": claims.token_hash, "touch": TOUCH, "idle": IDLE}
    async with db.glance() as tx:
        row = await (await tx.execute(query, parameters)).fetchone()
    if row is None:
        return None
    if row["stale"]:
        await _touch(db, claims, row["id"])
    return _actor(row)


def _actor(row: dict[str, Any]) -> Actor:
    return Actor(
        user_id=row["user_id"],
        email=row["email"],
        name=row["name"],
        role=ROLES[row["role"]],
        session_id=row["id"],
        via=VIA[row["via"]],
        signed_in_at=row["created_at"],
    )


async def _touch(db: TenantDatabase, claims: Claims, row_id: UUID) -> None:
    """Remember that it was used, at most once a minute."""
    query = (
        "UPDATE sessions SET last_seen_at = now() WHERE id = %s"
        if claims.kind == "session"
        else "UPDATE api_tokens SET last_used_at = now() WHERE id = %s"
    )
    async with db.transaction(bookkeeping=True) as tx:
        await tx.execute(query, (row_id,))


async def open_session(tx: Tx, tenant: Tenant, user_id: UUID, client: Client, *, browser: bool = True) -> Minted:
    """Start a session; the token in the result goes to the client and is not kept."""
    lifetime = ABSOLUTE if browser else API_SESSION
    expires_at = int(time.time() + lifetime.total_seconds())
    minted = mint(tenant, "session", expires_at)
    await tx.execute(
        "INSERT INTO sessions (token_hash, user_id, via, user_agent, ip, expires_at) VALUES (%s, %s, %s, %s, %s, %s)",
        (
            minted.token_hash,
            user_id,
            "browser" if browser else "api",
            client.user_agent[:300],
            client.ip,
            datetime.fromtimestamp(expires_at, UTC),
        ),
    )
    return minted


async def revoke_session(tx: Tx, session_id: UUID, user_id: UUID) -> bool:
    """End one of a user's sessions; False when it is not theirs or ended already."""
    cursor = await tx.execute(
        "UPDATE sessions SET revoked_at = now() WHERE id = %s AND user_id = %s AND revoked_at IS NULL",
        (session_id, user_id),
    )
    return cursor.rowcount == 1


async def revoke_all(tx: Tx, user_id: UUID, keep: UUID | None = None) -> None:
    """End every session of a user, but the one to keep: after a change of password."""
    await tx.execute(
        "UPDATE sessions SET revoked_at = now() WHERE user_id = %s AND revoked_at IS NULL AND id IS DISTINCT FROM %s",
        (user_id, keep),
    )


async def list_sessions(tx: Tx, user_id: UUID) -> list[dict[str, Any]]:
    """A user's open sessions, the latest used first."""
    cursor = await tx.execute(
        "SELECT id, via, user_agent, ip, created_at, last_seen_at, expires_at FROM sessions"
        " WHERE user_id = %s AND revoked_at IS NULL AND expires_at > now() AND last_seen_at > now() - %s"
        " ORDER BY last_seen_at DESC LIMIT 100",
        (user_id, IDLE),
    )
    return await cursor.fetchall()

"""API tokens: a user's own, for programs. Shown once when made, stored as a hash, revocable, always with an end."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from hoa_app.audit import audit
from hoa_app.db.session import Tx
from hoa_app.identity.actor import Actor
from hoa_app.identity.tokens import mint
from hoa_app.problems import Problem, forbidden, not_found
from hoa_app.tenancy.tenant import Tenant

MAX_DAYS = 365
MAX_TOKENS = 50


@dataclass(frozen=True, slots=True)
class NewToken:
    """The only time the token itself is seen."""

    id: UUID
    token: str
    name: str
    expires_at: datetime


async def create_token(tx: Tx, tenant: Tenant, actor: Actor, name: str, days: int) -> NewToken:
    """Make one; raises the 422 problem for a name or a lifetime out of bounds.

    A token makes no other: whoever found one would have access for as long as they like.
    """
    if actor.via == "token":
        raise forbidden("An API token cannot make another one. Sign in with your password to make it.")
    name = name.strip()
    errors = []
    if not 1 <= len(name) <= 100:
        errors.append({"field": "name", "detail": "Give the token a name of at most 100 characters."})
    if not 1 <= days <= MAX_DAYS:
        errors.append({"field": "days", "detail": f"Choose between 1 and {MAX_DAYS} days."})
    if errors:
        raise Problem(422, "Some fields need another look", errors=errors)
    await _refuse_too_many(tx, actor)
    expires_at = int(time.time()) + days * 86400
    minted = mint(tenant, "api", expires_at)
    expires = datetime.fromtimestamp(expires_at, UTC)
    cursor = await tx.execute(
        "INSERT INTO api_tokens (user_id, name, token_hash, expires_at) VALUES (%s, %s, %s, %s) RETURNING id",
        (actor.user_id, name, minted.token_hash, expires),
    )
    row = await cursor.fetchone()
    token_id: UUID = row["id"] if row else UUID(int=0)
    await audit(tx, actor, "tokens.created", "api_token", token_id, {"name": name})
    return NewToken(token_id, minted.token, name, expires)


async def _refuse_too_many(tx: Tx, actor: Actor) -> None:
    if len(await list_tokens(tx, actor.user_id)) >= MAX_TOKENS:
        raise Problem(409, "Too many tokens", f"You have {MAX_TOKENS} tokens already; revoke one that is not used.")


async def list_tokens(tx: Tx, user_id: UUID) -> list[dict[str, Any]]:
    """A user's good tokens, newest first; never the tokens themselves."""
    cursor = await tx.execute(
        "SELECT id, name, created_at, last_used_at, expires_at FROM api_tokens"
        " WHERE user_id = %s AND revoked_at IS NULL AND expires_at > now() ORDER BY created_at DESC",
        (user_id,),
    )
    return await cursor.fetchall()


async def revoke_token(tx: Tx, actor: Actor, token_id: UUID) -> None:
    """End one of the actor's own; somebody else's is a 404."""
    cursor = await tx.execute(
        "UPDATE api_tokens SET revoked_at = now() WHERE id = %s AND user_id = %s AND revoked_at IS NULL",
        (token_id, actor.user_id),
    )
    if cursor.rowcount != 1:
        raise not_found("token")
    await audit(tx, actor, "tokens.revoked", "api_token", token_id)


async def revoke_tokens(tx: Tx, user_id: UUID) -> int:
    """End all of a user's; how many there were."""
    cursor = await tx.execute(
        "UPDATE api_tokens SET revoked_at = now() WHERE user_id = %s AND revoked_at IS NULL AND expires_at > now()",
        (user_id,),
    )
    return cursor.rowcount

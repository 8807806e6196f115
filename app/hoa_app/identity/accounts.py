"""Signing in: the password, the throttle in front of it, and the session behind it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from hoa_app.db.session import TenantDatabase, Tx
from hoa_app.identity.actor import Actor
from hoa_app.identity.passwords import Passwords
from hoa_app.identity.sessions import Client, open_session
from hoa_app.identity.tokens import Minted
from hoa_app.metrics import Metrics
from hoa_app.problems import Problem

WINDOW = timedelta(minutes=15)
PER_ACCOUNT_AND_IP = 8
PER_ACCOUNT = 40
PER_IP = 100
THROTTLE = (
    "SELECT count(*) FILTER (WHERE account_hash = %(account)s AND ip = %(ip)s) AS both,"
    " count(*) FILTER (WHERE account_hash = %(account)s) AS account,"
    " count(*) FILTER (WHERE ip = %(ip)s) AS ip FROM sign_in_failures"
    " WHERE (account_hash = %(account)s OR ip = %(ip)s) AND at > now() - %(window)s"
)


@dataclass(frozen=True, slots=True)
class Accounts:
    """Signs people in, with what the process shares."""

    passwords: Passwords
    metrics: Metrics

    async def sign_in(
        self, db: TenantDatabase, email: str, password: str, client: Client, *, browser: bool = True
    ) -> Minted:
        """A new session's token. Raises 401 (the same for every reason) or 429.

        No transaction is open while the password is checked: a check takes long enough to starve the pool.
        """
        email = email.strip()[:254]
        async with db.transaction(readonly=True) as tx:
            await self._throttle(tx, db, email, client)
            user = await _user(tx, email)
        good = await self.passwords.verify(db.tenant.id, user["password_hash"] if user else None, password)
        if user is None or not good:
            await self._failed(db, email, client)
            raise Problem(401, "That did not work", "The email address or the password is not right.")
        outdated = self.passwords.outdated(user["password_hash"]) and db.tenant.state != "ReadOnly"
        rehashed = await self.passwords.hash(db.tenant.id, password) if outdated else None
        async with db.transaction(bookkeeping=True) as tx:
            await _signed_in(tx, user["id"], email, client, rehashed)
            minted = await open_session(tx, db.tenant, user["id"], client, browser=browser)
        self.metrics.sign_ins.labels(db.tenant.id_text, "success").inc()
        return minted

    async def confirm(self, db: TenantDatabase, actor: Actor, password: str, client: Client) -> bool:
        """Whether the password is the actor's own. Guesses count like those at signing in: raises 429."""
        async with db.transaction(readonly=True) as tx:
            await self._throttle(tx, db, actor.email, client)
            stored = await stored_password(tx, actor.user_id)
        if await self.passwords.verify(db.tenant.id, stored, password):
            return True
        await self._failed(db, actor.email, client)
        return False

    async def _throttle(self, tx: Tx, db: TenantDatabase, email: str, client: Client) -> None:
        cursor = await tx.execute(THROTTLE, {"account": account_hash(email), "ip": client.ip, "window": WINDOW})
        row: dict[str, Any] = await cursor.fetchone() or {"both": 0, "account": 0, "ip": 0}
        if row["ip"] >= PER_IP:
            raise self._too_many(db, "Wait a quarter of an hour and try again.")
        guessed = row["both"] >= PER_ACCOUNT_AND_IP
        # Whoever guesses from everywhere locks out strangers, but not the person at a place they signed in from before.
        if guessed or (row["account"] >= PER_ACCOUNT and not await _known(tx, email, client)):
            raise self._too_many(db, "Wait a quarter of an hour, or reset the password.")

    def _too_many(self, db: TenantDatabase, detail: str) -> Problem:
        self.metrics.sign_ins.labels(db.tenant.id_text, "throttled").inc()
        retry = str(int(WINDOW.total_seconds()))
        return Problem(429, "Too many attempts", detail, headers={"Retry-After": retry})

    async def _failed(self, db: TenantDatabase, email: str, client: Client) -> None:
        self.metrics.sign_ins.labels(db.tenant.id_text, "failure").inc()
        async with db.transaction(bookkeeping=True) as tx:
            await tx.execute(
                "INSERT INTO sign_in_failures (account_hash, ip) VALUES (%s, %s)", (account_hash(email), client.ip)
            )


async def change_password(tx: Tx, user_id: UUID, password_hash: str) -> None:
    """Store a new password."""
    await tx.execute("UPDATE users SET password_hash = %s, updated_at = now() WHERE id = %s", (password_hash, user_id))


async def stored_password(tx: Tx, user_id: UUID) -> str | None:
    """A user's hash."""
    row = await (await tx.execute("SELECT password_hash FROM users WHERE id = %s", (user_id,))).fetchone()
    return row["password_hash"] if row else None


async def _user(tx: Tx, email: str) -> dict[str, Any] | None:
    cursor = await tx.execute(
        "SELECT id, password_hash FROM users WHERE lower(email) = lower(%s) AND disabled_at IS NULL", (email,)
    )
    return await cursor.fetchone()


async def _signed_in(tx: Tx, user_id: UUID, email: str, client: Client, rehashed: str | None) -> None:
    await tx.execute("UPDATE users SET last_sign_in_at = now() WHERE id = %s", (user_id,))
    if rehashed is not None:
        await tx.execute("UPDATE users SET password_hash = %s WHERE id = %s", (rehashed, user_id))
    await tx.execute(
        "DELETE FROM sign_in_failures WHERE account_hash = %s AND ip = %s", (account_hash(email), client.ip)
    )


async def _known(tx: Tx, email: str, client: Client) -> bool:
    cursor = await tx.execute(
        "SELECT 1 FROM sessions s JOIN users u ON u.id = s.user_id WHERE lower(u.email) = lower(%s) AND s.ip = %s LIMIT 1",
        (email, client.ip),
    )
    return await cursor.fetchone() is not None


async def forget_failures(tx: Tx, email: str) -> None:
    """Start counting anew, from wherever was guessed: the person has proved by mail that the account is theirs."""
    await tx.execute("DELETE FROM sign_in_failures WHERE account_hash = %s", (account_hash(email),))


def account_hash(email: str) -> bytes:
    """What failures are counted under: also for addresses nobody has, which need not be kept in the clear."""
    return hashlib.sha256(email.strip().lower().encode()).digest()

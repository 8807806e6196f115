"""What became of a mail, for the pages of those who wait for it: sent, on its way, held up and why, or refused and why."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from hoa_app.db.session import Tx

# Where the provider's mail server stands is the provider's business.
_AWAY = re.compile(r"The mail server is away\b.*")


@dataclass(frozen=True)
class Mailed:
    """One mail. ``why`` is empty unless something stands in its way; ``at`` is when it was sent or given up."""

    state: Literal["Underway", "Waiting", "Sent", "Refused"]
    why: str = ""
    at: datetime | None = None


@dataclass(frozen=True)
class HeldUp:
    """Mails that could not leave yet."""

    count: int
    since: datetime
    why: str


async def of_invitations(tx: Tx, ids: Sequence[UUID]) -> dict[UUID, Mailed]:
    """The mail of each invitation; absent once it is too long ago to be known."""
    keys = {f"{kind}:{one}": one for one in ids for kind in ("invitation", "welcome-mail")}
    cursor = await tx.execute(
        "SELECT dedupe_key, state, last_error, finished_at FROM outbox WHERE dedupe_key = ANY(%s)", (list(keys),)
    )
    return {
        keys[row["dedupe_key"]]: _mailed(row["state"], row["last_error"], row["finished_at"])
        for row in await cursor.fetchall()
    }


async def held_up(tx: Tx) -> HeldUp | None:
    """Mails that were tried and have to wait; None when there are none."""
    cursor = await tx.execute(
        "SELECT count(*) AS n, min(created_at) AS since, (array_agg(last_error ORDER BY created_at DESC))[1] AS why"
        " FROM outbox WHERE state = 'queued' AND last_error IS NOT NULL AND kind ~ '^mail[.]|[.]mail$'"
    )
    row = await cursor.fetchone()
    return HeldUp(row["n"], row["since"], plain(row["why"])) if row and row["n"] else None


def plain(error: str) -> str:
    """An error of the worker as it is told to people outside the operation."""
    return _AWAY.sub("The mail server is away.", error)


def _mailed(state: str, error: str | None, finished_at: datetime | None) -> Mailed:
    if state == "done":
        return Mailed("Sent", at=finished_at)
    if state == "dead":
        return Mailed("Refused", plain(error or ""), finished_at)
    return Mailed("Waiting", plain(error)) if error else Mailed("Underway")

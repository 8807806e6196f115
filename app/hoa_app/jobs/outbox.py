"""Putting work into the outbox: a row in the caller's transaction, so that it exists exactly if the change does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from psycopg.types.json import Jsonb

from hoa_app.db.session import TenantConnection, Tx


async def enqueue(tx: Tx, kind: str, payload: Mapping[str, Any], dedupe_key: str | None = None) -> bool:
    """Add one effect to be done after commit by a worker. False when `dedupe_key` is there already.

    The payload is stored: it names things by id and never holds a secret.
    """
    cursor = await tx.execute(
        "INSERT INTO outbox (kind, payload, dedupe_key) VALUES (%s, %s, %s)"
        " ON CONFLICT (tenant_id, dedupe_key) DO NOTHING",
        (kind, Jsonb(dict(payload)), dedupe_key),
    )
    if isinstance(tx, TenantConnection):
        tx.wakes_worker = True
    return cursor.rowcount == 1


async def enqueue_all(tx: Tx, kind: str, payloads: Sequence[Mapping[str, Any]]) -> None:
    """Add several effects of one kind, by one statement."""
    if not payloads:
        return
    await tx.execute(
        "INSERT INTO outbox (kind, payload) SELECT %s, payload FROM unnest(%s::jsonb[]) payload",
        (kind, [Jsonb(dict(payload)) for payload in payloads]),
    )
    if isinstance(tx, TenantConnection):
        tx.wakes_worker = True

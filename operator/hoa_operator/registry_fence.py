"""Keeps a leader that was replaced from writing to the registry: the row of `operator_epoch`, compared in every transaction."""

from __future__ import annotations

from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final

from psycopg import errors

from hoa_operator import registry_cluster
from hoa_operator.errors import Fenced, WorldError
from hoa_operator.postgres import names

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from uuid import UUID

    from hoa_operator.postgres.connections import Connection
    from hoa_operator.registry_cluster import Cluster

#: How long each try waits for a transaction that began between the end of other sessions and it.
_PATIENCE: Final = ("500ms", "1s", "2s")
_LEADER: Final = "SELECT epoch, holder FROM operator_epoch"


async def take(connection: Connection, holder: str, cluster: Cluster) -> int:
    """Take the lead and return its epoch; every other session of an operator on this database ends. Raises ForeignRegistry,
    and ends nobody's, where the registry is another cluster's.

    A leader that was stopped between its check and its commit holds the row: then it is asked to leave once more.
    """
    await registry_cluster.refuse(connection, cluster)
    for patience in _PATIENCE:
        await _evict(connection)
        with suppress(errors.LockNotAvailable):
            epoch = await _next(connection, (holder, cluster.id), patience)
            if epoch is None:
                await registry_cluster.refuse(connection, cluster)
                break
            await _evict(connection)
            return epoch
    raise WorldError("RegistryBusy", registry_cluster.BUSY)


async def _next(connection: Connection, leader: tuple[str, UUID], patience: str) -> int | None:
    async with connection.transaction():
        await connection.execute("SELECT set_config('lock_timeout', %s, true)", [patience])
        cursor = await connection.execute(
            "UPDATE operator_epoch SET epoch = epoch + 1, holder = %s, since = now() WHERE cluster = %s RETURNING epoch",
            leader,
        )
        row = await cursor.fetchone()
    return int(row["epoch"]) if row else None


async def check(connection: Connection, epoch: int, lock: str = "") -> None:
    """Raise Fenced unless `epoch` is the newest."""
    leader = await (await connection.execute(f"{_LEADER} {lock}".encode())).fetchone()
    if leader is None or leader["epoch"] != epoch:
        now = f"{leader['holder']} leads now, epoch {leader['epoch']}" if leader else "nobody leads"
        raise Fenced(f"{now}; this instance had epoch {epoch}")


@asynccontextmanager
async def fenced(connection: Connection, epoch: int) -> AsyncIterator[None]:
    """One transaction that holds off a new leader until it ends, or never begins."""
    async with connection.transaction():
        await check(connection, epoch, "FOR SHARE")
        yield


async def _evict(connection: Connection) -> None:
    """End every other session that operator instances hold on this database."""
    await connection.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = current_database()"
        " AND starts_with(application_name, %s) AND pid <> pg_backend_pid()",
        [names.APPLICATION_PREFIX],
    )

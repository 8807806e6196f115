"""Ends sessions that the admin may end, and waits until they are gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hoa_operator.postgres.connections import Connection


async def terminate(connection: Connection, role: str) -> None:
    """End every session of `role` and wait, up to 5 s each, until it is gone."""
    await connection.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = %s AND pid <> pg_backend_pid()",
        [role],
    )


async def terminate_database(connection: Connection, name: str) -> None:
    """End the sessions in the database that the admin may end, and wait, up to 5 s each, until they are gone."""
    await connection.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
        " WHERE datname = %s AND backend_type = 'client backend' AND pg_has_role(usesysid, 'USAGE')",
        [name],
    )


async def terminate_one(connection: Connection, pid: int) -> None:
    """End one session and wait, up to 5 s, until it is gone."""
    await connection.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])

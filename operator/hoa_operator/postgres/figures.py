"""Reads a tenant's own figures with the tenant's own rights.

The owner of a tenant's database may redefine the view and all it calls. So it is read as the tenant's migrator, for
which such code gains nothing; what it returns is cast and cut to size by the query; and one that does not end is ended.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import psycopg
from psycopg.rows import class_row, scalar_row

from hoa_operator.errors import WorldError
from hoa_operator.postgres import names
from hoa_operator.postgres.failures import words
from hoa_operator.postgres.logins import is_refused
from hoa_operator.postgres.model import Usage
from hoa_operator.postgres.sessions import terminate_one

if TYPE_CHECKING:
    from uuid import UUID

    from hoa_operator.postgres.connections import Connections
    from hoa_operator.postgres.model import ServerAddress

PASSWORD_REFUSED: Final = "PasswordRefused"  # noqa: S105 - a reason's name
#: Seconds after which the session is ended from outside: a function may catch a statement's timeout and go on.
DEADLINE: Final = 10.0
_OPTIONS: Final = (
    "-c search_path=pg_catalog,pg_temp -c statement_timeout=5s -c lock_timeout=2s -c client_min_messages=error"
    " -c default_transaction_read_only=on -c app.current_tenant={}"
)
_FIGURES: Final = ("homeowners", "storage_bytes", "emails_sent", "sms_sent", "active_users")
# Every name that is not the view's is qualified: a role may change its own search_path, and put what it likes there.
_READ: Final = f"""
SELECT CAST(tenant_id AS pg_catalog.uuid) AS tenant_id,
    {", ".join(f"CAST({name} AS pg_catalog.int8) AS {name}" for name in _FIGURES)},
    pg_catalog.left(CAST(welcome_mail AS pg_catalog.text), 20) AS welcome_mail,
    pg_catalog.left(CAST(schema_revision AS pg_catalog.text), 20) AS schema_revision,
    pg_catalog.pg_database_size(pg_catalog.current_database()) AS database_bytes
FROM public.hoa_usage LIMIT 2
"""  # noqa: S608 - our own column names
_MAILS: Final = frozenset({"None", "Queued", "Sent", "Failed"})


async def read(connections: Connections, address: ServerAddress, tenant_id: UUID, password: str) -> Usage | None:
    """Return the row of `hoa_usage`, None while there is no such view.

    Raises WorldError `PasswordRefused` when the migrator's password is not `password`, else `UsageUnreadable`.
    """
    connection = await _log_in(address, tenant_id, password)
    try:
        rows = await _rows(connections, connection)
    except psycopg.Error as error:
        raise _unreadable(tenant_id, words(error)[:300]) from error
    return None if rows is None else _checked(tenant_id, rows)


async def _log_in(address: ServerAddress, tenant_id: UUID, password: str) -> psycopg.AsyncConnection[Usage]:
    role = names.role_name(tenant_id, names.MIGRATOR)
    try:
        return await psycopg.AsyncConnection.connect(
            host=address.host,
            port=address.port,
            sslmode=address.sslmode,
            dbname=names.database_name(tenant_id),
            user=role,
            password=password,
            application_name=f"{names.APPLICATION_PREFIX}usage",
            connect_timeout=5,
            options=_OPTIONS.format(tenant_id),
            row_factory=class_row(Usage),
        )
    except psycopg.Error as error:
        if is_refused(error):
            raise WorldError(
                PASSWORD_REFUSED, f"Postgres at {address} refuses the password of role {role}; it is set again"
            ) from error
        raise _unreadable(tenant_id, words(error)[:300]) from error


async def _rows(connections: Connections, connection: psycopg.AsyncConnection[Usage]) -> list[Usage] | None:
    asking = asyncio.create_task(_ask(connection))
    try:
        done, _ = await asyncio.wait({asking}, timeout=DEADLINE)
        if not done:
            async with connections.maintenance() as admin:
                await terminate_one(admin, connection.info.backend_pid)
        return await asking
    finally:
        await connection.close()
        asking.cancel()


async def _ask(connection: psycopg.AsyncConnection[Usage]) -> list[Usage] | None:
    async with connection.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute("SELECT pg_catalog.to_regclass('public.hoa_usage') IS NOT NULL")
        if not await cursor.fetchone():
            return None
    return await (await connection.execute(_READ)).fetchall()


def _checked(tenant_id: UUID, rows: list[Usage]) -> Usage:
    if len(rows) != 1:
        raise _unreadable(tenant_id, f"it has {len(rows) or 'no'} rows instead of one")
    usage = rows[0]
    if usage.tenant_id != tenant_id:
        raise _unreadable(tenant_id, f"it names tenant {usage.tenant_id}")
    for name in _FIGURES:
        figure = getattr(usage, name)
        if figure is None or figure < 0:
            raise _unreadable(tenant_id, f"its {name} is {figure}")
    if usage.welcome_mail not in _MAILS:
        raise _unreadable(tenant_id, f"its welcome_mail is {usage.welcome_mail!r}")
    return usage


def _unreadable(tenant_id: UUID, why: str) -> WorldError:
    return WorldError(
        "UsageUnreadable",
        f"view hoa_usage in database {names.database_name(tenant_id)}: {why}; look at it with psql, or restore it from a backup",
    )

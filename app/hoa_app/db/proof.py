"""The first connection to a tenant's database: proved to be that tenant's, or why there is none."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import dict_row

from hoa_app.db.session import TenantConnection
from hoa_app.migrations import serving
from hoa_app.problems import unavailable, upgrading
from hoa_app.tenancy.tenant import KEEPALIVES, Tenant

IDENTITY = (
    "SELECT (SELECT tenant_id FROM tenant_identity) AS identity, current_tenant() AS current,"
    # As obj_description says it, without having Postgres read and inline that function first.
    " (SELECT description FROM pg_description WHERE objoid = to_regclass('public.alembic_version')"
    " AND classoid = 'pg_class'::regclass AND objsubid = 0) AS note"
)
#: Compiling a query takes Postgres longer than running any of ours. And where one joins more than four tables the others are
#: looked up by their keys, in the order written: to try every order of seven takes longer than what was asked.
PLANNING = "-c jit=off -c join_collapse_limit=4"
#: What is granted to the tenant is in use: its other pods hold it, and can help.
TAKEN = ("too many connections for role", "too many connections for database")
#: The whole server has no connection left: nobody's pods can help.
FULL = ("too many clients", "remaining connection slots are reserved")
#: Asked again soon, because one that was closed a moment ago still counts; then the others are told. Whose time runs out
#: asks as often, and so comes before who has just begun.
_FULL_SOON = 0.03
_FULL_PAUSE = 0.1
_FULL_URGENT = 3.5
_FULL_TOLD_AGAIN = 0.5


class IdentityMismatchError(Exception):
    """The database at this address is not the tenant's: nothing of it may be served."""


class SchemaNotServedError(Exception):
    """The database is at a schema that this version of the app cannot serve."""


def parameters(tenant: Tenant, application_name: str, connect_seconds: int) -> dict[str, Any]:
    """Return what every connection to the tenant's database is opened with."""
    return {
        **tenant.database.parameters(),
        "autocommit": True,
        "row_factory": dict_row,
        "connect_timeout": connect_seconds,
        "tcp_user_timeout": 10_000,
        "application_name": application_name,
        # Reading is the default of every session; a transaction that writes says READ WRITE (db/session.py).
        # The tenant is named here because not every operator's login may tie it to the role (docs/contract.md).
        "options": f"-c default_transaction_read_only=on -c app.current_tenant={tenant.id} {PLANNING} {KEEPALIVES}",
    }


@dataclass(frozen=True)
class Waiting:
    """Until when to wait where no connection is left, until when whoever waits for the same has time left at least, and how to
    tell those that hold what the tenant may have."""

    until: float
    first: Callable[[], float]
    tell: Callable[[], None]


async def prove(tenant: Tenant, opened_with: dict[str, Any], waiting: Waiting) -> TenantConnection:
    """Connect once by hand, so that what is wrong is known at once and by name; raises that."""
    connection = await _connect(opened_with, waiting)
    try:
        await check_identity(connection, tenant.id)
    except BaseException:
        await connection.close()
        raise
    return connection


async def _connect(opened_with: dict[str, Any], waiting: Waiting) -> TenantConnection:
    """Connect; where others hold all that the tenant may have, as the pods before do in a rollout, wait for one."""
    told, again = -math.inf, False
    while True:
        try:
            return await TenantConnection.connect(**opened_with)
        except psycopg.OperationalError as error:
            now = time.monotonic()
            if not is_full(error) or now >= waiting.until:
                raise
            if again and is_taken(error) and now - told >= _FULL_TOLD_AGAIN:
                waiting.tell()
                told = now
            soon = is_taken(error) and (not again or waiting.first() - now < _FULL_URGENT)
        await asyncio.sleep(_FULL_SOON if soon else _FULL_PAUSE)
        again = True


async def check_identity(connection: TenantConnection, tenant_id: UUID) -> None:
    """Raise unless the database is the tenant's, and at a schema that this app serves."""
    row = await (await connection.execute(IDENTITY)).fetchone()
    if row is not None and serving.is_too_new(row["note"]):
        raise SchemaNotServedError(
            f"the database is {row['note']}, and this app's is {serving.head()}: deploy a newer app, this one lacks what it needs"
        )
    found = (None, None) if row is None else (row["identity"], row["current"])
    if found != (tenant_id, tenant_id):
        raise IdentityMismatchError(
            f"the registry says {tenant_id}, the database says {found[0]} and acts for {found[1]}"
        )


def is_full(error: Exception) -> bool:
    """Whether there is no connection left. While connecting libpq passes Postgres's words on, not its code."""
    said = str(error)
    return isinstance(error, psycopg.errors.TooManyConnections) or any(words in said for words in TAKEN + FULL)


def is_taken(error: Exception) -> bool:
    """Whether that is because the tenant's own pods hold all that it may have."""
    return any(words in str(error) for words in TAKEN)


def reason_of(error: Exception) -> str:
    """Return why there is no connection, as the metric says it."""
    return "full" if is_full(error) else "connect"


def problem_of(error: Exception) -> Exception:
    """Return what a person is told of it."""
    if isinstance(error, SchemaNotServedError):
        return upgrading()
    if is_full(error):
        return unavailable("Every database connection is in use.", retry_after=2)
    return unavailable("The database is not reachable right now. Nothing was changed.")


def first_line(error: BaseException) -> str:
    """Return what a log line has room for."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]

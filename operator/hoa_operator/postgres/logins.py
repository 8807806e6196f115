"""Passwords of the tenant's logins: sent as SCRAM verifiers, and proved by logging in rather than believed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import psycopg
from psycopg import sql

from hoa_operator.errors import WorldError
from hoa_operator.postgres import names
from hoa_operator.postgres.failures import explained
from hoa_operator.postgres.observe import observe
from hoa_operator.postgres.provision import claim_roles, ident
from hoa_operator.scram import verifier

if TYPE_CHECKING:
    from hoa_operator.postgres.connections import Connection
    from hoa_operator.postgres.model import DatabaseSpec, ServerAddress

_REFUSED: Final = re.compile(r"password authentication failed for user")
# The server says these only after the password was right.
_AFTER_PASSWORD: Final = re.compile(
    r'role ".*" is not permitted to log in|database ".*" (does not exist|is not currently accepting connections)'
    r"|permission denied for database|too many connections for (role|database)"
)


def is_refused(error: psycopg.Error) -> bool:
    """Tell whether logging in failed for the password."""
    return _REFUSED.match(_said(error)) is not None


def _said(error: psycopg.Error) -> str:
    """Return what the server said, from its first word on: a role's own settings may put words into what follows."""
    found = re.search(r"FATAL: +(.+)", str(error))
    return found[1] if found else ""


async def verify_login(address: ServerAddress, dbname: str, role: str, password: str) -> bool:
    """Say whether `password` is the role's, also while the role may not log in or the database is closed."""
    with explained(address, dbname):
        asked = await _attempt(address, dbname, role, password)
    if asked is False:
        raise WorldError(
            "PasswordNotAsked",
            f"Postgres at {address} lets role {role} in without asking for a password;"
            " make pg_hba.conf require scram-sha-256",
        )
    return asked is not None


async def _attempt(address: ServerAddress, dbname: str, role: str, password: str) -> bool | None:
    """Return None if the password was refused, else whether the server asked for one at all."""
    try:
        connection = await psycopg.AsyncConnection.connect(
            host=address.host,
            port=address.port,
            sslmode=address.sslmode,
            dbname=dbname,
            user=role,
            password=password,
            connect_timeout=5,
            application_name=f"{names.APPLICATION_PREFIX}verify",
        )
    except psycopg.OperationalError as error:
        if is_refused(error):
            return None
        if _AFTER_PASSWORD.match(_said(error)) and error.pgconn is not None:
            return bool(error.pgconn.used_password)
        raise
    asked = bool(connection.pgconn.used_password)
    await connection.close()
    return asked


async def set_passwords(connection: Connection, address: ServerAddress, spec: DatabaseSpec) -> tuple[str, ...]:
    """Set those passwords that do not log in yet; returns the roles that changed."""
    claim_roles(spec, await observe(connection, spec.tenant_id))
    passwords = {spec.login: spec.app_password, names.MIGRATOR: spec.migrator_password}
    wrong = {
        names.role_name(spec.tenant_id, kind): password
        for kind, password in passwords.items()
        if password and not await verify_login(address, spec.database, names.role_name(spec.tenant_id, kind), password)
    }
    async with connection.transaction():
        for role, password in wrong.items():
            await connection.execute(
                sql.SQL("ALTER ROLE {} PASSWORD {}").format(ident(role), sql.Literal(verifier(password)))
            )
    return tuple(wrong)

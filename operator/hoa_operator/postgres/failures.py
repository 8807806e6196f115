"""Turns what psycopg raises into errors that say who must act; only the server's primary message passes, never SQL text."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import psycopg

from hoa_operator.errors import OperatorError, UserError, WorldError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hoa_operator.postgres.model import ServerAddress

_LOG: Final = "it is tried again; should it last, look at the server's log"
_DAMAGED: Final = "the server found its own files damaged; look at its log, and recover it from a backup (docs/operations/lost-server.md)"
# sqlstate or its class -> (reason, what to do). The longest prefix wins.
_BY_STATE: Final[dict[str, tuple[str, str]]] = {
    "08": (
        "ServerUnreachable",
        "the connection was lost; check that the server runs and the network lets the operator through",
    ),
    "0LP01": ("InsufficientPrivilege", "grant the admin login what it lacks (CREATEDB and CREATEROLE, or superuser)"),
    "28": ("AdminLoginRefused", "correct the username and password in the server's admin Secret"),
    "2BP01": (
        "ObjectsDependOnRole",
        "something outside the tenant's database belongs to its role or is granted to it; there, as an administrator, run REASSIGN"
        " OWNED BY that role, then DROP OWNED BY it; what waits for it then goes on (docs/operations/retained-databases.md)",
    ),
    "3D000": (
        "DatabaseMissing",
        "the database disappeared while it was worked on; it is looked at again; should it last, see docs/operations/lost-server.md",
    ),
    "40": ("ConcurrentChange", f"another session changed the same thing; {_LOG}"),
    "42501": ("InsufficientPrivilege", "grant the admin login what it lacks (CREATEDB and CREATEROLE, or superuser)"),
    "53": ("ServerShortOfResources", "the server is short of memory or disk; give it more"),
    "53100": ("DiskFull", "the server's disk is full; free or add space"),
    "53300": ("TooManyConnections", "the server has no free connection; raise max_connections or move tenants away"),
    "55006": (
        "DatabaseBusy",
        "other sessions hold it; it is tried again; should it last, end them (pg_stat_activity and pg_prepared_xacts say whose they are)",
    ),
    "55P03": (
        "Busy",
        "another session holds the lock; it is tried again; should it last, end that session (pg_locks says whose it is)",
    ),
    "57014": (
        "StatementTimeout",
        "the server took too long; it is tried again; should it last, look at what keeps it busy",
    ),
    "57P": ("ServerRestarting", f"the server is starting, stopping or recovering; {_LOG}"),
    "58": ("ServerFileError", "the server could not read or write its files; look at its log and its disk"),
    "XX": ("ConcurrentChange", f"the server reported an internal conflict; {_LOG}"),
    "XX001": ("DataDamaged", _DAMAGED),
    "XX002": ("DataDamaged", _DAMAGED),
}

#: The one state whose detail is needed to act.
_DEPENDENTS: Final = "2BP01"
# libpq gives no sqlstate when connecting fails: its words are all there is.
_BY_WORDS: Final[tuple[tuple[str, str, str], ...]] = (
    (r"password authentication failed|no password supplied|role \".*\" does not exist", "AdminLoginRefused",
     "correct the username and password in the server's admin Secret"),
    (r"no pg_hba.conf entry|pg_hba.conf rejects", "AdminLoginRefused", "let the operator's address in by the server's pg_hba.conf"),
    (r"is not permitted to log in", "AdminLoginRefused", "give the admin login the LOGIN attribute"),
    (r"permission denied for database", "AdminLoginRefused", "grant the admin login CONNECT on its maintenance database"),
    (r"too many clients|connection slots are reserved|too many connections", "TooManyConnections",
     "the server has no free connection; raise max_connections or move tenants away"),
    (r"database \".*\" does not exist", "DatabaseMissing", "name a database that exists"),
    (r"not currently accepting connections", "DatabaseClosed",
     "the database refuses connections; it is looked at again; should it last, run ALTER DATABASE ... ALLOW_CONNECTIONS true"),
    (r"starting up|shutting down|recovery", "ServerRestarting", f"the server is starting or stopping; {_LOG}"),
    (r"No space left on device", "DiskFull", "the server's disk is full; free or add space"),
    (r"resolve|Name or service not known|translate host name", "ServerNameUnknown", "correct spec.endpoint.host, or the cluster's DNS"),
    (r"server does not support SSL|SSL|certificate", "TlsFailed", "make spec.endpoint.sslMode and the server's certificate agree"),
)  # fmt: skip
_LET_THROUGH = "that its addresses are in the chart's networkPolicies.postgresCIDRs"
_UNREACHABLE = (
    "ServerUnreachable",
    f"check spec.endpoint, that the server runs, and, for one outside the release, {_LET_THROUGH}",
)


def _explain(error: psycopg.Error) -> tuple[str, str]:
    state = error.sqlstate
    if state:
        for length in (5, 3, 2):
            if state[:length] in _BY_STATE:
                return _BY_STATE[state[:length]]
        return f"PostgresError{state}", "the server refused a statement; look at its log"
    for pattern, reason, hint in _BY_WORDS:
        if re.search(pattern, str(error)):
            return reason, hint
    return _UNREACHABLE


def words(error: psycopg.Error) -> str:
    """Return what the server said first, without SQL text."""
    if error.sqlstate:
        first = error.diag.message_primary or type(error).__name__
        return first + _dependents(error) if error.sqlstate == _DEPENDENTS else first
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


def _dependents(error: psycopg.Error) -> str:
    """Return what depends on a role, which only the detail names: objects and databases, no SQL text."""
    lines = [line.strip() for line in (error.diag.message_detail or "").splitlines() if line.strip()]
    return f" ({', '.join(lines[:3])}{', ...' if len(lines) > 3 else ''})" if lines else ""


def explain(error: psycopg.Error, where: str) -> OperatorError:
    """Return the operator's error for `error` that happened at `where`."""
    reason, hint = _explain(error)
    return WorldError(reason, f"Postgres at {where}: {words(error)}; {hint}")


@contextmanager
def explained(address: ServerAddress, dbname: str) -> Iterator[None]:
    """Let only operator errors out of the block."""
    where = f"{address}, database {dbname}"
    try:
        yield
    except psycopg.Error as error:
        raise explain(error, where) from error
    except TimeoutError as error:
        raise WorldError(
            "ServerSilent",
            f"Postgres at {where} did not answer in time; check that it is not overloaded, and, for one outside the"
            f" release, {_LET_THROUGH}",
        ) from error
    except OSError as error:
        raise WorldError(
            "ServerUnreachable", f"Postgres at {where}: {error.strerror or error}; {_UNREACHABLE[1]}"
        ) from error


def not_ours(what: str, why: str) -> UserError:
    """Return the refusal to touch something whose ownership is in doubt."""
    return UserError(
        "OwnershipNotProven",
        f"{what}: {why}; nothing was changed. Look at it with psql and remove or rename it if it is not needed",
    )

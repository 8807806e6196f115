"""The migration Job (docs/contract.md, section 4): `python -m hoa_app.migrate [--template]`.

It starts cold in a fresh pod while a person waits for a tenant, so it imports little: alembic only for what its SQL alone
cannot do (hack/migrations/rendering.py), such as the first revision and an index beside the traffic.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
from psycopg import sql

from hoa_app import first_owner
from hoa_app.grants import Grantees, grant
from hoa_app.migrations import serving

LOCK_KEY = 0x484F41  # any fixed number: the lock is per database
LOCK_TIMEOUT = 20.0
LOCK_LOOK = 0.2
# While a change of a table waits for its lock, everybody who comes after it waits, too: so it waits for moments only,
# lets the others through, and tries again, LOCK_PATIENCE seconds in all.
TABLE_LOCK_TIMEOUT = "2s"
LOCK_PATIENCE = 30.0
LOCK_PAUSE = 1.0
LOCKED = (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected)
STATEMENT_TIMEOUT = "10min"
MESSAGE_LIMIT = 4096

OK, UNEXPECTED, PERMANENT, PASSING = 0, 1, 2, 3


class MigrationError(Exception):
    """Ends the run with `code`; `reason` is CamelCase and `message` tells a person what to do."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason


@dataclass(frozen=True)
class TenantJob:
    """What only a tenant's run needs."""

    tenant_id: UUID
    app_role: str
    second_app_role: str
    writer_role: str
    admin_email: str
    admin_name: str
    time_zone: str


@dataclass(frozen=True)
class Job:
    """The run as the environment describes it; `tenant` is None for the template."""

    owner_role: str
    usage_role: str
    target_revision: str
    tenant: TenantJob | None

    @classmethod
    def from_env(cls, environ: Mapping[str, str], *, template: bool) -> Job:
        """Parse; a missing or malformed variable is the operator's fault and permanent."""
        return cls(
            owner_role=_required(environ, "HOA_OWNER_ROLE"),
            usage_role=environ.get("HOA_USAGE_ROLE", ""),
            target_revision=environ.get("HOA_TARGET_REVISION", ""),
            tenant=None if template else _tenant_job(environ),
        )


def _tenant_job(environ: Mapping[str, str]) -> TenantJob:
    raw_id = _required(environ, "HOA_TENANT_ID")
    try:
        tenant_id = UUID(raw_id)
    except ValueError:
        raise MigrationError(PERMANENT, "InvalidEnvironment", f"HOA_TENANT_ID is {raw_id!r}, not a UUID") from None
    email = environ.get("HOA_ADMIN_EMAIL", "").strip()
    return TenantJob(
        tenant_id=tenant_id,
        app_role=_required(environ, "HOA_APP_ROLE"),
        second_app_role=environ.get("HOA_APP_ROLE_B", "").strip(),
        writer_role=_required(environ, "HOA_WRITER_ROLE"),
        admin_email=email,
        admin_name=environ.get("HOA_ADMIN_NAME", "").strip() or email.partition("@")[0],
        time_zone=environ.get("HOA_TIME_ZONE", "").strip() or "America/New_York",
    )


def _required(environ: Mapping[str, str], name: str) -> str:
    value = environ.get(name, "").strip()
    if not value:
        raise MigrationError(PERMANENT, "InvalidEnvironment", f"{name} is not set; the operator sets it on the Job")
    return value


@dataclass
class Result:
    """The termination message as it grows."""

    result: str = "ok"
    reason: str = "Migrated"
    message: str = ""
    from_revision: str | None = None
    revision: str | None = None
    invitation: str | None = None
    seconds: float = 0.0

    def line(self) -> str:
        """One line of JSON within the limit of the contract."""
        body: dict[str, Any] = {
            "result": self.result,
            "reason": self.reason,
            "message": self.message,
            "fromRevision": self.from_revision,
            "revision": self.revision,
            "invitation": self.invitation,
            "durationSeconds": round(self.seconds, 3),
        }
        text = json.dumps(body)
        if len(text.encode()) > MESSAGE_LIMIT:
            body["message"] = self.message[:500] + " ..."
            text = json.dumps(body)
        return text


def run(job: Job, result: Result) -> None:
    """Do everything in the contract's order; every part finds its own work done when it is."""
    head = serving.known_revisions()[-1]
    if job.target_revision and job.target_revision != head:
        raise MigrationError(
            PERMANENT,
            "WrongRevision",
            f"the image's head is {head} and the operator expects {job.target_revision}; deploy the two together",
        )
    with psycopg.connect(autocommit=True, connect_timeout=10, application_name="hoa-migrate") as connection:
        _prepare(connection, job)
        result.from_revision = current_revision(connection)
        _check_before(connection, job, result.from_revision)
        if result.from_revision != head:
            _upgrade(connection, result)
        result.revision = head
        _leave_note(connection)
        if job.tenant is not None:
            with connection.transaction():
                _write_identity(connection, job, job.tenant)
                grant(connection, Grantees(job.tenant.app_role, job.tenant.writer_role, job.usage_role))
                result.invitation = _install_defaults(connection, job.tenant)
    result.message = f"schema is at {head}" + (
        "" if result.from_revision == head else f", upgraded from {result.from_revision}"
    )


def _prepare(connection: psycopg.Connection[Any], job: Job) -> None:
    tenant_id = str(job.tenant.tenant_id) if job.tenant else ""
    connection.execute(
        "SELECT set_config('lock_timeout', %s, false), set_config('statement_timeout', %s, false),"
        " set_config('idle_in_transaction_session_timeout', %s, false), set_config('search_path', 'public', false),"
        " set_config('default_transaction_read_only', 'off', false), set_config('app.current_tenant', %s, false),"
        # A Job that was killed leaves no session that goes on and keeps the next one waiting.
        " set_config('client_connection_check_interval', '2s', false)",
        (TABLE_LOCK_TIMEOUT, STATEMENT_TIMEOUT, STATEMENT_TIMEOUT, tenant_id),
    )
    _take_turn(connection)
    connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(job.owner_role)))


def _take_turn(connection: psycopg.Connection[Any]) -> None:
    """Be the only Job at work in this database. It asks again and again instead of waiting in a statement: that would have a
    snapshot, for which the one at work waits when it makes an index beside the traffic."""
    deadline = time.monotonic() + LOCK_TIMEOUT
    while connection.execute("SELECT pg_try_advisory_lock(%s)", (LOCK_KEY,)).fetchone() != (True,):
        if time.monotonic() >= deadline:
            raise MigrationError(
                PASSING,
                "LockNotAvailable",
                f"another migration has been at work in this database for {LOCK_TIMEOUT:g} s; it is tried again",
            )
        time.sleep(LOCK_LOOK)


def current_revision(connection: psycopg.Connection[Any]) -> str | None:
    """What alembic wrote last, or None for an empty database."""
    if not _exists(connection, "alembic_version"):
        return None
    row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return None if row is None else str(row[0])


def _check_before(connection: psycopg.Connection[Any], job: Job, revision: str | None) -> None:
    if revision is not None and revision not in serving.known_revisions():
        raise MigrationError(
            PERMANENT,
            "DatabaseNewer",
            f"the database is at {revision}, which this image does not know; run an image that does",
        )
    if job.tenant is None or not _exists(connection, "tenant_identity"):
        return
    row = connection.execute("SELECT tenant_id FROM tenant_identity").fetchone()
    if row is not None and row[0] != job.tenant.tenant_id:
        raise MigrationError(
            PERMANENT,
            "IdentityMismatch",
            f"this database belongs to tenant {row[0]}, not to {job.tenant.tenant_id}; nothing was changed",
        )


def _exists(connection: psycopg.Connection[Any], table: str) -> bool:
    row = connection.execute("SELECT to_regclass(%s)", (f"public.{table}",)).fetchone()
    return row is not None and row[0] is not None


def _upgrade(connection: psycopg.Connection[Any], result: Result) -> None:
    """Upgrade, again and again while somebody holds a lock; what this tenant's data does not allow is final."""
    deadline = time.monotonic() + LOCK_PATIENCE
    while True:
        try:
            _climb(connection)
        except Exception as error:
            result.revision = current_revision(connection) if not connection.closed else None
            cause = cause_of(error)
            if isinstance(cause, LOCKED) and time.monotonic() < deadline:
                time.sleep(LOCK_PAUSE)
                continue
            if isinstance(cause, psycopg.IntegrityError | psycopg.DataError):
                raise _unfit(cause, result.revision) from error
            raise
        else:
            return


def _climb(connection: psycopg.Connection[Any]) -> None:
    """Take the database to the head, a transaction per revision: after an error it is at the last one that was done."""
    current = current_revision(connection) or ""
    for revision in serving.known_revisions():
        if revision > current:
            _take_to(connection, revision)


def _take_to(connection: psycopg.Connection[Any], revision: str) -> None:
    written = serving.sql_of(revision)
    if written is None:
        from hoa_app.migrations.run import upgrade

        upgrade(connection, revision)
        return
    with connection.transaction():
        connection.execute(written.encode())
        if current_revision(connection) != revision:
            raise MigrationError(
                PERMANENT,
                "RevisionNotNoted",
                f"the SQL of revision {revision} does not note it, and was undone; mend the image",
            )


def _unfit(cause: psycopg.Error, revision: str | None) -> MigrationError:
    """The final error of a migration that the data stands against; a value that Postgres would quote is left out."""
    quoted = isinstance(cause, psycopg.DataError)
    said = "a value cannot be converted" if quoted else first_line(cause)
    return MigrationError(
        PERMANENT,
        type(cause).__name__,
        f"this tenant's data does not allow the migration after {revision or 'the empty schema'}: {said}; "
        "mend the data or deploy an app with a mended migration",
    )


def _leave_note(connection: psycopg.Connection[Any]) -> None:
    """Say which apps may serve this schema, where they look when they open a pool."""
    row = connection.execute("SELECT obj_description('public.alembic_version'::regclass, 'pg_class')").fetchone()
    if row is None or row[0] != serving.note():
        connection.execute(sql.SQL("COMMENT ON TABLE alembic_version IS {}").format(sql.Literal(serving.note())))


def _write_identity(connection: psycopg.Connection[Any], job: Job, tenant: TenantJob) -> None:
    connection.execute(
        "INSERT INTO tenant_identity (tenant_id) VALUES (%s) ON CONFLICT (tenant_id) DO NOTHING", (tenant.tenant_id,)
    )
    connection.execute(
        "INSERT INTO tenant_roles (role_name, tenant_id)"
        " SELECT role_name, %(tenant)s FROM (SELECT session_user::name UNION SELECT %(app)s::name"
        "   UNION SELECT nullif(%(second)s, '')::name UNION SELECT nullif(%(usage)s, '')::name) AS wanted (role_name)"
        " WHERE role_name IS NOT NULL"
        " ON CONFLICT (role_name) DO UPDATE SET tenant_id = excluded.tenant_id"
        " WHERE tenant_roles.tenant_id <> excluded.tenant_id",
        {
            "tenant": tenant.tenant_id,
            "app": tenant.app_role,
            "second": tenant.second_app_role,
            "usage": job.usage_role,
        },
    )


def _install_defaults(connection: psycopg.Connection[Any], tenant: TenantJob) -> str | None:
    connection.execute(
        "INSERT INTO settings (key, value) VALUES ('time_zone', to_jsonb(%s::text)) ON CONFLICT DO NOTHING",
        (tenant.time_zone,),
    )
    return first_owner.invite(connection, tenant.admin_email, tenant.admin_name) if tenant.admin_email else None


def main(argv: list[str], environ: Mapping[str, str]) -> int:
    """Run, classify what went wrong, leave the one-line result; returns the exit code."""
    started = time.monotonic()
    result = Result()
    code = OK
    try:
        run(Job.from_env(environ, template="--template" in argv), result)
    except MigrationError as error:
        code = _failed(result, error.code, error.reason, str(error))
    except KeyboardInterrupt:
        code = _failed(result, PASSING, "Stopped", "the Job was ended from outside; what was not finished was undone")
    except Exception as error:
        code = _classify(result, error)
    result.seconds = time.monotonic() - started
    line = result.line()
    sys.stdout.write(line + "\n")
    _leave(Path(environ.get("HOA_TERMINATION_LOG") or "/dev/termination-log"), line)
    return code


def cause_of(error: Exception) -> Exception:
    """The driver's own error: SQLAlchemy wraps it."""
    cause = getattr(error, "orig", None)
    return cause if isinstance(cause, Exception) else error


def _classify(result: Result, error: Exception) -> int:
    cause = cause_of(error)
    code = PASSING if isinstance(cause, psycopg.OperationalError) else UNEXPECTED
    return _failed(result, code, type(cause).__name__, first_line(cause))


def _failed(result: Result, code: int, reason: str, message: str) -> int:
    result.result, result.reason, result.message = "error", reason, message
    return code


def first_line(error: BaseException) -> str:
    """The error's first line: Postgres puts statements and data into the lines after it."""
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__


def _leave(path: Path, line: str) -> None:
    try:
        path.write_text(line + "\n", encoding="utf-8")
    except OSError:
        sys.stderr.write(f"cannot write the result to {path}\n")


if __name__ == "__main__":
    # The kernel spares a container's first process the default end by SIGTERM. As Ctrl-C it also cancels what Postgres does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main(sys.argv[1:], os.environ))

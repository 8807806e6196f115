"""The migration Job as a process against a real Postgres: results, exit codes, and what it leaves."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from hoa_app import migrate
from hoa_app.migrations import run, serving
from tests.contract.app.platform import MadeTenant
from tests.fix_postgres import postgres_bin

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.contract.app.platform import Platform

HEAD = serving.head()


@pytest.fixture
def blank(platform: Platform) -> Iterator[MadeTenant]:
    """A tenant whose database is there and empty, as the operator leaves it before the first Job."""
    tenant = MadeTenant(platform, f"blank-{uuid4().hex[:8]}", uuid4(), admin_email="first@owner.example")
    platform.make_database(tenant)
    yield tenant
    with psycopg.connect(platform.access.dsn(), autocommit=True) as connection:
        platform.drop(connection, tenant)


def result(outcome: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    return dict(json.loads(outcome.stdout))


def test_a_new_tenant(platform: Platform, blank: MadeTenant) -> None:
    outcome = platform.run_job(blank)
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    answer = result(outcome)
    assert answer["result"] == "ok"
    assert (answer["fromRevision"], answer["revision"], answer["invitation"]) == (None, HEAD, "Created")
    left = (platform.folder / f"{blank.slug}.termination").read_text()
    assert json.loads(left) == answer
    with psycopg.connect(platform.access.dsn(blank.prefix)) as connection:
        usage = connection.execute("SELECT * FROM hoa_usage").fetchall()
    assert usage == [(blank.id, 0, 0, 0, 0, 0, "Queued", HEAD)]


def test_again_changes_nothing(platform: Platform, blank: MadeTenant) -> None:
    platform.run_job(blank)
    outcome = platform.run_job(blank)
    assert outcome.returncode == 0
    answer = result(outcome)
    assert (answer["fromRevision"], answer["invitation"]) == (HEAD, "Exists")
    with blank.as_admin() as connection:
        row = connection.execute("SELECT (SELECT count(*) FROM invitations), (SELECT count(*) FROM outbox)").fetchone()
    assert row == (1, 1)


def test_a_corrected_admin_is_invited_instead(platform: Platform, blank: MadeTenant) -> None:
    platform.run_job(blank)
    outcome = platform.run_job(blank, HOA_ADMIN_EMAIL="second@owner.example")
    assert result(outcome)["invitation"] == "Created"
    with blank.as_admin() as connection:
        rows = connection.execute("SELECT email FROM invitations WHERE revoked_at IS NULL").fetchall()
    assert rows == [("second@owner.example",)]


def test_the_app_role_has_rows_and_no_ddl(platform: Platform, blank: MadeTenant) -> None:
    platform.run_job(blank)
    with blank.as_app() as connection:
        assert connection.execute("SELECT current_tenant()").fetchone() == (blank.id,)
        assert connection.execute("SELECT count(*) FROM invitations").fetchone() == (1,)
        for statement in (
            "CREATE TABLE mine (id int)",
            "DROP TABLE users",
            "ALTER TABLE users DISABLE ROW LEVEL SECURITY",
            "UPDATE audit_log SET action = 'nothing'",
            "DELETE FROM audit_log",
            "TRUNCATE audit_log",
            "UPDATE audit_heads SET sequence = 0",
            "INSERT INTO tenant_roles VALUES ('postgres', gen_random_uuid())",
            "UPDATE tenant_identity SET tenant_id = gen_random_uuid()",
            "SELECT * FROM usage_figures()",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)


def test_every_table_is_forced_to_its_tenant(seabreeze: MadeTenant) -> None:
    with seabreeze.as_admin() as connection:
        loose = connection.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')"
            " AND NOT (relrowsecurity AND relforcerowsecurity) ORDER BY 1"
        ).fetchall()
    assert [name for (name,) in loose] == ["alembic_version", "tenant_identity", "tenant_roles"]


def test_another_tenants_database_is_left_alone(platform: Platform, blank: MadeTenant) -> None:
    platform.run_job(blank)
    outcome = platform.run_job(blank, HOA_TENANT_ID=str(uuid4()))
    assert outcome.returncode == migrate.PERMANENT
    assert result(outcome)["reason"] == "IdentityMismatch"


@pytest.mark.parametrize(
    ("changed", "code", "reason"),
    [
        ({"HOA_TARGET_REVISION": "9999"}, migrate.PERMANENT, "WrongRevision"),
        ({"HOA_OWNER_ROLE": ""}, migrate.PERMANENT, "InvalidEnvironment"),
        ({"HOA_TENANT_ID": "seabreeze"}, migrate.PERMANENT, "InvalidEnvironment"),
        ({"PGPORT": "1"}, migrate.PASSING, "OperationalError"),
        ({"HOA_APP_ROLE": "nobody_at_all"}, migrate.UNEXPECTED, "UndefinedObject"),
    ],
)
def test_what_goes_wrong_has_a_code_and_a_reason(
    platform: Platform, blank: MadeTenant, changed: dict[str, str], code: int, reason: str
) -> None:
    outcome = platform.run_job(blank, **changed)
    assert outcome.returncode == code
    answer = result(outcome)
    assert (answer["result"], answer["reason"]) == ("error", reason)
    assert blank.migrator_password not in outcome.stdout + outcome.stderr


def test_a_database_from_the_future_is_left_alone(platform: Platform, blank: MadeTenant) -> None:
    platform.run_job(blank)
    with blank.as_admin() as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    outcome = platform.run_job(blank)
    assert outcome.returncode == migrate.PERMANENT
    assert result(outcome)["reason"] == "DatabaseNewer"


def test_a_held_lock_passes(platform: Platform, blank: MadeTenant, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in platform.job_environment(blank).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(migrate, "LOCK_TIMEOUT", 0.2)
    with blank.as_admin() as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", (migrate.LOCK_KEY,))
        assert migrate.main([], platform.job_environment(blank)) == migrate.PASSING


def test_a_clone_of_the_template(platform: Platform, blank: MadeTenant) -> None:
    """The operator's way: migrate a template, clone it, give its objects to the tenant's owner, run the Job."""
    template = f"hoa_connect_template_{uuid4().hex[:6]}"
    owner, login = f"{template}_owner", f"{template}_migrator"
    database = sql.Identifier(blank.prefix)
    with psycopg.connect(platform.access.dsn(), autocommit=True) as connection:
        for statement in (
            sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(owner)),
            sql.SQL("CREATE ROLE {} LOGIN NOINHERIT PASSWORD 'x'").format(sql.Identifier(login)),
            sql.SQL("GRANT {} TO {}").format(sql.Identifier(owner), sql.Identifier(login)),
            sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(template), sql.Identifier(owner)),
        ):
            connection.execute(statement)
        outcome = platform.run_job(
            blank, "--template", PGDATABASE=template, PGUSER=login, PGPASSWORD="x", HOA_OWNER_ROLE=owner
        )
        assert outcome.returncode == 0, outcome.stdout
        assert result(outcome)["invitation"] is None
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(database))
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(database, sql.Identifier(template)))
        with psycopg.connect(platform.access.dsn(blank.prefix), autocommit=True) as inside:
            inside.execute(
                sql.SQL("REASSIGN OWNED BY {} TO {}").format(
                    sql.Identifier(owner), sql.Identifier(f"{blank.prefix}_owner")
                )
            )
        role = sql.Identifier(f"{blank.prefix}_app")
        tenant_setting = sql.SQL("ALTER ROLE {} IN DATABASE {} SET app.current_tenant = {}")
        connection.execute(tenant_setting.format(role, database, sql.Literal(str(blank.id))))
        outcome = platform.run_job(blank)
        assert outcome.returncode == 0, outcome.stdout
        assert (result(outcome)["fromRevision"], result(outcome)["invitation"]) == (HEAD, "Created")
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(template)))
        connection.execute(sql.SQL("DROP ROLE {}, {}").format(sql.Identifier(login), sql.Identifier(owner)))
    with blank.as_app() as connection:
        assert connection.execute("SELECT current_tenant()").fetchone() == (blank.id,)


def test_sql_that_does_not_note_its_revision_is_undone(
    platform: Platform, blank: MadeTenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in platform.job_environment(blank).items():
        monkeypatch.setenv(name, value)
    cut_off = {"0002": "CREATE TABLE half_made (id int)"}
    monkeypatch.setattr(serving, "sql_of", cut_off.get)
    assert migrate.main([], platform.job_environment(blank)) == migrate.PERMANENT
    with blank.as_admin() as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchone() == ("0001",)
        assert connection.execute("SELECT to_regclass('half_made')").fetchone() == (None,)


def test_sql_and_alembic_make_the_same(platform: Platform) -> None:
    """The Job runs a revision's SQL where it has some; alembic would have made the same, and noted the same revision."""

    def climb(connection: psycopg.Connection[Any]) -> None:
        migrate._climb(connection)

    def by_alembic(connection: psycopg.Connection[Any]) -> None:
        run.upgrade(connection, "head")

    assert [revision for revision in serving.known_revisions() if serving.sql_of(revision)], "nothing to compare"
    made = [_made_by(platform, way) for way in (climb, by_alembic)]
    assert made[0] == made[1]


def _made_by(platform: Platform, way: Callable[[psycopg.Connection[Any]], None]) -> tuple[object, str]:
    """The revision and the schema that are in a new database after it."""
    name = f"scratch_{uuid4().hex[:8]}"
    with psycopg.connect(platform.access.dsn(), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            with psycopg.connect(platform.access.dsn(name), autocommit=True) as inside:
                way(inside)
                noted = inside.execute("SELECT version_num FROM alembic_version").fetchone()
            command = [str(postgres_bin() / "pg_dump"), "--schema-only", "--no-owner", platform.access.dsn(name)]
            text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        finally:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
    # Newer programs of Postgres put a key of their own into every dump.
    return noted, "\n".join(line for line in text.splitlines() if not line.startswith(("\\restrict", "\\unrestrict")))

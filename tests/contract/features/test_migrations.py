"""Every revision after the oldest schema served, put through a real Postgres; and seeded bad ones, each caught by both halves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import sql

from hack.migrations.__main__ import Line, lint
from hack.migrations.recording import read
from hoa_app.migrations import run, serving
from tests.contract.app.browser import add_user
from tests.contract.catalog import WATCH, Catalog, harm
from tests.overlay import HEAD, make_release

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.contract.app.platform import MadeTenant, Platform

NEW = "CREATE TABLE notes (id uuid PRIMARY KEY, body text NOT NULL)"
BAD = {
    "a column is dropped": (["ALTER TABLE users DROP COLUMN terms_version"], "users.terms_version is gone"),
    "a column is renamed": (["ALTER TABLE users RENAME COLUMN terms_version TO terms"], "users.terms_version is gone"),
    "a table is dropped": (["DROP TABLE import_errors"], "import_errors is gone"),
    "a table is renamed": (["ALTER TABLE import_errors RENAME TO faults"], "import_errors is gone"),
    "a column must be given": (["ALTER TABLE import_errors ADD note text NOT NULL"], "import_errors.note must be given"),
    "a column becomes stricter": (["ALTER TABLE users ALTER password_hash SET NOT NULL"], "users.password_hash must be"),
    "a default goes": (["ALTER TABLE outbox ALTER COLUMN attempts DROP DEFAULT"], "outbox.attempts must be given now"),
    "another type": (["ALTER TABLE outbox ALTER attempts TYPE bigint"], "outbox.attempts has another type"),
    "a rewrite": (["ALTER TABLE users ADD COLUMN key uuid DEFAULT gen_random_uuid()"], "users was rewritten"),
    "an index in the way": (["CREATE INDEX users_name ON users (name)"], "users could not be written"),
    "a unique index": (["CREATE UNIQUE INDEX users_mail ON users (email)"], "users_mail refuses rows"),
    "a check": (["ALTER TABLE users ADD CONSTRAINT n CHECK (name <> 'x')"], "users was read row by row"),
    "a check that is not validated": (["ALTER TABLE users ADD CONSTRAINT n CHECK (name <> 'x') NOT VALID"], "n refuses rows"),
    "a validation in the way": (
        [
            "ALTER TABLE users ADD COLUMN note text, ADD CONSTRAINT n CHECK (note <> 'x') NOT VALID",
            "ALTER TABLE users VALIDATE CONSTRAINT n",
        ],
        "users was read row by row",
    ),
    "a constraint that others name": (["ALTER TABLE users DROP CONSTRAINT users_tenant_key CASCADE"], "users_tenant_key is gone"),
    "no row-level security": ([NEW], "notes shows rows of every tenant"),
    "row-level security is taken off": (["ALTER TABLE users NO FORCE ROW LEVEL SECURITY"], "users shows rows"),
}  # fmt: skip
GOOD = """
    op.execute("CREATE TABLE notes (id uuid PRIMARY KEY, body text NOT NULL UNIQUE)")
    tenant_table(op, "notes")
    op.execute("ALTER TABLE users ADD COLUMN note text, ADD COLUMN seen timestamptz NOT NULL DEFAULT now()")
    op.execute("ALTER TABLE users ALTER COLUMN name DROP NOT NULL")
"""
ONLINE = """
    from hoa_app.migrations.online import create_index
    create_index(op, "users_name", "users (tenant_id, name)")
"""
BATCHES = """
    from hoa_app.migrations.online import in_batches
    in_batches(op, "UPDATE users SET terms_version = 'v1' WHERE email LIKE '%@grown.example' AND id IN"
        " (SELECT id FROM users WHERE terms_version IS NULL LIMIT 2)")
"""


@pytest.fixture(scope="module")
def grown(platform: Platform) -> MadeTenant:
    """A tenant with people, whose database is copied for every case."""
    made = platform.make_tenant("grown")
    for number in range(5):
        add_user(made, "manager", f"manager-{number}@grown.example")
    return made


@pytest.fixture
def copied(platform: Platform, grown: MadeTenant) -> Iterator[psycopg.Connection[Any]]:
    """A copy of its database, whose DDL is watched; the connection acts as the tables' owner for the tenant."""
    name, owner = sql.Identifier(f"{grown.prefix}_copy"), sql.Identifier(f"{grown.prefix}_owner")
    made = sql.SQL("CREATE DATABASE {} TEMPLATE {} OWNER {}").format(name, sql.Identifier(grown.prefix), owner)
    with psycopg.connect(platform.access.dsn(), autocommit=True) as admin:
        admin.execute(made)
        with psycopg.connect(platform.access.dsn(f"{grown.prefix}_copy"), autocommit=True) as connection:
            connection.execute(WATCH)
            connection.execute("SELECT set_config('app.current_tenant', %s, false)", (str(grown.id),))
            yield connection
        admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


def migrate(connection: psycopg.Connection[Any], owner: str, scripts: Path, revision: str = "head") -> list[str]:
    """Run a revision as the Job does; return the harm it did."""
    before = Catalog.read(connection)
    connection.execute("DELETE FROM watch.seen")
    connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(owner)))
    run.upgrade(connection, revision, scripts)
    connection.execute("RESET ROLE")
    found = harm(before, Catalog.read(connection), connection)
    contracts = {thing for made in read(scripts / "versions")[0] for thing in made.contracts}
    return [f"{thing} {what}" for thing, what in found if thing not in contracts]


def scripts_with(folder: Path, upgrade: str) -> Path:
    return make_release(folder, "expand", "case", upgrade).app / "hoa_app" / "migrations"


def said_by_the_linter(scripts: Path) -> list[str]:
    return [str(finding) for finding in lint(Line(scripts / "versions", HEAD, HEAD, tenants=True))]


@pytest.mark.parametrize("case", BAD)
def test_a_bad_revision_is_caught_by_what_it_does_and_by_what_it_says(
    copied: psycopg.Connection[Any], grown: MadeTenant, tmp_path: Path, case: str
) -> None:
    statements, expected = BAD[case]
    scripts = scripts_with(tmp_path, "".join(f"    op.execute({text!r})\n" for text in statements))
    if "password_hash" in expected:
        copied.execute("DELETE FROM users WHERE password_hash IS NULL")
    done = migrate(copied, f"{grown.prefix}_owner", scripts)
    assert any(what.startswith(expected) for what in done), done
    assert said_by_the_linter(scripts), "the linter let it pass"


@pytest.mark.parametrize("upgrade", [GOOD, ONLINE])
def test_a_good_revision_does_no_harm(
    copied: psycopg.Connection[Any], grown: MadeTenant, tmp_path: Path, upgrade: str
) -> None:
    scripts = scripts_with(tmp_path, upgrade)
    assert migrate(copied, f"{grown.prefix}_owner", scripts) == []
    assert said_by_the_linter(scripts) == []


def test_an_index_left_half_made_is_made_anew(
    copied: psycopg.Connection[Any], grown: MadeTenant, tmp_path: Path
) -> None:
    with pytest.raises(psycopg.errors.UniqueViolation):
        copied.execute("CREATE UNIQUE INDEX CONCURRENTLY users_name ON users (tenant_id, (1))")
    assert Catalog.read(copied).invalid == ["users_name"]
    scripts = scripts_with(tmp_path, ONLINE)
    assert migrate(copied, f"{grown.prefix}_owner", scripts) == []


def test_rows_are_changed_in_batches_until_none_is_left(
    copied: psycopg.Connection[Any], grown: MadeTenant, tmp_path: Path
) -> None:
    scripts = scripts_with(tmp_path, BATCHES)
    assert migrate(copied, f"{grown.prefix}_owner", scripts) == []
    assert said_by_the_linter(scripts) == []
    left = copied.execute(
        "SELECT count(*), count(DISTINCT xmin::text) FROM users WHERE terms_version = 'v1'"
    ).fetchone()
    assert left == (5, 3)


def test_the_revisions_that_old_and_new_app_share_do_no_harm(platform: Platform, tmp_path: Path) -> None:
    later = [revision for revision in serving.known_revisions() if revision > serving.OLDEST_SERVED]
    tenant = platform.make_tenant("stepwise")
    owner = f"{tenant.prefix}_owner"
    with psycopg.connect(platform.access.dsn(tenant.prefix), autocommit=True) as connection:
        connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(owner)))
        run.downgrade(connection, serving.OLDEST_SERVED)
        connection.execute("RESET ROLE")
        connection.execute(WATCH)
        connection.execute("SELECT set_config('app.current_tenant', %s, false)", (str(tenant.id),))
        harmed = [(revision, migrate(connection, owner, run.SCRIPTS, revision)) for revision in later]
        assert [entry for entry in harmed if entry[1]] == []

"""The linter of migrations: every seeded bad revision is caught, with its line and what to do instead; good ones pass."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hack.migrations import rendering
from hack.migrations.__main__ import Line, lines, lint
from hack.migrations.recording import read
from hack.migrations.words import statements
from tests.programs import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Sequence

FIRST = """
    op.execute("CREATE TABLE users (id uuid PRIMARY KEY, email text NOT NULL, age integer DEFAULT 0, fax text)")
    tenant_table(op, "users")
    op.execute("CREATE TABLE old_things (id uuid PRIMARY KEY)")
    tenant_table(op, "old_things")
    op.execute("CREATE UNIQUE INDEX users_email ON users (tenant_id, email)")
"""
HEADER = '''"""A revision."""

from alembic import op

from hoa_app.migrations.online import create_index, drop_index, in_batches
from hoa_app.migrations.rls import tenant_table

revision = "{number}"
down_revision = {before!r}
contracts = {contracts!r}


def upgrade():
'''


def write(
    folder: Path, number: str, upgrade: str, contracts: dict[str, str] | None = None, before: str | None = ""
) -> Path:
    path = folder / f"{number}_change.py"
    previous = f"{int(number) - 1:04d}" if int(number) > 1 else None
    given = previous if before == "" else before
    path.write_text(HEADER.format(number=number, before=given, contracts=contracts or {}) + upgrade)
    return path


def found(folder: Path, *upgrades: str, oldest: str = "0001", contracts: dict[str, str] | None = None) -> list[str]:
    """Lint the first release and these revisions; the last one has the contracts."""
    write(folder, "0001", FIRST)
    for place, upgrade in enumerate(upgrades, start=2):
        last = place == len(upgrades) + 1
        write(folder, f"{place:04d}", upgrade, contracts if last else None)
    return [str(finding) for finding in lint(Line(folder, "0001", oldest, tenants=True))]


def sql(*texts: str) -> str:
    return "".join(f"    op.execute({text!r})\n" for text in texts)


BAD: Sequence[tuple[str, str]] = (
    ("ALTER TABLE users DROP COLUMN fax", "column users.fax is dropped"),
    ("ALTER TABLE users DROP IF EXISTS fax", "column users.fax is dropped"),
    ("alter table only public.users drop column fax cascade", "column users.fax is dropped"),
    ('ALTER TABLE "users" DROP COLUMN "fax"', "column users.fax is dropped"),
    ("ALTER TABLE users /* quietly */ DROP -- it\n COLUMN fax", "column users.fax is dropped"),
    ("SELECT 1; ALTER TABLE users DROP COLUMN fax", "column users.fax is dropped"),
    ("ALTER TABLE users ADD COLUMN note text, DROP COLUMN fax", "column users.fax is dropped"),
    ("DROP TABLE old_things", "table old_things is dropped"),
    ("DROP TABLE old_things CASCADE", "CASCADE takes away what is not named"),
    ("DROP INDEX users_email", "drop_index of"),
    ("DROP FUNCTION current_tenant()", "function current_tenant is dropped"),
    ("ALTER TABLE users RENAME COLUMN fax TO telefax", "add the new one beside the old one"),
    ("ALTER TABLE users RENAME TO people", "add the new one beside the old one"),
    ("ALTER TABLE users ADD COLUMN note text NOT NULL", "NOT NULL without a default"),
    ("ALTER TABLE users ADD COLUMN key uuid DEFAULT gen_random_uuid()", "rewrites the table"),
    ("ALTER TABLE users ADD COLUMN key uuid NOT NULL DEFAULT gen_random_uuid()", "rewrites the table"),
    ("ALTER TABLE users ADD number bigserial", "rewrites the table"),
    ("ALTER TABLE users ADD number bigint GENERATED ALWAYS AS IDENTITY", "rewrites the table"),
    ("ALTER TABLE users ADD COLUMN low text GENERATED ALWAYS AS (lower(email)) STORED", "rewrites the table"),
    ("ALTER TABLE users ADD COLUMN note text UNIQUE", "UNIQUE checks every row"),
    ("ALTER TABLE users ADD COLUMN note text CHECK (note <> '')", "CHECK checks every row"),
    ("ALTER TABLE users ADD COLUMN thing uuid REFERENCES old_things", "REFERENCES checks every row"),
    ("ALTER TABLE users ALTER COLUMN age TYPE bigint", "another type of column users.age rewrites"),
    ("ALTER TABLE users ALTER age SET DATA TYPE bigint", "another type of column users.age rewrites"),
    ("ALTER TABLE users ALTER COLUMN fax SET NOT NULL", "CHECK (fax IS NOT NULL) NOT VALID"),
    ("ALTER TABLE users ALTER COLUMN age DROP DEFAULT", "the default of column users.age is taken away"),
    ("CREATE INDEX users_fax ON users (fax)", "create_index of"),
    ("CREATE INDEX CONCURRENTLY users_fax ON users (fax)", "does not work in a transaction"),
    ("CREATE UNIQUE INDEX users_fax ON users (fax)", "unique index users_fax refuses rows"),
    ("ALTER TABLE users ADD CONSTRAINT fax CHECK (fax <> '')", "add it NOT VALID"),
    ("ALTER TABLE users ADD CONSTRAINT fax CHECK (fax <> '') NOT VALID", "constraint fax on users refuses rows"),
    ("ALTER TABLE users ADD CONSTRAINT fax UNIQUE (fax)", "ADD CONSTRAINT ... USING INDEX"),
    ("ALTER TABLE users ADD UNIQUE (fax)", "without a name"),
    ("ALTER TABLE users ADD FOREIGN KEY (id) REFERENCES old_things", "without a name"),
    ("ALTER TABLE users DROP CONSTRAINT users_pkey", "constraint users_pkey on users is dropped"),
    ("ALTER TABLE users DISABLE ROW LEVEL SECURITY", "one of the locks between tenants"),
    ("ALTER TABLE users NO FORCE ROW LEVEL SECURITY", "one of the locks between tenants"),
    ("DROP POLICY tenant_isolation ON users", "one of the locks between tenants"),
    ("ALTER TABLE users SET UNLOGGED", "not among the changes that migrations here make"),
    ("ALTER TYPE colour RENAME TO color", "only ADD VALUE"),
    ("CREATE TABLE notes (id uuid PRIMARY KEY)", "call tenant_table(op, 'notes')"),
    ("CREATE TABLE notes (id uuid, tenant_id uuid NOT NULL)", "call tenant_table(op, 'notes')"),
    ("CREATE TABLE notes AS SELECT * FROM users", "list its columns"),
    ("UPDATE users SET fax = ''", "in_batches of"),
    ("DELETE FROM old_things", "in_batches of"),
    ("TRUNCATE old_things", "in_batches of"),
    ("INSERT INTO old_things SELECT id FROM users", "in_batches of"),
    ("WITH gone AS (DELETE FROM users RETURNING *) SELECT * FROM gone", "not among the statements"),
    ("DO $$ BEGIN EXECUTE 'DROP TABLE users'; END $$", "what a DO block does is seen only when it runs"),
    ("SET LOCAL lock_timeout = 0", "the migration Job sets the timeouts"),
    ("SELECT * INTO copies FROM users", "SELECT with INTO does more than read"),
    ("SELECT set_config('lock_timeout', '0', true)", "SELECT with SET_CONFIG does more than read"),
    ("GRANT SELECT ON users TO PUBLIC", "never to PUBLIC"),
    ("ALTER FUNCTION current_tenant() RENAME TO tenant_now", "not among the statements"),
    ("LOCK TABLE users", "not among the statements"),
    ("VACUUM FULL users", "not among the statements"),
    ("CREATE FUNCTION f() RETURNS int LANGUAGE sql SECURITY DEFINER AS $$ SELECT 1 $$", "without SET search_path"),
)


@pytest.mark.parametrize(("statement", "said"), BAD, ids=[statement for statement, _ in BAD])
def test_a_bad_statement_is_caught_where_it_stands(tmp_path: Path, statement: str, said: str) -> None:
    findings = found(tmp_path, sql("COMMENT ON TABLE users IS 'people'", statement))
    assert any(said in finding for finding in findings), findings
    assert all(finding.startswith(f"{tmp_path / '0002_change.py'}:15: ") for finding in findings), findings


GOOD = (
    "ALTER TABLE users ADD COLUMN note text",
    "ALTER TABLE users ADD COLUMN IF NOT EXISTS note text NOT NULL DEFAULT ''",
    "ALTER TABLE users ADD COLUMN at timestamptz NOT NULL DEFAULT now(), ADD COLUMN size numeric(10, 2) DEFAULT 0",
    "ALTER TABLE users ALTER COLUMN email DROP NOT NULL",
    "ALTER TABLE users ALTER COLUMN age SET DEFAULT 7",
    "CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql AS $$ UPDATE users SET fax = 'DROP TABLE users; --' $$",
    "COMMENT ON COLUMN users.fax IS 'ALTER TABLE users DROP COLUMN fax; it''s only said'",
    "INSERT INTO old_things (id) VALUES (gen_random_uuid())",
)


@pytest.mark.parametrize("statement", GOOD)
def test_what_expands_passes(tmp_path: Path, statement: str) -> None:
    assert found(tmp_path, sql(statement)) == []


def test_a_whole_release_in_steps_passes(tmp_path: Path) -> None:
    table = sql("CREATE TABLE notes (id uuid PRIMARY KEY, user_id uuid REFERENCES users (id), body text UNIQUE)")
    rest = sql("CREATE INDEX notes_user ON notes (user_id)", "ALTER TABLE notes ADD UNIQUE (tenant_id, id)")
    steps = (
        table + "    tenant_table(op, 'notes')\n" + rest,
        sql("ALTER TABLE users ADD COLUMN telefax text", "ALTER TABLE users ADD note_id uuid"),
        sql("ALTER TABLE users ADD CONSTRAINT noted FOREIGN KEY (note_id) REFERENCES notes NOT VALID"),
        sql("ALTER TABLE users VALIDATE CONSTRAINT noted"),
        "    create_index(op, 'users_fax', 'users (fax)')\n",
        "    create_index(op, 'users_note', 'users (note_id)', unique=True)\n",
        "    in_batches(op, 'UPDATE users SET telefax = fax WHERE id IN (SELECT id FROM users LIMIT 1000)')\n",
        "    drop_index(op, 'users_fax')\n",
        sql("ALTER TABLE users DROP COLUMN note_id"),
    )
    assert found(tmp_path, *steps) == []


def test_what_runs_alone_stands_alone(tmp_path: Path) -> None:
    findings = found(tmp_path, sql("COMMENT ON TABLE users IS 'x'") + "    create_index(op, 'a', 'users (fax)')\n")
    assert len(findings) == 1
    assert "give it a revision of its own" in findings[0]
    for statement in ("UPDATE users SET fax = ''", "ALTER TABLE users ADD COLUMN x text"):
        assert any("some rows each time" in said for said in found(tmp_path, f"    in_batches(op, {statement!r})\n"))


def test_an_index_that_on_conflict_may_name_is_dropped_one_release_later(tmp_path: Path) -> None:
    drop = "    drop_index(op, 'users_email')\n"
    assert ["which ON CONFLICT may name" in finding for finding in found(tmp_path, drop)] == [True]
    assert found(tmp_path, drop, contracts={"users_email": "0001"}) == []
    anew = "    create_index(op, 'users_email', 'users (tenant_id, email)', unique=True)\n"
    assert found(tmp_path, anew, contracts={"users_email": "0001"}) == []


def test_not_null_comes_after_a_check_that_was_validated_before(tmp_path: Path) -> None:
    add = sql("ALTER TABLE users ADD CONSTRAINT fax_set CHECK (fax IS NOT NULL) NOT VALID")
    validate = sql("ALTER TABLE users VALIDATE CONSTRAINT fax_set")
    assert found(tmp_path, add, contracts={"fax_set": "0001"}) == []
    together = found(tmp_path, add + validate, contracts={"fax_set": "0001"})
    assert ["validate it in the next revision" in finding for finding in together] == [True]
    write(tmp_path, "0002", add, {"fax_set": "0001"})
    write(tmp_path, "0003", validate)
    write(tmp_path, "0004", sql("ALTER TABLE users ALTER COLUMN fax SET NOT NULL"), {"users.fax": "0001"})
    assert lint(Line(tmp_path, "0001", "0001", tenants=True)) == []


def test_a_contract_step_names_who_lives_without_and_comes_one_release_later(tmp_path: Path) -> None:
    nothing, drop = sql("COMMENT ON TABLE users IS 'x'"), sql("ALTER TABLE users DROP COLUMN fax")
    assert found(tmp_path, nothing, drop, oldest="0002", contracts={"users.fax": "0002"}) == []
    early = found(tmp_path, nothing, drop, oldest="0001", contracts={"users.fax": "0002"})
    assert ["contract one release later" in finding for finding in early] == [True]
    for since in ("0003", "soon"):
        assert "apps before" in found(tmp_path, nothing, drop, oldest="0002", contracts={"users.fax": since})[0]
    idle = found(tmp_path, nothing, sql("ALTER TABLE users ADD x text"), contracts={"users.fax": "0001"})
    assert ["nothing here takes away" in finding for finding in idle] == [True]


def test_revisions_are_four_digits_in_one_line(tmp_path: Path) -> None:
    write(tmp_path, "0001", FIRST)
    write(tmp_path, "0003", sql("ALTER TABLE users ADD x text"), before="0001")
    (tmp_path / "4_more.py").write_text("")
    said = [str(finding) for finding in lint(Line(tmp_path, "0001", "0009", tenants=True))]
    assert any("here belongs 0002 after 0001" in finding for finding in said)
    assert any("name the file <four digits>_<what_it_does>.py" in finding for finding in said)
    assert any("OLDEST_SERVED is 0009, which is no revision" in finding for finding in said)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("    import os\n    op.execute('COMMENT ON TABLE users IS ' + os.environ['X'])\n", "does not import os"),
        ("    from hoa_app.settings import Settings\n", "does not import hoa_app.settings"),
        ("    op.add_column('users', 1)\n", "op.add_column is not read"),
        ("    op.execute(('SELECT', 1))\n", "pass op.execute the SQL as text"),
        ("    rows = op.get_bind().execute('SELECT name FROM users')\n", "without a database"),
        ("    raise ValueError('no')\n", "cannot be read without a database: ValueError: no"),
        ("    op.execute('SELECT 1'\n", "it cannot be loaded"),
    ],
)
def test_sql_follows_from_the_revisions_own_text_alone(tmp_path: Path, text: str, said: str) -> None:
    findings = found(tmp_path, text)
    assert any(said in finding for finding in findings), findings


def test_strings_comments_and_bodies_hide_nothing() -> None:
    text = "SELECT 'a;''b', E'c;\\'d' ; -- d; e\n/* f; */ SELECT $x$ g; $x$, \"h;i\""
    assert [[word.text for word in statement] for statement in statements(text)] == [
        ["select", "'a;''b'", ",", "E'c;\\'d'"],
        ["select", "$x$ g; $x$", ",", "h;i"],
    ]


def test_the_migrations_of_this_checkout_pass() -> None:
    assert [str(finding) for line in lines(REPOSITORY) for finding in lint(line)] == []


ENVIRONMENT = (REPOSITORY / "app/hoa_app/migrations/env.py").read_text()


def scripts(folder: Path, *upgrades: str) -> Path:
    """A folder of alembic's with a first revision and these."""
    versions = folder / "versions"
    versions.mkdir()
    (folder / "env.py").write_text(ENVIRONMENT)
    write(versions, "0001", FIRST)
    for place, upgrade in enumerate(upgrades, start=2):
        write(versions, f"{place:04d}", upgrade)
    return versions


def test_the_sql_beside_a_revision_is_what_alembic_would_run(tmp_path: Path) -> None:
    texts = ("UPDATE users SET fax = NULL WHERE email LIKE '%@x.example' AND age::text <> '7'", "DROP TABLE old_things")
    versions = scripts(tmp_path, sql(*texts), '    create_index(op, "users_age", "users (tenant_id, age)")\n')
    rendering.write(versions)
    assert [path.name for path in versions.glob("*.sql")] == ["0002_change.sql"], (
        "neither the first nor what runs alone"
    )
    written = (versions / "0002_change.sql").read_text()
    noted = "UPDATE alembic_version SET version_num='0002' WHERE alembic_version.version_num = '0001'"
    lines_of_it = [line for line in written.splitlines() if line and not line.startswith("--")]
    assert lines_of_it == [f"{text};" for text in (*texts, noted)]
    assert list(rendering.stale(versions)) == []


@pytest.mark.parametrize(
    "text",
    [
        "UPDATE users SET fax = replace(fax, '\t', ' ')",
        "ALTER TABLE users DROP COLUMN fax -- nobody has one",
        "UPDATE users SET fax = 'at :nine'",
    ],
    ids=["a tab", "a comment at the end", "a colon"],
)
def test_what_alembic_would_not_write_down_as_it_sends_it_has_no_sql(tmp_path: Path, text: str) -> None:
    versions = scripts(tmp_path, sql(text))
    rendering.write(versions)
    assert list(versions.glob("*.sql")) == []


def test_sql_that_is_not_its_revisions_is_found(tmp_path: Path) -> None:
    versions = scripts(tmp_path, sql("DROP TABLE old_things"), sql("ALTER TABLE users DROP COLUMN fax"))
    rendering.write(versions)
    (versions / "0002_change.sql").unlink()
    with (versions / "0003_change.sql").open("a") as file:
        file.write("DROP TABLE users;")
    (versions / "0004_gone.sql").write_text("DROP TABLE users;")
    found = {finding.path.name: finding.what for finding in rendering.stale(versions)}
    assert set(found) == {"0002_change.sql", "0003_change.sql", "0004_gone.sql"}
    assert all("python -m hack.migrations --write" in what for what in found.values())
    rendering.write(versions)
    assert list(rendering.stale(versions)) == []
    assert not (versions / "0004_gone.sql").exists()


def test_the_sql_of_this_checkout_says_all_that_its_revisions_do() -> None:
    (folder,) = (line.folder for line in lines(REPOSITORY) if line.tenants)
    revisions, _ = read(folder)
    written = [(revision, revision.path.with_suffix(".sql")) for revision in revisions]
    assert [path.name for _, path in written if path.exists()] == ["0002_communities.sql"]
    assert list(rendering.stale(folder)) == []
    for revision, path in written:
        if path.exists():
            known = path.read_text()
            assert all(f"\n{statement.sql.strip()};\n" in known for statement in revision.statements)

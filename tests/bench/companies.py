"""What django-tenants makes of the same tenants: a schema each in one database, with the tables of the same data."""

from __future__ import annotations

import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Final

import psycopg
from psycopg import sql

from tests.bench import peers
from tests.bench.peer_servers import django_environment
from tests.fix_postgres import postgres_bin

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tests.fix_postgres import PostgresAccess

DATABASE: Final = "companies"
BASE: Final = "base"
_CHANGE: Final = '''"""One column more."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("homes", "0001_initial")]
    operations = [migrations.AddField("User", "bench_note", models.TextField(null=True))]
'''


@dataclass
class Companies:
    """One database of django-tenants; `clone` has new schemas cloned from one that was migrated."""

    access: PostgresAccess
    makers: list[subprocess.Popen[str]]
    numbers: Iterator[int] = field(default_factory=count)

    @classmethod
    @contextmanager
    def made_by(cls, access: PostgresAccess, *, clone: bool) -> Iterator[Companies]:
        """Have as many processes as there are cores ready to make companies, Django started once and for all."""
        environment = {**_environment(access), **({"BASE_SCHEMA": BASE} if clone else {})}
        with ExitStack() as stack:
            makers = [stack.enter_context(_maker(environment)) for _ in range(os.cpu_count() or 1)]
            made = cls(access, makers)
            # The first clone makes the function that clones; two of them at once would both want to.
            first = f"first_{makers[0].pid}"
            _make(makers[0], [first])
            made.drop([first])
            yield made

    def make(self, number: int) -> list[str]:
        """Make so many, several at once; return when all are there."""
        slugs = [f"company{next(self.numbers)}_{self.makers[0].pid}" for _ in range(number)]
        shares = [slugs[index :: len(self.makers)] for index in range(len(self.makers))]
        with ThreadPoolExecutor(len(self.makers)) as threads:
            list(threads.map(_make, self.makers, shares))
        return slugs

    def tables(self, slugs: Sequence[str]) -> set[int]:
        """Return how many tables the schemas have, each number once."""
        with psycopg.connect(self.access.dsn(DATABASE)) as connection:
            query = "SELECT count(*) FROM pg_tables WHERE schemaname = %s"
            return {row[0] for slug in slugs for row in connection.execute(query, [slug]).fetchall()}

    def drop(self, slugs: Sequence[str]) -> None:
        """Take companies and schemas away."""
        with psycopg.connect(self.access.dsn(DATABASE), autocommit=True) as connection:
            for slug in slugs:
                connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(slug)))
            connection.execute("DELETE FROM company_company WHERE schema_name = ANY(%s)", [list(slugs)])


def prepare(access: PostgresAccess) -> None:
    """Make the database, what the companies share, and the schema that others are cloned from."""
    with psycopg.connect(access.dsn(), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
    migrate(access, "--shared")
    with _maker(_environment(access)) as maker:
        _make(maker, [BASE])


def fill(access: PostgresAccess, number: int) -> None:
    """Make so many companies by restoring a dump of the base schema: the same as by its migrations, in a fraction of the time."""
    dump = [str(postgres_bin() / "pg_dump"), "--schema", BASE, "--inserts", "--no-owner", "--no-privileges"]
    done = subprocess.run([*dump, access.dsn(DATABASE)], check=True, capture_output=True, text=True)
    # What psql alone understands is left out.
    base = "\n".join(line for line in done.stdout.splitlines() if not line.startswith("\\"))
    with psycopg.connect(access.dsn(DATABASE), autocommit=True) as connection:
        for index in range(number):
            slug = f"filled{index}"
            restore = base.replace(f"{BASE}.", f"{slug}.").replace(f"SCHEMA {BASE};", f"SCHEMA {slug};")
            connection.execute(restore.encode(), prepare=False)
            connection.execute("RESET ALL")
            add = "INSERT INTO company_company (schema_name, name) VALUES (%s, %s)"
            connection.execute(add, [slug, slug])


def migrate(access: PostgresAccess, *arguments: str, source: Path = peers.FOLDER / "django_tenants") -> None:
    """Bring schemas to the head; `source` holds its packages."""
    environment = _environment(access)
    environment["PYTHONPATH"] = f"{source}{os.pathsep}{environment['PYTHONPATH']}"
    command = [*_django(), "migrate_schemas", "--verbosity=0", *arguments]
    done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def columns(access: PostgresAccess, name: str) -> int:
    """Return in how many tables of all schemas there is a column of that name."""
    with psycopg.connect(access.dsn(DATABASE)) as connection:
        query = "SELECT count(*) FROM information_schema.columns WHERE column_name = %s"
        row = connection.execute(query, [name]).fetchone()
    assert row is not None
    return int(row[0])


def changed(folder: Path) -> Path:
    """Return its packages with one migration more, of one column."""
    source = folder / "django-changed"
    shutil.copytree(peers.FOLDER / "django_tenants", source)
    (source / "homes" / "migrations" / "0002_note.py").write_text(_CHANGE)
    return source


def _environment(access: PostgresAccess) -> dict[str, str]:
    return django_environment(access, DATABASE)


def _django() -> list[str]:
    return [str(peers.ensure("django_tenants")), "-m", "django"]


@contextmanager
def _maker(environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    command = [*_django(), "make_companies"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, text=True, bufsize=1) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()
        process.wait(30)


def _make(maker: subprocess.Popen[str], slugs: Sequence[str]) -> None:
    assert maker.stdin is not None
    assert maker.stdout is not None
    for slug in slugs:
        maker.stdin.write(f"{slug}\n")
        maker.stdin.flush()
        assert maker.stdout.readline().strip() == slug, "django-tenants did not make it"

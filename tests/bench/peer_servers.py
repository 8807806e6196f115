"""The peers as servers: each is given the tenant's rows in tables of its own, and runs as its documentation says."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import psycopg
from psycopg import sql

import hoa_app
from tests.bench import peers
from tests.bench.contestants import CONNECTIONS, Contestant, inherited, secret_of
from tests.bench.lab import SERVER_CORE
from tests.processes import free_port

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.bench.lab import Lab
    from tests.bench.neighbourhood import Neighbourhood
    from tests.fix_postgres import PostgresAccess

REPOSITORY: Final = peers.FOLDER.parents[2]
TABLES: Final = ("users", "sessions", "settings", "communities", "units", "people", "invitations", "ownerships")
#: gunicorn: 2 x cores + 1 workers; the threaded kind, because the plain one closes the connection after each answer.
GUNICORN: Final = (
    "--workers",
    "3",
    "--worker-class",
    "gthread",
    "--threads",
    "4",
    "--keep-alive",
    "60",
    "--no-control-socket",
)
CSRF: Final = "c" * 32


def start_django(lab: Lab, home: Neighbourhood) -> Contestant:
    """Start Django with django-tenants: one database, a schema per tenant, Django's own sessions."""
    access, port, database = home.tenant.platform.access, free_port(), f"django_{home.tenant.slug}"
    python = str(peers.ensure("django_tenants"))
    env = django_environment(access, database)
    _make_database(access, database)
    for command in (
        ["migrate_schemas", "--shared", "--verbosity=0"],
        ["make_company", home.tenant.slug, home.tenant.host],
    ):
        subprocess.run([python, "-m", "django", *command], env=env, check=True)
    copy_rows(access, home.tenant.prefix, database, home.tenant.slug)
    sign_in = [python, "-m", "django", "sign_in", home.tenant.slug, str(len(home.staff))]
    sessions = subprocess.run(sign_in, env=env, check=True, capture_output=True, text=True).stdout.split()
    assert len(sessions) == len(home.staff)
    browsers = [{"Cookie": f"sessionid={key}; csrftoken={CSRF}", "X-CSRFToken": CSRF} for key in sessions]
    command = [python, "-m", "gunicorn", "company.wsgi", f"--bind=127.0.0.1:{port}", *GUNICORN]
    process = lab.start("django-tenants", command, env, core=SERVER_CORE)
    return Contestant("django-tenants", port, home.tenant.host, browsers, process).wait()


def django_environment(access: PostgresAccess, database: str) -> dict[str, str]:
    """Return what Django is told; its folder is the root of its packages."""
    return {
        **inherited(),
        "PYTHONPATH": f"{peers.FOLDER / 'django_tenants'}:{REPOSITORY}",
        "DJANGO_SETTINGS_MODULE": "company.settings",
        "TEMPLATES_OF": str(Path(hoa_app.__file__).parent),
        "PGHOST": access.host,
        "PGPORT": str(access.port),
        "PGUSER": access.username,
        "PGPASSWORD": access.password,
        "PGDATABASE": database,
    }


def start_fastapi(lab: Lab, home: Neighbourhood) -> Contestant:
    """Start FastAPI with SQLAlchemy on asyncpg: a database and an engine per tenant, sessions as rows."""
    access, port, database = home.tenant.platform.access, free_port(), f"fastapi_{home.tenant.slug}"
    python = str(peers.ensure("fastapi_sqlalchemy"))
    login = f"{access.username}:{quote(access.password, safe='')}"
    env = {
        **inherited(),
        "PYTHONPATH": str(REPOSITORY),
        "TEMPLATES_OF": str(Path(hoa_app.__file__).parent),
        "TENANTS": json.dumps(
            {home.tenant.host: f"postgresql+asyncpg://{login}@{access.host}:{access.port}/{database}"}
        ),
        "POOL_SIZE": str(CONNECTIONS),
        "PORT": str(port),
    }
    _make_database(access, database)
    program = [python, "-m", "tests.bench.peers.fastapi_sqlalchemy"]
    subprocess.run([*program, "create"], env=env, check=True)
    copy_rows(access, home.tenant.prefix, database, "public")
    process = lab.start("FastAPI", [*program, "serve"], env, core=SERVER_CORE)
    browsers = [_fastapi_browser(secret_of(one)) for one in home.staff]
    return Contestant("FastAPI", port, home.tenant.host, browsers, process).wait()


def _fastapi_browser(secret: str) -> dict[str, str]:
    return {"Cookie": f"session={secret}", "X-CSRF-Token": hashlib.sha256(f"csrf {secret}".encode()).hexdigest()}


def copy_rows(access: PostgresAccess, source: str, target: str, schema: str, tables: Iterable[str] = TABLES) -> None:
    """Copy a tenant's rows into the tables of the same names in a peer's schema, in the columns that both have."""
    with psycopg.connect(access.dsn(source)) as one, psycopg.connect(access.dsn(target)) as other:
        for table in tables:
            columns = _columns(other, schema, table)
            columns = [name for name in _columns(one, "public", table) if name in columns]
            if not columns:
                continue
            names = sql.SQL(", ").join(map(sql.Identifier, columns))
            read = sql.SQL("COPY (SELECT {} FROM {}) TO STDOUT").format(names, sql.Identifier(table))
            write = sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(schema, table), names)
            with one.cursor().copy(read) as out, other.cursor().copy(write) as into:
                for block in out:
                    into.write(block)
        other.commit()
        other.autocommit = True
        other.execute("VACUUM ANALYZE")


def _columns(connection: psycopg.Connection[Any], schema: str, table: str) -> list[str]:
    found = connection.execute(
        "SELECT column_name FROM information_schema.columns WHERE table_schema = %s AND table_name = %s ORDER BY 1",
        (schema, table),
    )
    return [row[0] for row in found.fetchall()]


def _make_database(access: PostgresAccess, name: str) -> None:
    with psycopg.connect(access.dsn(), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))

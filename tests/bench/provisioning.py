"""Provisioning: how fast does a new tenant get its database?

The database step is all that a tenant needs in Postgres: roles, database, tables, grants, defaults, the first invitation. Ours
clones a template (`CREATE DATABASE ... TEMPLATE`) and has the migration Job check and finish it. The same without the template, so
that every table is made by alembic, shows what the clone saves.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tests.bench.alternating import alternate, ratios
from tests.bench.databases import Databases, Tenant, migrations
from tests.bench.figures.table import Figure
from tests.overlay import HEAD

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import ProcessPoolExecutor

    from tests.bench.lab import Lab


def measure(lab: Lab) -> Iterator[Figure]:
    """The database step, then whole tenants at once."""
    yield from _database_step(lab)


def _database_step(lab: Lab) -> Iterator[Figure]:
    databases = Databases(lab.postgres().access)
    databases.make_template()
    number = lab.size(24, 4)
    with migrations() as pool:
        rates = alternate(
            {
                "template": _maker(databases, pool, number, HEAD),
                "zero": _maker(databases, pool, number, None),
            },
            lab.rounds,
        )
    yield Figure.over(rates["template"], "database step", "tenants/s", note=f"{number} at once")
    yield Figure.over(rates["zero"], "database step, every table made by alembic", "tenants/s")
    yield Figure.over(
        ratios(rates["template"], rates["zero"]), "database step against alembic from zero", "x", 1, at_least=True
    )


def _maker(databases: Databases, pool: ProcessPoolExecutor, number: int, template: str | None) -> Callable[[], float]:
    def make() -> float:
        tenants = [Tenant() for _ in range(number)]
        started = time.perf_counter()
        databases.make(tenants, pool, template)
        rate = number / (time.perf_counter() - started)
        tables = {
            databases.look(tenant, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") for tenant in tenants
        }
        assert len(tables) == 1, f"not all have the same tables: {tables}"
        databases.drop(tenants)
        return rate

    return make

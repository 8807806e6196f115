"""Provisioning: how fast does a new tenant get its database, and how fast do hundreds become Ready?

The database step is all that a tenant needs in Postgres: roles, database, tables, grants, defaults, the first invitation. Ours
clones a template (`CREATE DATABASE ... TEMPLATE`) and has the migration Job's code check and finish it. The same without the
template, so that every table is made by alembic, shows what the clone saves. django-tenants makes a schema with the tables of the
same data, by its migrations or, as its documentation offers, by cloning a schema; it makes neither roles nor a database, nor does
it ask row-level security of any table. Nobody starts Python anew, and each has two processes, for two cores, on the same Postgres.

Then HOATenants are created all at once on a real API server, and each one's wait from its creation to Ready is taken by one clock.
The operator, kube-apiserver, etcd, the job controller, the scheduler and Postgres share this machine. kwok ends the pods of the
migration Jobs after two seconds each, so that neither the start of a container nor a Job's own work in the database is in these
figures; those of the local node, with 20 tenants at once, have both. What the operator reads there a superuser writes once a tenant
is Ready, as its Job and the worker would have. Twelve Jobs are under way at once, as the chart has it.
The batches add up: the last one fills the installation up to 2 000 tenants.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.bench import companies, local_node
from tests.bench.alternating import alternate, ratios
from tests.bench.companies import Companies
from tests.bench.databases import Databases, Tenant, migrations
from tests.bench.figures.table import Figure
from tests.bench.installation import OPERATOR, Installation, Readiness
from tests.bench.openloop import p99
from tests.overlay import HEAD

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from concurrent.futures import ProcessPoolExecutor

    from tests.bench.lab import Lab


def measure(lab: Lab) -> Iterator[Figure]:
    """The database step, then whole tenants at once."""
    if not lab.smoke:  # tests/e2e has the cluster in that case
        yield from local_node.tenants(lab.folder)
    yield from _database_step(lab)
    yield from _at_once(Installation.create(lab), [lab.size(50, 2), lab.size(500, 4), lab.size(2000, 9)])


def _database_step(lab: Lab) -> Iterator[Figure]:
    access = lab.postgres().access
    databases = Databases(access)
    databases.make_template()
    companies.prepare(access)
    number = lab.size(24, 3)
    with (
        migrations() as pool,
        Companies.made_by(access, clone=False) as django,
        Companies.made_by(access, clone=True) as cloning,
    ):
        rates = alternate(
            {
                "template": lambda: _rate_of_ours(databases, pool, number, HEAD),
                "zero": lambda: _rate_of_ours(databases, pool, number, None),
                "django": lambda: _rate_of_django(django, number),
                "cloned": lambda: _rate_of_django(cloning, lab.size(8, 1)),
            },
            lab.rounds,
        )
    yield Figure.over(rates["template"], "database step", "tenants/s", note=f"{number} at once")
    yield Figure.over(rates["zero"], "database step, every table made by alembic", "tenants/s")
    yield Figure.over(rates["django"], "django-tenants, a schema with its migrations", "tenants/s")
    yield Figure.over(rates["cloned"], "django-tenants, a schema cloned from a base", "tenants/s")
    against = ratios(rates["template"], rates["zero"])
    yield Figure.over(against, "database step against alembic from zero", "x", 1, at_least=True)
    faster = [max(pair) for pair in zip(rates["django"], rates["cloned"], strict=True)]
    against = ratios(rates["template"], faster)
    yield Figure.over(against, "database step against django-tenants' faster way", "x", 1, at_least=True)


def _rate_of_ours(databases: Databases, pool: ProcessPoolExecutor, number: int, template: str | None) -> float:
    tenants = [Tenant() for _ in range(number)]
    started = time.perf_counter()
    databases.make(tenants, pool, template)
    rate = number / (time.perf_counter() - started)
    query = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
    tables = {databases.look(tenant, query) for tenant in tenants}
    assert len(tables) == 1, f"not all have the same tables: {tables}"
    databases.drop(tenants)
    return rate


def _rate_of_django(django: Companies, number: int) -> float:
    started = time.perf_counter()
    slugs = django.make(number)
    rate = number / (time.perf_counter() - started)
    assert len(django.tables(slugs)) == 1, f"not all have the same tables: {django.tables(slugs)}"
    django.drop(slugs)
    return rate


@dataclass(frozen=True)
class _Batch:
    """Seconds until all were Ready and each one's own; and for each, the CPU of every program and the operator's writes."""

    seconds: float
    waits: list[float]
    cpu: dict[str, float]
    writes: float


def _at_once(installation: Installation, sizes: Sequence[int]) -> Iterator[Figure]:
    """Batches of the first two sizes, then as many as there are to be in all."""
    installation.leave_jobs_to_kwok()
    few, many, all_of_them = sizes
    batches = []
    for number in (few, many, all_of_them - few - many):
        batch = _batch(installation, number)
        batches.append(batch)
        what = f"{number} tenants at once"
        total = f"{len(installation.tenants())} in all, {number / batch.seconds:.3g} a second"
        yield Figure(f"{what}, all Ready after", batch.seconds, "s", 300 if number == many else None, total)
        yield Figure(f"{what}, wait of a tenant, p99", p99(batch.waits), "s")
        parts = ", ".join(f"{name} {seconds:.2f}" for name, seconds in batch.cpu.items())
        yield Figure(f"{what}, CPU for each", sum(batch.cpu.values()), "s", note=parts)
        yield Figure(f"{what}, writes to the API for each", batch.writes, "")
    first, last = batches[0], batches[-1]
    note = f"a tenant among {all_of_them} against one among {few}"
    growth = last.cpu[OPERATOR] / first.cpu[OPERATOR]
    yield Figure("the operator's CPU for a tenant as tenants grow", growth, "x", 1.5, note)
    growth = sum(last.cpu.values()) / sum(first.cpu.values())
    yield Figure("everybody's CPU for a tenant as tenants grow", growth, "x", 1.5, note)
    growth = (last.seconds / (all_of_them - few - many)) / (batches[1].seconds / many)
    note = f"a tenant among {all_of_them} against one among {few + many}"
    yield Figure("time to Ready for a tenant as tenants grow", growth, "x", 1.5, note)
    installation.mailed()
    note = f"with {all_of_them} tenants"
    yield Figure("memory of the operator with all tenants", installation.memory(), "MiB", 150, note)


def _batch(installation: Installation, number: int) -> _Batch:
    names = [f"batch-{number}-{index:04}" for index in range(number)]
    with Readiness(installation.objects, installation.finish).followed() as readiness:
        before, writes = installation.cpu(), len(installation.writes())
        applied = installation.apply(names)
        readiness.wait_for(names, 60 + 3 * number)
        after = installation.cpu()
    return _Batch(
        seconds=max(readiness.at[name] for name in names) - min(applied.values()),
        waits=[readiness.at[name] - applied[name] for name in names],
        cpu={name: (after[name] - before[name]) / number for name in after},
        writes=(len(installation.writes()) - writes) / number,
    )

"""Fleet migration: what does it cost to look at every tenant's database, and to change all of them?

The no-op check tells of every database that it is at the wanted schema revision. Ours is the operator's own code: one query of
the catalogs, which each look begins with, and a look inside, which is a login as the app, a login as the migrator and the
tenant's own figures, which carry the revision, twelve tenants at once; no Job is started where nothing is to do. The operator
itself looks inside a tenth of a second apart when it starts, so as to leave Postgres to others: how long that takes is under
"The operator at rest and in motion". Beside it what the migration Job itself does where it finds nothing to do, and the least
there is: a connection and a query of the revision. The change adds one column: a new version of the app with one more
revision, and a migration Job of its own for each tenant, a process with a cold start that sees what the image holds,
twelve at once as the chart has it, without the time a pod
takes. In the last batch every Job under way is ended by SIGKILL once half of it is done; then what is left is run
again. django-tenants does either for all of its schemas by one command, with its executor of several processes; all
but one of its schemas were made by restoring a dump of the first, which is quicker than to make them by migrations.
"""

from __future__ import annotations

import asyncio
import os
import resource
import statistics
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import psycopg

from hoa_operator.postgres import differences
from hoa_operator.usage import Passwords, look_inside
from tests.bench import companies, images
from tests.bench.alternating import alternate, ratios
from tests.bench.databases import AT_ONCE, Databases, Tenant, migrate_here, migrations, several
from tests.bench.figures.table import Figure
from tests.overlay import HEAD, NEXT, make_release

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from concurrent.futures import ProcessPoolExecutor

    from tests.bench.images import Laid
    from tests.bench.lab import Lab
    from tests.fix_postgres import PostgresAccess

#: The one column.
CHANGE: Final = '    op.execute("ALTER TABLE users ADD COLUMN bench_note text")\n'
_STATE: Final = """
SELECT (SELECT version_num FROM alembic_version), EXISTS (SELECT FROM information_schema.columns
    WHERE table_schema = 'public' AND table_name = 'users' AND column_name = 'bench_note')
"""


def measure(lab: Lab) -> Iterator[Figure]:
    """Look at all of them, then change all of them."""
    databases = Databases(lab.postgres().access)
    databases.make_template()
    tenants = [Tenant() for _ in range(lab.size(500, 9))]
    with migrations() as pool:
        databases.make(tenants, pool)
        yield from _no_op(lab, databases, tenants, pool)
    yield from _peer(lab, databases.access, len(tenants))
    release = make_release(lab.folder, "expand", upgrade=CHANGE)
    image = images.lay_out("app", lab.folder / "image").other(release.app)
    yield from _change(databases, tenants, image)


def _no_op(lab: Lab, databases: Databases, tenants: Sequence[Tenant], pool: ProcessPoolExecutor) -> Iterator[Figure]:
    number = len(tenants)

    def operator() -> None:
        asyncio.run(_look_at_all(databases, tenants))

    def jobs() -> None:
        assert set(pool.map(migrate_here, map(databases.job, tenants))) == {HEAD}

    def bare() -> None:
        with ThreadPoolExecutor(AT_ONCE) as threads:
            revisions = threads.map(
                lambda tenant: databases.look(tenant, "SELECT version_num FROM alembic_version"), tenants
            )
            assert set(revisions) == {(HEAD,)}

    took = alternate({"operator": _timed(operator), "jobs": _timed(jobs), "bare": _timed(bare)}, lab.rounds)
    note = f"{number} databases"
    yield Figure.over(took["operator"], "no-op check of all databases", "s", 10, note)
    yield Figure.over(took["jobs"], "no-op of all migration Jobs, their code alone", "s", note=note)
    yield Figure.over(took["bare"], "a connection and one query in all databases", "s", note=note)
    yield Figure.over(ratios(took["operator"], took["bare"]), "no-op check against a bare connection", "x")


def _timed(work: Callable[[], None]) -> Callable[[], float]:
    def timed() -> float:
        started = time.perf_counter()
        work()
        return time.perf_counter() - started

    return timed


async def _look_at_all(databases: Databases, tenants: Sequence[Tenant]) -> None:
    """Look as the operator does, and find nothing to do."""
    door = databases.door()

    async def look(tenant: Tenant) -> None:
        observed = await door.observe(tenant.id)
        assert differences(tenant.spec(), observed) == ()
        reading = await look_inside(door, tenant.id, Passwords(tenant.app_password, tenant.migrator_password))
        assert reading.usage is not None
        assert reading.usage.schema_revision == HEAD

    await several(look, tenants)
    await door.close()


# django-tenants


def _peer(lab: Lab, access: PostgresAccess, number: int) -> Iterator[Figure]:
    companies.prepare(access)
    companies.fill(access, number - 1)  # and the base, which is one, too
    parallel = "--executor=multiprocessing"
    companies.migrate(access, parallel)
    looked = [_timed(lambda: companies.migrate(access, parallel))() for _ in range(lab.size(3, 1))]
    note = f"{number} schemas, its own two processes"
    yield Figure.over(looked, "no-op of migrate_schemas of django-tenants", "s", note=note)
    changed = companies.changed(lab.folder)
    seconds = _timed(lambda: companies.migrate(access, parallel, source=changed))()
    assert companies.columns(access, "bench_note") == number
    yield Figure("one column more by django-tenants, in schemas a second", number / seconds, "/s")


# A change


def _change(databases: Databases, tenants: Sequence[Tenant], image: Laid) -> Iterator[Figure]:
    third = len(tenants) // 3
    batches = [tenants[:third], tenants[third : 2 * third], tenants[2 * third :]]
    rates, costs = [], []
    for batch in batches[:2]:
        fleet = _Fleet(databases, image)
        started, cpu = time.perf_counter(), _cpu_of_ended_jobs()
        fleet.run(batch)
        rates.append(len(batch) / (time.perf_counter() - started))
        costs.append((_cpu_of_ended_jobs() - cpu) / len(batch))
        assert not fleet.failed, fleet.failed
    cores = os.cpu_count() or 1
    note = f"{cores} cores run no more than {cores / statistics.median(costs):.1f} a second, Postgres left out"
    yield Figure.over(costs, "CPU of a Job that adds one column", "s", note=note)
    note = f"{AT_ONCE} Jobs at once, each a process of its own"
    yield Figure.over(rates, "one column more, in databases a second", "/s", 4, note, at_least=True)
    yield from _interrupted(databases, batches[2], image)
    assert {_state(databases, tenant) for tenant in tenants} == {(NEXT, True)}


def _interrupted(databases: Databases, batch: Sequence[Tenant], image: Laid) -> Iterator[Figure]:
    half_way = len(batch) // 2
    killed = _Fleet(databases, image, kill_after=half_way)
    with ExitStack() as locks:
        for tenant in batch[half_way : half_way + 2]:  # theirs are under way, and in the middle of it, for certain
            locks.enter_context(_held(databases, tenant))
        killed.run(batch)
    states = [_state(databases, tenant) for tenant in batch]
    half = [state for state in states if state not in ((HEAD, False), (NEXT, True))]
    left = [tenant for tenant, state in zip(batch, states, strict=True) if state != (NEXT, True)]
    assert killed.killed, "SIGKILL met nobody"
    assert left, "SIGKILL came too late"
    note = f"{killed.killed} Jobs killed under way, {len(left)} of {len(batch)} databases left to do"
    yield Figure("databases half changed after SIGKILL", len(half), "", 0, note)
    again = _Fleet(databases, image)
    started = time.perf_counter()
    again.run(left)
    assert not again.failed, again.failed
    yield Figure("one column more, resumed after SIGKILL", len(left) / (time.perf_counter() - started), "/s")


def _cpu_of_ended_jobs() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@contextmanager
def _held(databases: Databases, tenant: Tenant) -> Iterator[None]:
    """Hold a lock that keeps the change of this tenant waiting."""
    with psycopg.connect(databases.access.dsn(tenant.database)) as connection:
        connection.execute("LOCK TABLE users IN ACCESS SHARE MODE")
        yield


def _state(databases: Databases, tenant: Tenant) -> tuple[object, ...]:
    return databases.look(tenant, _STATE)


@dataclass
class _Fleet:
    """Runs the Jobs of tenants, several at once; with `kill_after`, ends all of them by SIGKILL when so many are done."""

    databases: Databases
    image: Laid
    kill_after: int | None = None
    done: int = 0
    killed: int = 0
    failed: list[str] = field(default_factory=list)
    _running: set[subprocess.Popen[str]] = field(default_factory=set)

    def run(self, tenants: Sequence[Tenant]) -> None:
        with ThreadPoolExecutor(AT_ONCE) as threads:
            list(threads.map(self._one, tenants))

    def _one(self, tenant: Tenant) -> None:
        if self.killed:
            return
        job = {**self.databases.job(tenant), "HOA_TARGET_REVISION": NEXT, "HOA_TERMINATION_LOG": os.devnull}
        process = subprocess.Popen(
            [self.image.python, "-S", "-m", "hoa_app.migrate"],
            env=self.image.environment(job),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._running.add(process)
        try:
            said, _ = process.communicate(timeout=300)
        finally:
            process.kill()  # where it is not done by now
            self._running.discard(process)
        if process.returncode == 0:
            self.done += 1
        elif process.returncode > 0:
            self.failed.append(said)
        if self.kill_after is not None and self.done >= self.kill_after and not self.killed:
            self._kill()

    def _kill(self) -> None:
        for process in list(self._running):
            if process.poll() is None:
                self.killed += 1
                process.kill()

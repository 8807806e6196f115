"""Faults of migration Jobs, with the real program: killed in mid-DDL, run twice at once, of the wrong image, out of
patience for a lock. What was half-made is undone by Postgres; the Job runs again, or says why it must not."""

from __future__ import annotations

import json
import signal
import sys
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from hoa_app.migrations.serving import known_revisions
from tests.cluster.jobs import Fault
from tests.cluster.operating import condition, is_ready
from tests.cluster.platform import tenant
from tests.faults.grounds import Ground, Tools, installed
from tests.faults.words import lacks_words
from tests.processes import Process
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.cluster.jobs import JobRunner
    from tests.fix_postgres import PostgresAccess

Json = dict[str, Any]
HEAD = known_revisions()[-1]


@pytest.fixture(scope="module")
def ground(tools: Tools, postgres: PostgresAccess, namespace_names: Iterator[str]) -> Iterator[Ground]:
    """The installation of this file. Its template waits for its image, so that tenants start from an empty database."""
    namespace = next(namespace_names)
    held = Fault(job="template", namespace=namespace, image_pull_error=True, times=1000)
    with installed(tools, postgres, namespace, {"HOA_RESYNC_SECONDS": "3"}, held) as made:
        yield made


class Held:
    """A tenant's database in which the next migration stands still: its first policy needs a lock that is taken."""

    def __init__(self, ground: Ground, jobs: JobRunner, name: str) -> None:
        self.ground, self.name, self.jobs = ground, name, jobs
        self.namespace = ground.platform.namespace
        fault = jobs.inject(Fault(job=f"tenant-{name}", namespace=self.namespace, image_pull_error=True))
        ground.kubectl.apply(tenant(name))
        body = ground.kubectl.wait_for("hoatenant", name, _waits_for_image, 60)
        self.database = body["status"]["database"]["name"]
        self.holder = psycopg.connect(ground.platform.postgres.dsn(self.database))
        self.holder.execute("LOCK TABLE pg_catalog.pg_policy IN SHARE MODE")
        jobs.faults.remove(fault)

    def process(self) -> Process:
        """Wait until the migration runs and waits in its middle; return its process."""
        until(lambda: self.ask(_WAITING), f"the migration of {self.name} to wait in mid-DDL", 30)
        return self.jobs.processes(self.namespace, f"tenant-{self.name}")[0]

    def ask(self, query: str) -> Any:
        """Return one value from the tenant's database."""
        with psycopg.connect(self.ground.platform.postgres.dsn(self.database)) as connection:
            row = connection.execute(query).fetchone()
        return row[0] if row else None

    def release(self) -> None:
        """Let migrations go on."""
        self.holder.close()

    def is_migrated_once(self) -> None:
        """Wait until the tenant is served, and check what its database holds."""
        self.ground.kubectl.wait_for("hoatenant", self.name, is_ready, 60)
        assert self.ask("SELECT array_agg(version_num) FROM alembic_version") == [HEAD]
        assert self.ask("SELECT count(*) FROM tenant_identity") == 1
        assert self.ask("SELECT count(*) FROM invitations") == 1
        assert self.ask("SELECT count(*) FROM outbox WHERE kind = 'mail.invitation'") == 1


_WAITING = (
    "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'pg_policy'::regclass"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)
_TRYING = (
    "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle' AND starts_with(query, 'SELECT pg_try_advisory_lock')"
    " AND datname = current_database()"
)


@pytest.fixture
def hold(ground: Ground, job_runner: JobRunner) -> Iterator[Callable[[str], Held]]:
    """Makes tenants whose migration stands still; what they hold is let go afterwards."""
    made: list[Held] = []

    def make(name: str) -> Held:
        made.append(Held(ground, job_runner, name))
        return made[-1]

    yield make
    for held in made:
        held.release()


def _waits_for_image(body: Json) -> bool:
    return bool(condition(body, "SchemaCurrent")["reason"] == "ImagePullFailed")


def test_killed_in_mid_ddl(ground: Ground, hold: Callable[[str], Held]) -> None:
    held = hold("halfway")
    held.process().send(signal.SIGKILL)
    held.release()
    until(lambda: held.ask("SELECT to_regclass('public.alembic_version') IS NULL"), "Postgres to undo it", 30)
    said = ground.until_said("halfway", "SchemaCurrent", "Migrating")
    assert "tenant-halfway-migrate" in said
    held.is_migrated_once()
    assert len(ground.kubectl.list("job", "-l", "hoaconnect.com/tenant=halfway")) == 1


def test_two_pods_of_one_job_run_at_once(hold: Callable[[str], Held], tmp_path: Path) -> None:
    held = hold("doubled")
    first = held.process()
    env = {**(first.env or {}), "HOA_TERMINATION_LOG": str(tmp_path / "second.termination")}
    again = [sys.executable, "-m", *first.command]  # the first was forked and not started by its command
    second = Process("second", again, tmp_path / "second.log", env=env, cwd=first.cwd).start()
    try:
        until(lambda: held.ask(_TRYING) == 1, "the second to find the first one at work", 30)
        held.release()
        assert second.wait() == 0
    finally:
        second.stop()
    result = json.loads((tmp_path / "second.termination").read_text())
    assert (result["result"], result["fromRevision"], result["invitation"]) == ("ok", HEAD, "Exists")
    held.is_migrated_once()


def test_no_patience_for_a_lock(ground: Ground, hold: Callable[[str], Held]) -> None:
    held = hold("patient")
    process = held.process()
    assert process.wait(60) == 3
    said = ground.until_said("patient", "SchemaCurrent", "MigrationRetrying")
    assert "lock timeout" in said
    assert lacks_words(said) == ""
    held.release()
    held.is_migrated_once()


def test_an_image_of_another_head(ground: Ground, hold: Callable[[str], Held]) -> None:
    served = hold("before")
    served.release()
    served.is_migrated_once()
    ground.operator.stop()
    ahead = ground.platform.operator("operator-ahead", HOA_APP_SCHEMA_REVISION="9999", HOA_RESYNC_SECONDS="3").start()
    ground.kubectl.apply(tenant("early"))
    said = ground.until_said("early", "SchemaCurrent", "WrongRevision")
    assert lacks_words(said) == ""
    assert f"the image's head is {HEAD} and the operator expects 9999" in said
    assert ground.condition("early", "Stalled")["status"] == "True"
    ground.until_said("before", "SchemaCurrent", "WrongRevision")
    assert ground.condition("before", "Ready")["status"] == "True", "who is served stays served"
    for name in ("before", "early"):
        jobs = ground.kubectl.list("job", "-l", f"hoaconnect.com/tenant={name},hoaconnect.com/schema-revision=9999")
        assert len(jobs) == 1, "what is known to fail again is not tried again"
    ahead.stop()
    ground.operator.start()
    for name in ("before", "early"):
        ground.kubectl.wait_for(
            "hoatenant", name, lambda found: condition(found, "SchemaCurrent")["status"] == "True", 60
        )
        assert ground.condition(name, "Stalled")["status"] == "False"
        assert is_ready(ground.kubectl.get("hoatenant", name))

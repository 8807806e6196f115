"""A new version of the app goes through a fleet: bounded, new tenants first, past a tenant that fails, past kills, and back."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import sql

from hoa_operator.postgres.comments import render_template
from tests.cluster.jobs import Fault
from tests.cluster.operating import app_available, condition, eventually, is_ready, settled
from tests.cluster.platform import RELEASE, tenant
from tests.cluster.test_operator_deletion import REGISTRY, databases
from tests.cluster.test_operator_refusals import refused
from tests.overlay import HANG_LOCK, HEAD, NEXT, Release, heal, make_release, poison

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.cluster.jobs import JobRunner
    from tests.cluster.platform import Platform

Json = dict[str, Any]


@pytest.fixture(scope="module")
def slow(job_runner: JobRunner, tmp_path_factory: pytest.TempPathFactory) -> Release:
    """The next version, whose migration waits where the test holds it."""
    return job_runner.offer(make_release(tmp_path_factory.mktemp("slow"), "hangs", "slow"))


@pytest.fixture(scope="module")
def mended(job_runner: JobRunner, tmp_path_factory: pytest.TempPathFactory) -> Release:
    """The same version with another migration."""
    return job_runner.offer(make_release(tmp_path_factory.mktemp("mended"), "expand", "mended"))


def fleet(platform: Platform, *names: str) -> dict[str, str]:
    """Have these tenants Ready at the checkout's own version, and no operator at work; return their databases."""
    app_available(platform.kubectl)
    operator = platform.operator("operator-before").start()
    platform.kubectl.apply(*(tenant(name) for name in names))
    eventually(lambda: all(is_ready(body) for body in platform.kubectl.list("hoatenant")), 90)
    settled(platform)
    operator.stop()
    return {body["metadata"]["name"]: body["status"]["database"]["name"] for body in platform.kubectl.list("hoatenant")}


@contextmanager
def held(platform: Platform, databases: Sequence[str]) -> Iterator[None]:
    """Let the migrations of these databases wait."""
    with ExitStack() as stack:
        for database in databases:
            connection = psycopg.connect(platform.postgres.dsn(database), autocommit=True)
            stack.callback(connection.close)
            connection.execute("SELECT pg_advisory_lock(%s)", [HANG_LOCK])
        yield


def at(platform: Platform, database: str) -> str:
    with psycopg.connect(platform.postgres.dsn(database)) as connection:
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    assert row is not None
    return str(row[0])


def rows(platform: Platform) -> dict[str, tuple[str, str]]:
    """Return state and revision of every tenant in the registry, by name."""
    with psycopg.connect(platform.postgres.dsn(REGISTRY)) as connection:
        found = connection.execute("SELECT name, state, schema_revision FROM tenants").fetchall()
    return {name: (state, revision) for name, state, revision in found}


def says(platform: Platform, name: str, reason: str) -> bool:
    return refused("SchemaCurrent", reason)(platform.kubectl.get("hoatenant", name))


def current(platform: Platform, *names: str) -> bool:
    bodies = [platform.kubectl.get("hoatenant", name) for name in names]
    return all(is_ready(b) and b["status"]["schemaRevision"] == NEXT for b in bodies) and all(
        condition(body, "SchemaCurrent")["status"] == "True" for body in bodies
    )


def started(runner: JobRunner, platform: Platform, revision: str = NEXT) -> list[str]:
    """Return the tenants whose migration to a revision was begun, in order."""
    runs = [run.split("/tenant-")[1] for run in runner.runs_in(platform.namespace) if "/tenant-" in run]
    return [run.split("-migrate-")[0] for run in runs if f"-migrate-{revision}" in run]


def test_a_new_version_takes_the_fleet_along_two_at_a_time_and_past_who_fails(
    own_platform: Platform, job_runner: JobRunner, slow: Release
) -> None:
    platform, kubectl = own_platform, own_platform.kubectl
    known = fleet(platform, "poor", "one", "two", "three")
    with psycopg.connect(platform.postgres.dsn(known["poor"]), autocommit=True) as connection:
        poison(connection, kubectl.get("hoatenant", "poor")["status"]["tenantID"])
    job_runner.peaks.clear()
    operator = platform.operator("operator-next", HOA_JOB_CONCURRENCY="2", **slow.settings())
    others = ("one", "two", "three")
    with held(platform, [known[name] for name in others]):
        for name in others:  # or two of them could hang before the one that fails has had its turn
            kubectl.patch("hoatenant", name, {"spec": {"managementPolicy": "Paused"}})
        operator.start()
        # The template moves with the head, and the old one goes.
        kubectl.wait_for("hoads", "default", lambda body: body["status"].get("templateRevision") == NEXT, 90)
        eventually(lambda: templates(platform) == {f"hoa_connect_template_{NEXT}"})
        # Who fails makes room; then two hang, and nobody else may start.
        eventually(lambda: says(platform, "poor", "CheckViolation"), 60)
        for name in others:
            kubectl.patch("hoatenant", name, {"spec": {"managementPolicy": "Managed"}})
        eventually(lambda: sorted(started(job_runner, platform))[1:] != [] and _waiting(platform) == 1, 60)
        waits = next(name for name in known if says(platform, name, "WaitingForTurn"))
        kubectl.apply(tenant("newcomer"))
        eventually(lambda: says(platform, "newcomer", "WaitingForTurn"), 30)
        assert waits not in started(job_runner, platform)
    # Never served goes before who is served already, although it came later; it is a clone of the new template.
    eventually(lambda: current(platform, "one", "two", "three", "newcomer"), 90)
    order = started(job_runner, platform)
    assert order.index("newcomer") < order.index(waits)
    assert job_runner.peaks[platform.namespace] == 2
    stays_and_is_served(platform, known["poor"])
    unmet = (
        'hoa_operator_tenant_unmet{condition="SchemaCurrent",phase="Degraded",reason="CheckViolation",tenant="poor"}'
    )
    eventually(lambda: operator.metrics().get(unmet) == 1.0)
    # Nothing is left to do: neither a restart nor a resync makes a Job or writes anything.
    settled(platform)
    before, runs = len(platform.operator_writes()), list(job_runner.runs)
    operator.stop()
    leave_template(platform, "0001")
    again = platform.operator("operator-again", HOA_RESYNC_SECONDS="2", **slow.settings()).start()
    eventually(lambda: again.metrics().get('hoa_operator_reconciles_total{kind="tenant",result="ok"}', 0.0) >= 15, 60)
    assert (platform.operator_writes()[before:], job_runner.runs) == ([], runs)
    assert templates(platform) == {f"hoa_connect_template_{NEXT}"}
    # The data is mended, and a person asks again.
    with psycopg.connect(platform.postgres.dsn(known["poor"]), autocommit=True) as connection:
        heal(connection)
    kubectl("annotate", "hoatenant", "poor", "hoaconnect.com/retry=now")
    eventually(lambda: current(platform, "poor"), 60)


def stays_and_is_served(platform: Platform, database: str) -> None:
    """Check the tenant poor, whose data does not allow the migration."""
    body = platform.kubectl.get("hoatenant", "poor")
    assert (condition(body, "Ready")["status"], body["status"]["schemaRevision"]) == ("True", HEAD)
    said = condition(body, "SchemaCurrent")["message"]
    for word in ("settings_overlay", "mend the data", "hoaconnect.com/retry=now", f"stays at revision {HEAD}"):
        assert word in said, said
    assert rows(platform)["poor"] == ("Active", HEAD)
    assert at(platform, database) == HEAD


def templates(platform: Platform) -> set[str]:
    with psycopg.connect(platform.postgres.dsn()) as connection:
        found = connection.execute("SELECT datname FROM pg_database WHERE datname LIKE 'hoa_connect_template_%'")
        return {name for (name,) in found.fetchall()}


def leave_template(platform: Platform, revision: str) -> None:
    """Leave an old template behind, as an operator does that is killed when the new one is sealed."""
    name = f"hoa_connect_template_{revision}"
    comment = render_template(f"{platform.namespace}/{RELEASE}", revision, sealed=True)
    with psycopg.connect(platform.postgres.dsn(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} IS_TEMPLATE true ALLOW_CONNECTIONS false")
        connection.execute(sql.SQL("COMMENT ON DATABASE {} IS {}").format(sql.Identifier(name), sql.Literal(comment)))


def _waiting(platform: Platform) -> int:
    return sum(refused("SchemaCurrent", "WaitingForTurn")(body) for body in platform.kubectl.list("hoatenant"))


def test_there_and_back_with_kills_and_a_better_version_in_between(
    own_platform: Platform, job_runner: JobRunner, slow: Release, mended: Release
) -> None:
    platform, kubectl = own_platform, own_platform.kubectl
    known = fleet(platform, "one", "two", "three")
    names = list(known)
    with held(platform, list(known.values())):
        first = platform.operator("operator-1", HOA_JOB_CONCURRENCY="2", **slow.settings()).start()
        eventually(lambda: len(started(job_runner, platform)) == 2, 60)
        first.kill()
        # A better version while Jobs of the first one hang: they are ended and replaced, and nobody is left out.
        second = platform.operator("operator-2", HOA_JOB_CONCURRENCY="2", **mended.settings()).start()
        eventually(lambda: any(rows(platform)[name] == ("Active", NEXT) for name in names), 90)
        second.kill()
    third = platform.operator("operator-3", **mended.settings()).start()
    eventually(lambda: current(platform, *names), 90)
    assert {at(platform, database) for database in known.values()} == {NEXT}
    settled(platform)
    third.stop()
    # Back to the version before: the schema stays, is said to be newer, and is served.
    runs = list(job_runner.runs_in(platform.namespace))
    platform.operator("operator-4").start()
    eventually(lambda: all(says(platform, name, "SchemaNewer") for name in names), 60)
    settled(platform)
    for body in kubectl.list("hoatenant"):
        assert is_ready(body)
        assert "deploy the newer app" in condition(body, "SchemaCurrent")["message"]
    assert rows(platform) == dict.fromkeys(names, ("Active", NEXT))
    assert [run for run in job_runner.runs_in(platform.namespace)[len(runs) :] if "/tenant-" in run] == []
    assert {database for database in databases(platform) if database in known.values()} == set(known.values())


def test_jobs_of_a_version_that_is_taken_back_are_ended(
    own_platform: Platform, job_runner: JobRunner, slow: Release
) -> None:
    platform = own_platform
    known = fleet(platform, "one", "two")
    with held(platform, list(known.values())):
        newer = platform.operator("operator-1", **slow.settings()).start()
        eventually(lambda: len(started(job_runner, platform)) == 2, 60)
        newer.stop()
        platform.operator("operator-2").start()
        eventually(lambda: not [job for job in platform.kubectl.list("job") if NEXT in job["metadata"]["name"]], 60)
        settled(platform)
    for name, database in known.items():
        assert condition(platform.kubectl.get("hoatenant", name), "SchemaCurrent")["status"] == "True"
        assert (rows(platform)[name], at(platform, database)) == (("Active", HEAD), HEAD)


def test_a_templates_job_of_another_image_is_replaced(
    own_platform: Platform, job_runner: JobRunner, slow: Release, mended: Release
) -> None:
    platform, kubectl = own_platform, own_platform.kubectl
    job_runner.inject(Fault(job="template", namespace=platform.namespace, hang=True))
    first = platform.operator("operator-1", **slow.settings()).start()
    eventually(lambda: len(job_runner.runs_in(platform.namespace)) == 1, 60)
    first.stop()
    platform.operator("operator-2", **mended.settings()).start()
    kubectl.wait_for("hoads", "default", lambda body: body["status"].get("templateRevision") == NEXT, 60)
    assert len(job_runner.runs_in(platform.namespace)) == 2

"""Many lives side by side in one installation, while its operator, its Postgres and its watches fail: HOA_FAULTS_N lives
from HOA_FAULTS_SEED on. Life number s is the same wherever it is lived, so HOA_FAULTS_N=1 HOA_FAULTS_SEED=s replays it."""

from __future__ import annotations

import os
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, get_args

import psycopg
import pytest

from tests import figures
from tests.cluster.operating import settled
from tests.cluster.test_operator_fleet import looks
from tests.faults import generator
from tests.faults.actions import Action
from tests.faults.eyes import Eyes
from tests.faults.ledger import Ledger
from tests.faults.lives import Liver
from tests.faults.pgworld import kept_sessions
from tests.faults.subject import Scene
from tests.faults.weather import Weather
from tests.faults.world import orphans
from tests.never import never
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.cluster.jobs import JobRunner
    from tests.faults.installation import Installation

LIVES = int(os.environ.get("HOA_FAULTS_N") or 200)
#: Other lives each day, none of them twice: a day has room for a thousand.
SEED = int(os.environ.get("HOA_FAULTS_SEED") or time.time() // 86400 * 1000)
#: More of them share two processors with two servers no better, and only wait for each other.
AT_ONCE = 10
SETTINGS = {
    "HOA_RESYNC_SECONDS": "10",
    "HOA_JOB_CONCURRENCY": "24",
    "HOA_CONCURRENCY": "24",
    "HOA_CREDENTIALS_OVERLAP_SECONDS": "1",
}
#: So many lives have everything in them that can happen.
MANY = 100
#: The share of all faults that must have struck: one waits for a twelfth write, and not every life has so many left.
MOSTLY = 0.5
#: Longer than a restarted operator takes to look at every tenant, and one resync.
SILENCE_SECONDS = 12.0


@pytest.fixture
def scene(installation: Installation, job_runner: JobRunner) -> Iterator[Scene]:
    """The installation with its operator at work and somebody looking on."""
    with psycopg.connect(installation.server.access.dsn(), autocommit=True) as session:
        session.execute("ALTER ROLE ALL SET synchronous_commit = on")  # what was committed outlives a crash, as in life
    installation.configure(**SETTINGS).start()
    installation.objects.wait_for("HOADatabaseServer", "default", _has_template, 60)
    eyes = Eyes(installation.objects).start()
    yield Scene(installation, job_runner, eyes, Ledger())
    eyes.stop()


def _has_template(body: dict[str, object]) -> bool:
    return "templateRevision" in (body.get("status") or {})  # type: ignore[operator]


@pytest.mark.figures
def test_lives_under_faults_end_as_if_nothing_had_happened(scene: Scene, told: Callable[[str], None]) -> None:
    installation = scene.installation
    livers = [Liver(scene, generator.life(seed)) for seed in range(SEED, SEED + LIVES)]
    if LIVES >= MANY:
        assert {type(action) for liver in livers for action in liver.life.actions} == set(get_args(Action))
    weather = Weather(installation).start()
    well: list[str] = []
    began = time.monotonic()
    try:
        _all(livers, Liver.run, lambda: _storm(weather, livers))
        scene.ledger.settle()
        installation.heal()
        lived = time.monotonic()
        _all(livers, lambda liver: _compare(liver, well))
    finally:
        weather.stop()
        note = f"{LIVES} lives from seed {SEED}, under {len(weather.told)} storms"
        figures.record("random lives under faults that did not end as a fresh run", LIVES - len(well), 0, note=note)
    compared = time.monotonic()
    found = orphans(installation), list(scene.ledger.complaints(installation, scene.jobs)), scene.eyes.complaints
    figures.record(
        "random lives: orphans, things made twice, drops unproved, conditions blind", sum(map(len, found)), 0
    )
    never([*found[0], *found[1]], "orphans, made twice, or dropped without proof")
    assert found == ([], [], {})
    struck = [hit for liver in livers for hit in liver.strikes.hits]
    assert sum(struck) >= MOSTLY * len(struck), f"only {sum(struck)} of {len(struck)} faults struck"
    _then_writes_nothing(installation)
    actions = sum(len(liver.life.actions) for liver in livers)
    line = (
        f"{LIVES} lives from seed {SEED}: {actions} actions, {sum(struck)} of {len(struck)} faults struck,"
        f" {len(weather.told)} storms, in {lived - began:.0f} s,"
        f" fresh runs in {compared - lived:.0f} s, silence in {time.monotonic() - compared:.0f} s"
    )
    told(line)


def _compare(liver: Liver, well: list[str]) -> None:
    """Compare a life's end with a fresh run, and note that they are equal."""
    liver.fresh()
    well.append(liver.name)


def _all(livers: Sequence[Liver], act: Callable[[Liver], None], meanwhile: Callable[[], None] | None = None) -> None:
    """Let all live side by side; the first that fails is told with the seed that replays it."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        under_way: dict[Future[None], Liver] = {pool.submit(_one, act, liver): liver for liver in livers}
        if meanwhile is not None:
            meanwhile()
        failed = [(future, liver) for future, liver in under_way.items() if future.exception() is not None]
    for future, liver in failed:
        again = f"HOA_FAULTS_N=1 HOA_FAULTS_SEED={liver.life.seed}"
        whole = f"make faults N={LIVES} SEED={SEED}"
        told = f"{len(failed)} of {len(livers)} failed; {liver.name} first. Replay it alone with {again}, or {whole}:"
        raise AssertionError(f"{told}\n{liver.told()}\n{future.exception()!r}") from future.exception()


def _one(act: Callable[[Liver], None], liver: Liver) -> None:
    try:
        with kept_sessions():
            act(liver)
    except BaseException as error:
        print(f"\n{liver.name}: {error!r}\n{liver.told()}", flush=True)  # noqa: T201 - at once: others may wait long
        raise
    finally:
        liver.scene.installation.objects.api.close()  # this thread's connection


def _storm(weather: Weather, livers: Sequence[Liver]) -> None:
    """Let every storm strike when its share of all actions is over."""
    storms = generator.storms(SEED, LIVES)
    total = sum(len(liver.life.actions) for liver in livers)
    for number, storm in enumerate(storms, 1):
        share = total * number / (len(storms) + 1)

        def reached(share: float = share) -> bool:
            return sum(max(liver.done, liver.over) for liver in livers) >= share

        until(reached, f"{share:.0f} of {total} actions to be over", 600, 0.1)
        weather.strike(storm)


def _then_writes_nothing(installation: Installation) -> None:
    """Start the operator anew: it looks at every tenant and lives on, and neither the API server nor Postgres is written to."""
    settled(installation.platform, timeout=60)
    installation.kill_operator()
    operator = installation.operator
    operator.process.wait(10)
    api, pg = len(installation.api.journal), len(installation.pg.journal)
    installation.revive_operator()
    until(lambda: operator.answers("readyz"), "the operator to be ready", 30)
    tenants = len(installation.objects.list("HOATenant"))
    assert tenants >= LIVES
    until(lambda: looks(operator) >= tenants, lambda: f"{tenants} to be looked at: {looks(operator)}", 60)
    time.sleep(SILENCE_SECONDS)  # what is tested is that nothing happens in this time
    assert operator.process.running, f"nothing was written, for nothing ran: {operator.process.tail()}"
    assert [str(request) for request in installation.api.writes(api)] == []
    assert [str(statement) for statement in installation.pg.writes(pg) if _counts(str(statement))] == []


def _counts(statement: str) -> bool:
    """Whether a statement changes anything but the new leader's epoch."""
    return "operator_epoch" not in statement

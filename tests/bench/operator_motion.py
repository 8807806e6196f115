"""The operator at rest and in motion: what does a look cost, a restart, a repair, and does its memory stay flat?

One installation on a real API server, whose tenants were onboarded by real migration Jobs and whose welcome mails went out. A
no-op look at every tenant is asked for by a label put on a HOATier, and none may write; what is inside a database is read anew only
when the last reading is a few minutes old, so not by these. A restart begins with the start of Python. It has caught up when every
tenant was looked at, its children and its database with its roles; then the operator looks inside the databases of those that
were well, ten a second, which the second figure waits for. Neither may write. A repair begins when a child is deleted, or a role is
edited in Postgres and its tenant touched (of itself it is looked at every five minutes), and ends when it is whole again. Restarts
and repairs have no round that does not count. Then tenants are created, Ready, deleted and gone again, twenty at once, and a line
is fitted through the resident memory after each twenty, the first third left out. Its slope counts with two standard errors more,
so that too few lives to tell do not pass for flat; ten thousand of them would take some hours, and six hundred tell the slope.
Everything shares this machine: the operator, kube-apiserver, etcd, the job controller and Postgres.
The memory with 2 000 tenants is measured where they are made, under provisioning.
"""

from __future__ import annotations

import math
import statistics
import time
from typing import TYPE_CHECKING, Any
from uuid import UUID

import psycopg
from psycopg import sql

from hoa_operator import names
from hoa_operator.postgres import APP, role_name
from tests.bench.figures.table import Figure
from tests.bench.installation import OPERATOR, Installation, Readiness
from tests.cluster.operating import settled
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tests.bench.lab import Lab

Json = dict[str, Any]


def measure(lab: Lab) -> Iterator[Figure]:
    """Looks, a restart, repairs, then lives."""
    installation = Installation.create(lab)
    tenants = [f"rest-{number:04}" for number in range(lab.size(500, 5))]
    with installation.real_jobs():
        _onboard(installation, tenants)
        yield from _looks(lab, installation, len(tenants))
        yield from _restarts(lab, installation, len(tenants))
        yield from _repairs(lab, installation, tenants)
        yield from _lives(lab, installation)


def _onboard(installation: Installation, tenants: Sequence[str]) -> None:
    """Have them made, say of their welcome mails what the worker would make true, and wait until nothing is left to do."""
    with Readiness(installation.objects).followed() as readiness:
        installation.apply(tenants)
        readiness.wait_for(tenants, 120 + 3 * len(tenants))
    for body in installation.tenants():
        with psycopg.connect(installation.postgres.dsn(body["status"]["database"]["name"])) as connection:
            connection.execute("UPDATE outbox SET state = 'done' WHERE dedupe_key LIKE 'welcome-mail:%'")
    installation.mailed()
    settled(installation.platform, quiet=4, timeout=120)


def _looks(lab: Lab, installation: Installation, number: int) -> Iterator[Figure]:
    rates, costs = [], []
    writes = len(installation.writes())
    seen = installation.looks().well
    installation.touch_tier()
    _looked_at(installation, seen + number)  # to warm up
    for _ in range(lab.rounds):
        before, cpu, started = installation.looks(), installation.cpu()[OPERATOR], time.monotonic()
        installation.touch_tier()
        _looked_at(installation, before.well + number)
        assert installation.looks().failed == before.failed, f"looks failed\n{installation.operator.process.tail()}"
        seconds = time.monotonic() - started
        rates.append(number / seconds)
        costs.append((installation.cpu()[OPERATOR] - cpu) / number * 1000)
    note = f"all of {number} tenants, a tier of theirs touched"
    yield Figure.over(rates, "no-op reconciles", "/s", 50, note, at_least=True)
    yield Figure.over(costs, "the operator's CPU for a no-op reconcile", "ms")
    yield Figure("writes to the API by no-op reconciles", len(installation.writes()) - writes, "", 0)


def _looked_at(installation: Installation, looks: int) -> None:
    """Wait until the operator has finished so many looks since it started, and has no more to do. Each time that it is asked
    costs it a collection of its metrics: not too often."""

    def done() -> bool:
        now = installation.looks()
        return now.well >= looks and not now.under_way

    until(done, lambda: f"{looks} looks, of which {installation.looks()}", 120, 0.2)


def _logins(installation: Installation) -> dict[str, int]:
    """Return how often somebody has logged in to each tenant's database; Postgres knows it when the session has ended."""
    names = [body["status"]["database"]["name"] for body in installation.tenants()]
    with psycopg.connect(installation.postgres.dsn()) as connection:
        return dict(
            connection.execute("SELECT datname, sessions FROM pg_stat_database WHERE datname = ANY (%s)", [names])
        )


def _looked_inside(installation: Installation, before: Mapping[str, int]) -> None:
    """Wait until the operator has logged in to every database, as the app and as the migrator, and has no more to do. Nobody
    else goes there: no app runs here."""

    def left() -> int:
        return sum(logins < before[name] + 2 for name, logins in _logins(installation).items())

    until(lambda: not left() and not installation.looks().under_way, lambda: f"{left()} to be looked inside", 120, 0.2)


def _restarts(lab: Lab, installation: Installation, number: int) -> Iterator[Figure]:
    caught_up, inside = [], []
    writes = len(installation.writes())
    for _ in range(lab.size(3, 1)):
        installation.operator.stop()
        before, started = _logins(installation), time.monotonic()
        installation.operator.start()
        _looked_at(installation, number)
        caught_up.append(time.monotonic() - started)
        _looked_inside(installation, before)
        inside.append(time.monotonic() - started)
    note = f"{number} Ready tenants, from the start of the process"
    yield Figure.over(caught_up, "restart until every tenant was looked at", "s", 10, note)
    yield Figure.over(inside, "restart until every database was looked inside, too", "s", note=note)
    yield Figure("writes to the API by a restart", len(installation.writes()) - writes, "", 0)
    yield Figure("memory of the operator after a restart", installation.memory(), "MiB", note=f"{number} Ready tenants")


def _repairs(lab: Lab, installation: Installation, tenants: Sequence[str]) -> Iterator[Figure]:
    name = tenants[0]
    children = {
        "Ingress": ("Ingress", names.ingress(name)),
        "credentials Secret": ("Secret", names.credentials_secret(name)),
        "migrator's Secret": ("Secret", names.migrator_secret(name)),
    }
    for what, (kind, child) in children.items():
        took = [_deleted_child(installation, kind, child) for _ in range(lab.rounds)]
        yield Figure.over(took, f"repair of a deleted {what}", "s", 3)
    took = [_edited_role(installation, name) for _ in range(lab.rounds)]
    yield Figure.over(took, "repair of an edited role in Postgres, its tenant touched", "s", 3)


def _deleted_child(installation: Installation, kind: str, name: str) -> float:
    before = installation.objects.get(kind, name)
    started = time.monotonic()
    installation.objects.delete(kind, name)

    def whole(found: Json) -> bool:
        # A migrator's password that was lost is made anew.
        anew = found["metadata"]["uid"] != before["metadata"]["uid"]
        return bool(anew and set(found.get("data", {})) == set(before.get("data", {})))

    until(lambda: whole(installation.objects.find(kind, name) or before), f"{kind} {name} to be back", 60, 0.01)
    return time.monotonic() - started


def _edited_role(installation: Installation, tenant: str) -> float:
    status = installation.objects.get("HOATenant", tenant)["status"]
    role = role_name(UUID(status["tenantID"]), APP)
    with psycopg.connect(installation.postgres.dsn(), autocommit=True) as connection:

        def limit() -> int:
            row = connection.execute("SELECT rolconnlimit FROM pg_roles WHERE rolname = %s", [role]).fetchone()
            assert row is not None
            return int(row[0])

        good, started = limit(), time.monotonic()
        connection.execute(sql.SQL("ALTER ROLE {} CONNECTION LIMIT 999").format(sql.Identifier(role)))
        installation.touch(tenant)
        until(lambda: limit() == good, f"{role} to be put right", 60, 0.01)
        return time.monotonic() - started


def _lives(lab: Lab, installation: Installation) -> Iterator[Figure]:
    rounds, together, memory, started = lab.size(30, 3), lab.size(20, 2), [], time.monotonic()
    for number in range(rounds):
        _live(installation, [f"life-{number}-{index}" for index in range(together)])
        memory.append(installation.memory())
    lives, seconds = rounds * together, time.monotonic() - started
    yield Figure("lives of tenants, created to gone", lives / seconds, "/s", note=f"{lives} of them")
    per_round, error = slope(memory[rounds // 3 :])
    note = f"{1000 / together * per_round:.2f} and two standard errors of {1000 / together * error:.2f}"
    growth = (per_round + 2 * error) / together * 1000
    yield Figure("growth of the operator's memory", growth, "MiB/1000 lives", 1, note)


def _live(installation: Installation, tenants: Sequence[str]) -> None:
    objects = installation.objects
    with Readiness(objects).followed() as readiness:
        installation.apply(tenants, database={"deletionPolicy": "Delete", "undeleteWindow": "0s"})
        readiness.wait_for(tenants, 120)
    for tenant in tenants:
        objects.delete("HOATenant", tenant)
    until(lambda: not any(objects.find("HOATenant", tenant) for tenant in tenants), "the tenants to be gone", 120, 0.1)


def slope(values: Sequence[float]) -> tuple[float, float]:
    """Return by how much each is more than the one before, by the line that fits them best, and the standard error of that."""
    places = range(len(values))
    line = statistics.linear_regression(places, values)
    middle = statistics.fmean(places)
    rest = sum((value - line.intercept - line.slope * place) ** 2 for place, value in zip(places, values, strict=True))
    spread = sum((place - middle) ** 2 for place in places)
    return line.slope, math.sqrt(rest / max(1, len(values) - 2) / spread)

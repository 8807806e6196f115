"""Many tenants: what does it cost that there are 500 of them, with a million homeowners?

500 databases on one Postgres, each a clone of the template by the operator's code with its own roles, 2 000 homeowners
and 200 requests; one process of the app, which may hold so many connections that with the registry's there are at most
100 on the server, so that not every company's can stay open. People of a company look at the dashboard, at the lists of
requests and of people, and read a homeowner by the API. Postgres takes no more than these 100 connections. The rate
(wrk, 16 connections) is once of one company alone and once of all by Zipf's law (the n-th asks 1/n as much as the
first), in alternating rounds. A cold request is a company's first after a while, while others hold all connections; a
warm one the same once more; what either costs the app and Postgres is counted in processor time. The noisy company, of
the tier for up to 1 999 homeowners, asks ten times what that allows, with vegeta, beside 20 others who ask 2 pages a
second each, and it is their p99 that counts, of all rounds' answers together; the same rush at a server that only refuses shows
what it costs these two cores at the least. At the end the traffic of all and the rush come as often again, and the app's
memory is to be what it was before. App on one core; Postgres, which commits to disk, and the load on the other.
"""

from __future__ import annotations

import random
import statistics
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import httpx
import psycopg
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.bench import estate, opening
from tests.bench.alternating import alternate, ratios
from tests.bench.contestants import Contestant, browser_of, start_ours, start_refusing
from tests.bench.figures.load import cycle
from tests.bench.figures.table import Figure
from tests.bench.lab import LOAD_CORE
from tests.bench.openloop import Arrival, arrive, p99
from tests.bench.runs import resident_mebibytes
from tests.contract.app.platform import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.bench.lab import Lab
    from tests.bench.neighbourhood import Neighbourhood
    from tests.bench.openloop import Ask
    from tests.fix_postgres import PostgresAccess, PostgresServer

CONNECTIONS: Final = 100
#: What the app's pools may use of them. The rest is for following the registry, and for the one that each request may have
#: on the way: a company's first connection is proved before another's is closed.
POOLED: Final = 80
AT_ONCE: Final = 16
#: What people ask for, and how often out of ten times.
ERRANDS: Final = {"/": 3, "/requests": 3, "/people": 2, "/api/v1/people/{person}": 2}
OTHERS: Final = 20
OTHERS_RATE: Final = 2.0
TIMES_ITS_RATE: Final = 10
NOISY_HOMEOWNERS: Final = 1_999


@dataclass
class Town:
    """All the companies, and the one app that serves them."""

    homes: Sequence[Neighbourhood]
    server: Contestant
    metrics: str
    postgres: PostgresServer
    turns: random.Random = field(default_factory=lambda: random.Random(7))

    def asks(self, homes: Sequence[Neighbourhood]) -> list[Ask]:
        """One errand of each, as it comes."""
        paths = self.turns.choices(list(ERRANDS), list(ERRANDS.values()), k=len(homes))
        return [self.ask(home, path) for home, path in zip(homes, paths, strict=True)]

    def ask(self, home: Neighbourhood, path: str) -> Ask:
        """A request of somebody of a company."""
        host, staff = home.tenant.host, [browser_of(one) for one in home.staff]
        visitor = Contestant("ours", self.server.port, host, staff, self.server.process)
        return visitor.ask(path.format(person=self.turns.choice(home.people)))

    def by_zipf(self, number: int) -> list[Ask]:
        """So many requests, the n-th company asking 1/n as much as the first."""
        shares = [1 / place for place in range(1, len(self.homes) + 1)]
        return self.asks(self.turns.choices(self.homes, shares, k=number))

    def opened(self) -> float:
        """How many pools were opened so far."""
        text = httpx.get(self.metrics, timeout=30).raise_for_status().text
        families = text_string_to_metric_families(text)
        return sum(
            sample.value
            for family in families
            for sample in family.samples
            if sample.name == "hoa_db_pool_events_total" and sample.labels["event"] == "opened"
        )

    @property
    def memory(self) -> float:
        """What the app holds, in MiB."""
        return resident_mebibytes(self.server.process.pid)


def measure(lab: Lab) -> Iterator[Figure]:
    """Build the town, then one thing after the other."""
    town, facts = _town(lab)
    yield facts
    at_start = town.memory
    with _sessions(town.postgres.access) as sessions:
        first, warm = _visit(town)
        visited = town.memory
        note = f"a company's pages of which this process knew nothing; the slowest of a hundred {p99(first):.1f} ms"
        yield Figure.over(first, "many tenants, a company's very first request", "ms", note=note)
        more = [one - other for one, other in zip(first, warm, strict=True)]
        title = "many tenants, a company's very first request more than a warm one, p99"
        yield Figure(title, p99(more), "ms", 50, f"half of them {statistics.median(more):.1f} ms more at most")
        yield from _rates(lab, town)
        yield from _cold(lab, town)
        yield from _opening(lab, town)
        yield from _noise(lab, town)
        worked = town.memory
        _once_more(lab, town)
    yield Figure("many tenants, server connections at most", max(sessions), "", CONNECTIONS, "the server takes no more")
    note = (
        f"MiB at the start {at_start:.0f}, once every company was served {visited:.0f}, "
        f"after all of the above {worked:.0f}, after as much again {town.memory:.0f}"
    )
    yield Figure("many tenants, the app's memory for each", (worked - at_start) / len(town.homes), "MiB", note=note)
    yield Figure("many tenants, growth of the app's memory", town.memory / worked - 1, "", 0.05, note)


def _town(lab: Lab) -> tuple[Town, Figure]:
    number, homeowners = lab.size(500, 24), lab.size(2000, 60)
    folder = lab.folder / "platform"
    folder.mkdir()
    server = estate.filling(lab)
    started = time.monotonic()
    limits = {**_tier(homeowners), "requestsPerSecond": 1_000_000}
    homes = estate.build(server.access, folder, number, homeowners, limits)
    seconds = time.monotonic() - started
    homes[-1].tenant.update(limits={**limits, **_noisy_tier(lab)})
    estate.serving_from(server, LOAD_CORE, CONNECTIONS)
    ours = start_ours(lab, homes[0], HOA_POOL_MAX_TOTAL=str(lab.size(POOLED, 8)))
    assert ours.process.env is not None
    metrics = f"http://127.0.0.1:{ours.process.env['HOA_METRICS_PORT']}/metrics"
    note = f"{number} companies with {homeowners} homeowners each, {_gibibytes(server.access):.1f} GiB"
    return Town(homes, ours, metrics, server), Figure("many tenants, building them all", seconds, "s", note=note)


def _visit(town: Town) -> tuple[list[float], list[float]]:
    """Have every company ask for everything once, and see that it gets its own; return the milliseconds of each one's first, and of
    the same once more at the end."""
    first, again = [], []

    def told(ask: Ask) -> tuple[float, str]:
        started = time.perf_counter()
        answer = client.get(ask.url, headers=dict(ask.headers))
        seconds = time.perf_counter() - started
        assert answer.status_code == 200, f"{ask.url} {ask.headers}: {answer.status_code} {answer.text}"
        return 1000 * seconds, answer.text

    with httpx.Client(timeout=30) as client:
        for home in town.homes:
            for path in ERRANDS:
                ask = town.ask(home, path)
                milliseconds, text = told(ask)
                if path == "/":
                    first.append(milliseconds)
                own = ask.url.rpartition("/")[2] if "person" in path else home.tenant.slug.title()
                assert own in text, f"{home.tenant.slug} {path}"
            again.append(told(town.ask(home, "/"))[0])
    return first, again


def _rates(lab: Lab, town: Town) -> Iterator[Figure]:
    opened: list[float] = []

    def one() -> float:
        return _rate(town, town.asks([town.homes[0]] * 2000), lab.seconds)[0]

    def all_of_them() -> float:
        before = town.opened()
        rate, requests = _rate(town, town.by_zipf(lab.size(20_000, 2000)), lab.seconds)
        opened.append((town.opened() - before) / requests)
        return rate

    found = alternate({"one": one, "all": all_of_them}, lab.rounds)
    alone = f"one company alone: {statistics.median(found['one']):.0f}/s"
    yield Figure.over(found["all"], "many tenants, by Zipf's law", "requests/s", note=alone)
    note = f"{100 * statistics.median(opened):.0f} % of the requests found their company's pool closed"
    shares = ratios(found["all"], found["one"])
    yield Figure.over(shares, "many tenants, times one company alone", "", 0.8, note, at_least=True)


def _rate(town: Town, asks: Sequence[Ask], seconds: int) -> tuple[float, int]:
    came = cycle(asks, connections=AT_ONCE, seconds=seconds, core=LOAD_CORE)
    assert came.requests, f"nothing was answered\n{town.server.process.tail()}"
    assert not came.errors, f"{came}\n{town.server.process.tail()}"
    return came.rate, came.requests


def _cold(lab: Lab, town: Town) -> Iterator[Figure]:
    """The companies that ask least, after those that ask most have taken all connections."""
    homes = town.homes[-lab.size(200, 10) :]
    more, first = [], []
    with httpx.Client(timeout=30) as client:
        for home in town.homes[: lab.size(POOLED, 8)]:
            assert client.get((ask := town.ask(home, "/")).url, headers=dict(ask.headers)).status_code == 200
        before = town.opened()
        for home in homes:
            ask = town.ask(home, "/requests")
            waits = []
            for _ in range(4):
                started = time.perf_counter()
                answer = client.get(ask.url, headers=dict(ask.headers))
                waits.append((time.perf_counter() - started) * 1000)
                assert answer.status_code == 200, answer.text
            first.append(waits[0])
            more.append(waits[0] - statistics.median(waits[1:]))
        cold = town.opened() - before
    assert cold >= len(homes), f"only {cold} of {len(homes)} were cold"
    note = (
        f"the first takes {statistics.median(first):.1f} ms; half of them {statistics.median(more):.1f} ms more at most"
    )
    title = "many tenants, a cold first request more than a warm one, p99"
    yield Figure(title, p99(more), "ms", 50, note)


def _opening(lab: Lab, town: Town) -> Iterator[Figure]:
    """Where a cold request's time goes."""
    dsns = [home.tenant.dsn("app") for home in town.homes]
    servers = opening.Servers(town.server.process.pid, town.postgres.process.pid, town.postgres.access, dsns)
    return opening.measure(lab, servers, lambda place: town.ask(town.homes[place], opening.PATH), lab.size(POOLED, 8))


def _noise(lab: Lab, town: Town) -> Iterator[Figure]:
    """Others at their pace, once with a noisy neighbour and once without."""
    others = list(town.homes[: lab.size(OTHERS, 4)])
    pace, seconds = OTHERS_RATE * len(others), lab.size(15, 2)
    refusing = start_refusing(lab)
    refused: list[str] = []
    given: list[float] = []

    def quiet() -> Arrival:
        came = arrive(town.asks(others * round(OTHERS_RATE * seconds)), pace, seconds)
        assert came.requests, f"nothing was answered\n{town.server.process.tail()}"
        assert not came.errors, f"{came}\n{town.server.process.tail()}"
        return came

    def noise() -> Arrival:
        with ThreadPoolExecutor(1) as pool:
            loud = pool.submit(_rush, lab, town, seconds + 1)
            heard = quiet()
            came = loud.result()
        refused.append(str(came))
        given.append(came.codes[200] / (seconds + 1) / _noisy_tier(lab)["requestsPerSecond"])
        assert came.codes[429], f"the noisy company was not held back: {came}"
        assert not came.codes[0], f"the noisy company was left without an answer: {came}"
        return heard

    def elsewhere() -> Arrival:
        with ThreadPoolExecutor(1) as pool:
            loud = pool.submit(arrive, [refusing.ask("/")], _rush_rate(lab), seconds + 1)
            heard = quiet()
            assert set(loud.result().codes) == {429}, loud.result()
        return heard

    found = alternate({"quiet": quiet, "noise": noise, "elsewhere": elsewhere}, lab.rounds)
    loud, still = (Arrival.together(found[name]) for name in ("noise", "quiet"))
    note = (
        f"{_rush_rate(lab)} requests/s, in the last round {refused[-1]}; the others' p99 of {loud.requests} answers "
        f"{loud.p99:.1f} ms, without the noise {still.p99:.1f} ms"
    )
    rounds = ratios([each.p99 for each in found["noise"]], [each.p99 for each in found["quiet"]])
    title = "many tenants, others' p99 beside a noisy one"
    yield Figure(title, loud.p99 / still.p99, "x", 2, note, rounds=rounds)
    least = Arrival.together(found["elsewhere"]).p99 / still.p99
    rounds = ratios([each.p99 for each in found["elsewhere"]], [each.p99 for each in found["quiet"]])
    title = "many tenants, others' p99 beside as many requests to a server that only refuses"
    yield Figure(title, least, "x", note="the limit: it has the app's core, and the load Postgres'", rounds=rounds)
    yield Figure.over(given, "many tenants, what the noisy one was given of its rate", "", 0.9, at_least=True)


def _rush(lab: Lab, town: Town, seconds: int) -> Arrival:
    """One company asks ten times what it may."""
    return arrive(town.asks([town.homes[-1]] * 500), _rush_rate(lab), seconds)


def _rush_rate(lab: Lab) -> int:
    return int(TIMES_ITS_RATE * _noisy_tier(lab)["requestsPerSecond"])


def _once_more(lab: Lab, town: Town) -> None:
    for _ in range(lab.rounds):
        _rate(town, town.by_zipf(lab.size(20_000, 2000)), lab.seconds)
        _rush(lab, town, lab.size(15, 2))


@contextmanager
def _sessions(access: PostgresAccess) -> Iterator[list[int]]:
    """Count, again and again, who is connected to the server besides the one who counts."""
    found: list[int] = []
    ended = threading.Event()
    query = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"

    def look() -> None:
        with psycopg.connect(access.dsn(), autocommit=True) as connection:
            while not ended.wait(0.1):
                row = connection.execute(query).fetchone()
                assert row is not None
                found.append(row[0])

    with ThreadPoolExecutor(1) as pool:
        looking = pool.submit(look)
        try:
            yield found
        finally:
            ended.set()
            looking.result()


def _noisy_tier(lab: Lab) -> dict[str, Any]:
    return _tier(lab.size(NOISY_HOMEOWNERS, 60))


def _tier(homeowners: int) -> dict[str, Any]:
    """What the chart grants a company of so many."""
    tiers = yaml.safe_load((ROOT / "charts/hoa-connect/values.yaml").read_text())["tiers"]
    tier = next(each for each in tiers.values() if each["homeowners"].get("max", homeowners) >= homeowners)
    return {name: tier[name] for name in ("requestsPerSecond", "concurrentRequests", "databaseConnections")}


def _gibibytes(access: PostgresAccess) -> float:
    with psycopg.connect(access.dsn()) as connection:
        row = connection.execute("SELECT sum(pg_database_size(oid)) FROM pg_database").fetchone()
    assert row is not None
    return float(row[0]) / 1024**3

"""What it costs to open a company's connection: processor time, whoever waits for whom, and where it goes."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

import httpx
import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from hoa_operator.scram import generate_password, verifier
from tests.bench import cpu
from tests.bench.alternating import alternate, ratios
from tests.bench.figures.table import Figure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.bench.lab import Lab
    from tests.bench.openloop import Ask
    from tests.fix_postgres import PostgresAccess

PATH: Final = "/requests"


@dataclass(frozen=True)
class Servers:
    """The process ids of the app and of Postgres, whose first connections the companies in `dsns` make."""

    app: int
    postgres: int
    access: PostgresAccess
    dsns: Sequence[str]


@dataclass(frozen=True)
class Cost:
    """Milliseconds of a core for one request."""

    app: float
    postgres: float


def measure(lab: Lab, servers: Servers, ask: Callable[[int], Ask], pooled: int) -> Iterator[Figure]:
    """`ask` makes a request of the company at a place; the app keeps the connections of `pooled` companies at most."""
    number, companies = lab.size(400, 24), len(servers.dsns)
    with httpx.Client(timeout=30) as client:

        def send(place: int) -> None:
            one = ask(place)
            answer = client.get(one.url, headers=dict(one.headers))
            assert answer.status_code == 200, answer.text

        def connect(place: int) -> None:
            psycopg.connect(servers.dsns[place]).close()

        def costs(act: Callable[[int], None], places: int) -> Cost:
            return _cost(servers, act, [turn % places for turn in range(number)])

        found = alternate(
            {
                "warm": partial(costs, send, 1),
                "cold": partial(costs, send, companies),
                "connection": partial(costs, connect, companies),
            },
            lab.rounds,
        )
    warm, cold = found["warm"], found["cold"]
    nothing = statistics.median(each.postgres for each in found["connection"])
    yield _postgres("warm", warm, f"GET {PATH}")
    yield _postgres("cold", cold, f"GET {PATH}; {nothing:.1f} ms for a connection that is asked nothing")
    missed = missed_at_best(pooled, companies)
    note = (
        f"{100 * missed:.0f} % of the requests are cold at best, "
        f"which is how many are not of the {pooled} of {companies} companies that ask most"
    )
    most = [share_at_most(one, other, missed) for one, other in zip(warm, cold, strict=True)]
    yield Figure.over(most, "many tenants, times one company alone, the most that these costs allow", note=note)
    yield _login(lab, servers.access)


def missed_at_best(pooled: int, companies: int) -> float:
    """The share of requests by Zipf's law that find no connection, if those are open whose companies ask most."""
    shares = [1 / place for place in range(1, companies + 1)]
    return sum(shares[pooled:]) / sum(shares)


def share_at_most(warm: Cost, cold: Cost, missed: float) -> float:
    """The rate with so many cold requests, as a share of that with none, where app and Postgres have a core each."""
    mixed = (
        warm.app + missed * (cold.app - warm.app),
        warm.postgres + missed * (cold.postgres - warm.postgres),
    )
    return max(warm.app, warm.postgres) / max(mixed)


def _postgres(kind: str, costs: Sequence[Cost], what: str) -> Figure:
    note = f"{what}; the app {statistics.median(each.app for each in costs):.1f} ms"
    return Figure.over(
        [each.postgres for each in costs], f"many tenants, Postgres for a {kind} request", "ms", note=note
    )


def _cost(servers: Servers, act: Callable[[int], None], places: Sequence[int]) -> Cost:
    app, postgres = cpu.seconds(servers.app), cpu.seconds_with_ended(servers.postgres)
    for place in places:
        act(place)
    return Cost(
        1000 * (cpu.seconds(servers.app) - app) / len(places),
        1000 * (cpu.seconds_with_ended(servers.postgres) - postgres) / len(places),
    )


def _login(lab: Lab, access: PostgresAccess) -> Figure:
    """The client's side of a connection with a generated password, and with one that a person chose (docs/adr/0014)."""
    number = lab.size(200, 10)
    passwords = {"generated": generate_password(), "chosen": f"chosen {generate_password()}"}
    with psycopg.connect(access.dsn(), autocommit=True) as connection:
        for name, password in passwords.items():
            role = sql.Identifier(f"bench_{name}")
            connection.execute(
                sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(role, sql.Literal(verifier(password)))
            )

    def login(name: str) -> float:
        dsn = make_conninfo(access.dsn(), user=f"bench_{name}", password=passwords[name])
        started = time.process_time()
        for _ in range(number):
            psycopg.connect(dsn).close()
        return 1000 * (time.process_time() - started) / number

    found = alternate({name: partial(login, name) for name in passwords}, lab.rounds)
    one, many = (statistics.median(found[name]) for name in passwords)
    note = f"{one:.2f} ms of the client's core with one iteration of SCRAM, {many:.2f} ms with 4096"
    return Figure.over(
        ratios(found["generated"], found["chosen"]),
        "many tenants, logging in with a generated password",
        "x",
        note=note,
    )

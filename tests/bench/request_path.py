"""The request path: what does serving many tenants cost a request?

Reads (one homeowner; a page of 20; the page of people in HTML) and a write (a new homeowner, with its entry in the audit
log) by people who are signed in with a session's cookie. "Bare" is the limit: one Starlette handler per answer over
psycopg's pool that sends the very same statements to the same database, with nothing around them; that it does is
checked by what Postgres counted. Each server has one core to itself and 5 connections; Postgres and the load have the other.
The closed loop is wrk with 16 connections. The open loop is vegeta at half the rate of the slower of both: its p99 counts
from the moment a request was due.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from tests.bench import counted
from tests.bench.alternating import alternate, ratios
from tests.bench.contestants import CONNECTIONS, Contestant, start_bare, start_ours
from tests.bench.figures.load import cycle
from tests.bench.figures.table import Figure
from tests.bench.lab import LOAD_CORE, SERVING, Lab
from tests.bench.neighbourhood import Neighbourhood, settle
from tests.contract.app.platform import Platform

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.bench.openloop import Ask
    from tests.fix_postgres import PostgresAccess

AT_ONCE: Final = 16
UNLIMITED: Final = {
    "requestsPerSecond": 1_000_000,
    "concurrentRequests": 1_000,
    "databaseConnections": 2 * CONNECTIONS,  # a pod uses half of what the tier grants
}


@dataclass(frozen=True)
class Errand:
    """One kind of request: what is asked of a contestant, and what the answer must be."""

    name: str
    asks: Callable[[Contestant, Neighbourhood], Sequence[Ask]]


def one_homeowner(server: Contestant, home: Neighbourhood) -> Sequence[Ask]:
    return [server.ask(f"/api/v1/people/{key}", place) for place, key in enumerate(home.people[:400])]


ERRANDS: Final = (Errand("one homeowner", one_homeowner),)


def measure(lab: Lab) -> Iterator[Figure]:
    """Start everybody, see that they answer alike, then let them take turns."""
    postgres = lab.postgres({**SERVING, **counted.SETTINGS}, core=LOAD_CORE)
    home = inhabit(lab, postgres.access)
    ours, bare = start_ours(lab, home), start_bare(lab, home)
    see_the_same(postgres.access, home, ours, bare)
    for errand in ERRANDS:
        yield from closed(lab, errand, home, [ours, bare])


def inhabit(lab: Lab, access: PostgresAccess) -> Neighbourhood:
    """Make a platform with one tenant that somebody lives in."""
    folder = lab.folder / "platform"
    folder.mkdir()
    tenant = Platform(access, folder).make_tenant("bench", limits=UNLIMITED)
    return settle(tenant, people=lab.size(2000, 400), staff=16)


def closed(lab: Lab, errand: Errand, home: Neighbourhood, servers: Sequence[Contestant]) -> Iterator[Figure]:
    """As many answers as they can give."""

    def load(server: Contestant) -> float:
        came = cycle(errand.asks(server, home), connections=AT_ONCE, seconds=lab.seconds, core=LOAD_CORE)
        assert came.requests, f"{server.name} answered nothing\n{server.process.tail()}"
        assert not came.errors, f"{server.name}: {came}\n{server.process.tail()}"
        return came.rate

    rates = alternate({server.name: partial(load, server) for server in servers}, lab.rounds)
    for name, rounds in rates.items():
        yield Figure.over(rounds, f"{errand.name}, {name}", "requests/s")
    yield Figure.over(ratios(rates["ours"], rates["bare"]), f"{errand.name}, ours of bare", bar=0.7, at_least=True)


def see_the_same(access: PostgresAccess, home: Neighbourhood, *servers: Contestant) -> None:
    """See that all give the same answers by the same statements, each as often."""
    counter = counted.Counter(access)
    for errand in ERRANDS:
        seen = []
        for server in servers:
            ask = errand.asks(server, home)[0]
            server.answer(ask)  # what is done once is done
            answer, statements = counter.of(partial(server.answer, ask), home.tenant.prefix)
            seen.append((answer.status_code, answer.json(), statements))
        assert all(each == seen[0] for each in seen), seen
    counter.close()

"""The request path: what does serving many tenants cost a request?

Reads (one homeowner; a page of 20; the page of people in HTML) and a write (a new homeowner, with its entry in the audit
log) by people who are signed in with a session's cookie; a write carries the token against forgery. "Bare" is the limit:
one Starlette handler per answer over psycopg's pool that sends the very same statements to the same database, with
nothing around them; that it does is checked by what Postgres counted. django-tenants (a schema per tenant, Django's own
sessions, connections that persist, gunicorn's threaded workers, 2 x cores + 1 of them) and FastAPI (SQLAlchemy on
asyncpg, a database per tenant) have the same rows in tables with the same columns, without row-level security and
without a chain in their audit log; all render the same Jinja template. Each server has one core to itself and 5
connections (Django one per thread); Postgres and the load share the other core. The closed loop is wrk with 16
connections; who leaves its core idle in it was held up by the other one, and its rate says less than its processor time. The
open loop is vegeta, at half the rate of the slower of ours and bare, and of all at half the rate of the slowest; a latency counts
from the moment the request was due, and a p99 beside bare is that of all rounds' answers together. Where our processor time
goes is by packages: whose code was running, looked at 200 times a second.
"""

from __future__ import annotations

import re
import statistics
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from tests.bench import counted, cpu, profiles
from tests.bench.alternating import alternate, ratios
from tests.bench.contestants import CONNECTIONS, Contestant, start_bare, start_ours
from tests.bench.figures.load import cycle
from tests.bench.figures.table import Figure
from tests.bench.lab import LOAD_CORE, SERVING, Lab
from tests.bench.neighbourhood import Neighbourhood, settle
from tests.bench.openloop import Arrival, Ask, arrive
from tests.bench.peer_servers import start_django, start_fastapi
from tests.contract.app.platform import Platform

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import httpx

    from tests.fix_postgres import PostgresAccess

AT_ONCE: Final = 16
UNLIMITED: Final = {
    "requestsPerSecond": 1_000_000,
    "concurrentRequests": 1_000,
    "databaseConnections": 2 * CONNECTIONS,  # a pod uses half of what the tier grants
}
#: The least share of a contestant's rate that ours must reach.
BARS: Final = {"bare": 0.7, "django-tenants": 5.0, "FastAPI": None}
LINK: Final = re.compile(r'href="/people/([0-9a-f-]{36})"')


@dataclass(frozen=True)
class Errand:
    """One kind of request: what is asked of a contestant."""

    name: str
    asks: Callable[[Contestant, Neighbourhood], Sequence[Ask]]


def one(server: Contestant, home: Neighbourhood) -> Sequence[Ask]:
    """Each of some people by their id."""
    return [server.ask(f"/api/v1/people/{key}", place) for place, key in enumerate(home.people[:400])]


def twenty(server: Contestant, home: Neighbourhood) -> Sequence[Ask]:
    """The first 20 by name."""
    return [server.ask("/api/v1/people?limit=20", place) for place in range(len(home.staff))]


def page(server: Contestant, home: Neighbourhood) -> Sequence[Ask]:
    """The list, as a person looks at it: 50 rows in a frame with navigation and search."""
    return [server.ask("/people", place) for place in range(len(home.staff))]


def add(server: Contestant, home: Neighbourhood) -> Sequence[Ask]:
    """A new person, who comes last in the list, so that the others go on reading the same."""
    new = {"name": "Zoe Newcomer"}
    return [server.ask("/api/v1/people", place, "POST", new) for place in range(len(home.staff))]


ERRANDS: Final = (
    Errand("one homeowner", one),
    Errand("a page of 20", twenty),
    Errand("the page of people", page),
    Errand("a new homeowner", add),
)


def measure(lab: Lab) -> Iterator[Figure]:
    """Start everybody, see that they answer alike, then let them take turns."""
    postgres = lab.postgres({**SERVING, **counted.SETTINGS}, core=LOAD_CORE)
    home = inhabit(lab, postgres.access)
    ours, bare = start_ours(lab, home), start_bare(lab, home)
    servers = [ours, bare, start_django(lab, home), start_fastapi(lab, home)]
    for errand in ERRANDS:
        see_the_same_answers(errand, home, servers)
    see_the_same_statements(postgres.access, home, ours, bare)
    for errand in ERRANDS[:: lab.size(1, 3)]:
        paces = race(lab, errand, home, servers, postgres.process.pid)
        yield from closed(errand, paces)
        yield where(lab, errand, home, ours)
        rates = {name: statistics.median(pace.rate for pace in found) for name, found in paces.items()}
        yield from against_bare(lab, errand, home, ours, bare, min(rates["ours"], rates["bare"]) / 2)
        yield from beside_all(lab, errand, home, servers, min(rates.values()) / 2)


def inhabit(lab: Lab, access: PostgresAccess) -> Neighbourhood:
    """Make a platform with one tenant that somebody lives in."""
    folder = lab.folder / "platform"
    folder.mkdir()
    tenant = Platform(access, folder).make_tenant("bench", limits=UNLIMITED)
    return settle(tenant, people=lab.size(2000, 400), staff=16)


@dataclass(frozen=True)
class Pace:
    """Requests a second, and milliseconds of a core that the server, and Postgres, used for each."""

    rate: float
    cost: float
    postgres: float


def race(
    lab: Lab, errand: Errand, home: Neighbourhood, servers: Sequence[Contestant], postgres: int
) -> dict[str, list[Pace]]:
    """As many answers as they can give; `postgres` is its process."""

    def load(server: Contestant) -> Pace:
        before, within = cpu.seconds(server.process.pid), cpu.seconds_with_ended(postgres)
        came = cycle(errand.asks(server, home), connections=AT_ONCE, seconds=lab.seconds, core=LOAD_CORE)
        assert came.requests, f"{server.name} answered nothing\n{server.process.tail()}"
        assert not came.errors, f"{server.name}: {came}\n{server.process.tail()}"
        spent = cpu.seconds(server.process.pid) - before, cpu.seconds_with_ended(postgres) - within
        return Pace(came.rate, *(1000 * seconds / came.requests for seconds in spent))

    return alternate({server.name: partial(load, server) for server in servers}, lab.rounds)


def closed(errand: Errand, paces: Mapping[str, Sequence[Pace]]) -> Iterator[Figure]:
    """Ours, and how many times each of the others it is."""
    rates = {name: [pace.rate for pace in found] for name, found in paces.items()}
    costs = {name: statistics.median(pace.cost for pace in found) for name, found in paces.items()}

    def told(name: str) -> str:
        rate, within = statistics.median(rates[name]), statistics.median(pace.postgres for pace in paces[name])
        # Who leaves its core idle was held up by the other one, where Postgres and the load are.
        busy = f"{rate * costs[name] / 10:.0f} %"
        return f"{costs[name]:.2f} ms of a core each, which was busy for {busy}, and {within:.2f} in Postgres"

    yield Figure.over(rates["ours"], errand.name, "requests/s", note=told("ours"))
    for name, bar in BARS.items():
        note = f"{name}: {statistics.median(rates[name]):.0f}/s, {told(name)}"
        if name != "bare":
            note += f"; the limit: bare is {statistics.median(ratios(rates['bare'], rates[name])):.1f} times it"
        shares = ratios(rates["ours"], rates[name])
        yield Figure.over(shares, f"{errand.name}, times {name}", "", bar, note, at_least=True)
    more = ratios([pace.cost for pace in paces["ours"]], [pace.cost for pace in paces["bare"]])
    yield Figure.over(more, f"{errand.name}, processor time of ours, times bare")


def where(lab: Lab, errand: Errand, home: Neighbourhood, ours: Contestant) -> Figure:
    """What our processor time goes to."""
    with profiles.taken(ours.process.pid, lab.folder) as profile:
        cycle(errand.asks(ours, home), connections=AT_ONCE, seconds=lab.seconds, core=LOAD_CORE)
    share = 100 * next(iter(profile.shares.values()))
    return Figure(f"{errand.name}, the largest part of our processor time", share, "%", note=profile.words())


def against_bare(
    lab: Lab, errand: Errand, home: Neighbourhood, ours: Contestant, bare: Contestant, rate: float
) -> Iterator[Figure]:
    """How long both take at a rate that both can serve."""
    came = opened(errand, home, [ours, bare], rate, lab.seconds, lab.rounds)
    p99 = {name: [each.p99 for each in found] for name, found in came.items()}
    whole = {name: Arrival.together(found) for name, found in came.items()}
    late = max(each.lag for each in whole.values())
    note = f"at {rate:.0f} requests/s, of {whole['ours'].requests} answers; the load itself was late by {late:.2f} ms"
    yield Figure(f"{errand.name}, p99", whole["ours"].p99, "ms", note=note, rounds=p99["ours"])
    times, note = whole["ours"].p99 / whole["bare"].p99, f"bare: {whole['bare'].p99:.2f} ms"
    rounds = ratios(p99["ours"], p99["bare"])
    yield Figure(f"{errand.name}, p99 times bare", times, "", 1.5, note, rounds=rounds)


def beside_all(
    lab: Lab, errand: Errand, home: Neighbourhood, servers: Sequence[Contestant], rate: float
) -> Iterator[Figure]:
    """How long all of them take at a rate that all of them can serve."""
    came = opened(errand, home, servers, rate, max(1, lab.seconds // 2), lab.rounds)
    p99 = {name: [each.p99 for each in found] for name, found in came.items()}
    others = ", ".join(f"{name} {statistics.median(found):.2f}" for name, found in p99.items() if name != "ours")
    title = f"{errand.name}, p99 at the pace of the slowest"
    yield Figure.over(p99["ours"], title, "ms", note=f"at {rate:.0f} requests/s; {others} ms")


def opened(
    errand: Errand, home: Neighbourhood, servers: Sequence[Contestant], rate: float, seconds: int, rounds: int
) -> dict[str, list[Arrival]]:
    """Ask each of them in turn at the same pace."""

    def load(server: Contestant) -> Arrival:
        came = arrive(errand.asks(server, home), rate, seconds)
        assert not came.errors, f"{server.name}: {came}\n{server.process.tail()}"
        return came

    return alternate({server.name: partial(load, server) for server in servers}, rounds)


def see_the_same_answers(errand: Errand, home: Neighbourhood, servers: Sequence[Contestant]) -> None:
    """See that everyone says the same."""
    said = {}
    for server in servers:
        answer = server.answer(errand.asks(server, home)[0])
        assert answer.status_code == (201 if errand.asks is add else 200), f"{server.name}: {answer.text}"
        said[server.name] = _essence(answer)
    assert all(each == said["ours"] for each in said.values()), said


def _essence(answer: httpx.Response) -> Any:
    """What must be alike: rows, but neither cursors nor the ids of new ones; of a page, who is on it in which order."""
    if not answer.headers["content-type"].startswith("application/json"):
        found = LINK.findall(answer.text)
        assert len(found) == 50
        return found
    said = answer.json()
    return said.get("items") or {
        name: value for name, value in said.items() if name != "id" or answer.status_code == 200
    }


def see_the_same_statements(access: PostgresAccess, home: Neighbourhood, *servers: Contestant) -> None:
    """See that they send the same statements, each as often."""
    counter = counted.Counter(access)
    for errand in ERRANDS:
        seen = []
        for server in servers:
            ask = errand.asks(server, home)[0]
            answer, statements = counter.of(partial(server.answer, ask), home.tenant.prefix)
            assert answer.status_code < 400, answer.text
            seen.append(statements)
        assert all(each == seen[0] for each in seen), f"{errand.name}: {seen}"
    counter.close()

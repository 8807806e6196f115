"""A thousand people: does one company stay quick while all its people are there?

1 000 people of one tenant are signed in, 12 of them staff, and each asks for something every 7 seconds (the mean think
time of TPC-W), nine times out of ten as a homeowner: the home page, their requests, one of them with its conversation,
a reply, a new request; or as staff: the dashboard, the list of requests and of people, a search, a person. One in ten
writes. Two of the app's processes, as many as a company has pods at least, held to the limits of the tier for so many
people, Postgres, which commits to disk, and the load share two cores. The processes are shared, as pods are: somebody of
another company asks each for a page twice a second, so that of these people only so many requests are worked on at a time
as of one company among others (ADR 19). Nobody waits for anybody: requests come at random
moments, as those of people do who know nothing of each other, and a latency counts from the moment the request was due.
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import httpx
import yaml

from tests.bench import cpu
from tests.bench.alternating import alternate
from tests.bench.contestants import Contestant, start_ours
from tests.bench.figures.table import Figure
from tests.bench.neighbourhood import settle, sign_in
from tests.bench.openloop import come_and_go
from tests.contract.app.platform import ROOT, Platform

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.bench.lab import Lab
    from tests.bench.openloop import Arrival, Ask
    from tests.contract.app.platform import MadeTenant
    from tests.fix_postgres import PostgresServer

PEOPLE: Final = 1000
STAFF: Final = 12
PODS: Final = 2
THINK_SECONDS: Final = 7.0
#: Between the pages of somebody of another company, for less than a second of which a process counts as shared.
NEIGHBOUR_SECONDS: Final = 0.5
MEAN_MS: Final = 50
P99_MS: Final = 250
ACCOUNTS: Final = """
WITH owner AS (SELECT id, name, gen_random_uuid() AS user_id FROM people ORDER BY id LIMIT %(homeowners)s),
     made AS (INSERT INTO users (id, email, name, role)
              SELECT user_id, user_id || '@mail.example', name, 'homeowner' FROM owner RETURNING id)
UPDATE people SET user_id = owner.user_id FROM owner JOIN made ON made.id = owner.user_id WHERE people.id = owner.id
"""
REQUESTS: Final = """
INSERT INTO requests (created_by, person_id, unit_id, community_id, category, title, description, state, created_at)
SELECT p.user_id, p.id, u.id, u.community_id, 'Maintenance', 'Broken light ' || n, 'The light by the door is out.',
       (ARRAY['Submitted', 'InProgress', 'Resolved'])[n], now() - n * interval '3 days'
  FROM people p JOIN ownerships o ON o.person_id = p.id JOIN units u ON u.id = o.unit_id, generate_series(1, 3) n
 WHERE p.user_id IS NOT NULL
"""
COMMENTS: Final = """
INSERT INTO request_comments (request_id, author_id, visibility, body)
SELECT r.id, r.created_by, 'Public', 'It is still out, message ' || n FROM requests r, generate_series(1, 2) n
"""
OWN: Final = "SELECT created_by, min(id::text) FROM requests GROUP BY created_by"
COUNT: Final = "SELECT count(*) FROM {}"


@dataclass(frozen=True)
class Person:
    """Somebody with a browser; `place` is theirs among the browsers, `request` one of their own."""

    place: int
    request: str | None


@dataclass(frozen=True)
class Doing:
    """Something people do, how often out of a hundred times, what a good answer is, and the table it adds a row to."""

    name: str
    share: int
    path: str
    by_staff: bool = False
    status: int = 200
    body: dict[str, str] | None = None
    writes: str = ""

    def ask(self, server: Contestant, who: Person) -> Ask:
        """Return the request that one of them sends."""
        path = self.path.format(request=who.request)
        return server.ask(path, who.place, "POST" if self.body else "GET", self.body)


QUESTION: Final = {"category": "Question", "title": "The pool", "description": "When does it open this year?"}
ANSWER: Final = {"body": "Somebody comes on Monday."}
DOINGS: Final = (
    Doing("home", 36, "/"),
    Doing("their requests", 22, "/requests"),
    Doing("a request", 22, "/requests/{request}"),
    Doing("a reply", 8, "/requests/{request}/reply", status=303, body=ANSWER, writes="request_comments"),
    Doing("a new request", 2, "/api/v1/requests", status=201, body=QUESTION, writes="requests"),
    Doing("the dashboard", 3, "/", by_staff=True),
    Doing("all requests", 3, "/requests", by_staff=True),
    Doing("the people", 2, "/people", by_staff=True),
    Doing("a search", 2, "/people?q=brooks", by_staff=True),
)


def measure(lab: Lab) -> Iterator[Figure]:
    """Everybody at once, for a while, several times."""
    people = lab.size(PEOPLE, 100)
    crowd = gather(lab, people)
    crowd.look()
    rate = people / THINK_SECONDS
    number = round(rate * lab.size(30, 2))
    turns = random.Random(5)
    before = crowd.cpu()
    rounds = alternate({"ours": lambda: crowd.stay(crowd.plan(turns, number), rate, turns)}, lab.rounds)["ours"]
    spent = {name: (seconds - before[name]) / (1 + lab.rounds) / number * 1000 for name, seconds in crowd.cpu().items()}
    note = f"{people} people, {rate:.0f} requests/s; a request took {spent['app']:.1f} ms of a core in the app and"
    note += f" {spent['Postgres']:.1f} in Postgres"
    yield Figure.over([each.mean for each in rounds], "a thousand people, average", "ms", MEAN_MS, note)
    yield Figure.over([each.p99 for each in rounds], "a thousand people, p99", "ms", P99_MS, note)
    lag = max(each.lag for each in rounds)
    yield Figure("a thousand people, lateness of the load itself", lag, "ms", note="p99 of the worst round")
    note = f"of {sum(each.requests for each in rounds)} requests; worst round: {max(rounds, key=lambda each: each.p99)}"
    yield Figure("a thousand people, errors", sum(each.errors for each in rounds), "", 0, note)


@dataclass(frozen=True)
class Crowd:
    """The app's processes, and everyone who is there."""

    tenant: MadeTenant
    neighbour: MadeTenant
    postgres: PostgresServer
    servers: Sequence[Contestant]
    homeowners: Sequence[Person]
    staff: Sequence[Person]

    def look(self) -> None:
        """See that each process answers each thing as it should."""
        for server in self.servers:
            for doing in DOINGS:
                answer = server.answer(doing.ask(server, self._who(doing, 0)))
                assert answer.status_code == doing.status, f"{doing.name}: {answer.status_code} {answer.text}"
                assert not answer.headers.get("location", "").startswith("/sign-in"), doing.name

    def plan(self, turns: random.Random, number: int) -> list[tuple[Doing, Ask]]:
        """Say who asks for what, in which order; everybody comes to their turn, at one process after the other."""
        doings = turns.choices(DOINGS, [doing.share for doing in DOINGS], k=number)
        first = turns.randrange(len(self.homeowners))
        return [
            (doing, doing.ask(self.servers[place % len(self.servers)], self._who(doing, first + place)))
            for place, doing in enumerate(doings)
        ]

    def stay(self, plan: Sequence[tuple[Doing, Ask]], rate: float, turns: random.Random) -> Arrival:
        """Ask all of it; see that each was answered as it should, and that what was written is there."""
        before = self._written()
        with self._beside_another():
            came = come_and_go([ask for _, ask in plan], rate, turns)
        grown = {table: count - before[table] for table, count in self._written().items()}
        if not came.errors:
            assert came.codes == Counter(doing.status for doing, _ in plan), came
            sent = Counter(doing.writes for doing, _ in plan)
            assert grown == {table: sent[table] for table in grown}, (grown, sent)
        return came

    @contextmanager
    def _beside_another(self) -> Iterator[None]:
        """Have another company's sign-in page asked for meanwhile."""
        ended, codes = threading.Event(), Counter[int]()

        def ask() -> None:
            with httpx.Client(headers={"Host": self.neighbour.host}, timeout=30) as client:
                while not ended.wait(NEIGHBOUR_SECONDS):
                    for server in self.servers:
                        codes[client.get(f"http://127.0.0.1:{server.port}/sign-in").status_code] += 1

        with ThreadPoolExecutor(1, "neighbour") as pool:
            asking = pool.submit(ask)
            try:
                yield
            finally:
                ended.set()
            asking.result()  # one that could not ask any more was no neighbour
        assert set(codes) == {200}, f"the other company was answered {dict(codes)}"

    def cpu(self) -> dict[str, float]:
        """Return the seconds of processor time that both took so far."""
        app = sum(cpu.seconds(server.process.pid) for server in self.servers)
        return {"app": app, "Postgres": cpu.seconds_with_ended(self.postgres.process.pid)}

    def _who(self, doing: Doing, turn: int) -> Person:
        people = self.staff if doing.by_staff else self.homeowners
        return people[turn % len(people)]

    def _written(self) -> dict[str, int]:
        with self.tenant.as_admin() as connection:
            counts = {
                table: connection.execute(COUNT.format(table)).fetchone() for table in ("requests", "request_comments")
            }
        return {table: int(count[0]) for table, count in counts.items() if count}


def gather(lab: Lab, number: int) -> Crowd:
    """Make the company with its people, sign them in and start the app twice."""
    folder = lab.folder / "platform"
    folder.mkdir()
    postgres = lab.postgres()
    platform = Platform(postgres.access, folder)
    tenant, neighbour = (
        platform.make_tenant("crowd", limits=limits()),
        platform.make_tenant("neighbour", limits=limits()),
    )
    home = settle(tenant, people=number * 3 // 2, staff=STAFF)
    with tenant.as_admin() as connection:
        connection.execute(ACCOUNTS, {"homeowners": number - STAFF})
        connection.execute(REQUESTS)
        connection.execute(COMMENTS)
        own = dict(connection.execute(OWN).fetchall())
        there = [*home.staff, *sign_in(tenant, connection, "homeowner")]
        connection.execute("VACUUM ANALYZE")
    assert len(there) == number
    people = [Person(place, own.get(one.id)) for place, one in enumerate(there)]
    everybody = replace(home, staff=there)
    servers = [start_ours(lab, everybody, core=None) for _ in range(PODS)]
    return Crowd(tenant, neighbour, postgres, servers, people[STAFF:], people[:STAFF])


def limits() -> dict[str, int]:
    """What the chart grants a company of so many people."""
    tiers = yaml.safe_load((ROOT / "charts/hoa-connect/values.yaml").read_text())["tiers"]
    tier = next(each for each in tiers.values() if each["homeowners"].get("max", PEOPLE) >= PEOPLE)
    return {name: tier[name] for name in ("requestsPerSecond", "concurrentRequests", "databaseConnections")}

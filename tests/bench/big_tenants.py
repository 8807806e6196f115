"""Big tenants: what does a company with 100 000 homeowners wait for?

The import: a company's register as CSV, by the API as a program sends it: each file (50 000 lines at most) uploaded for
its preview, then confirmed, into a database without homeowners. The limit is plain COPY of the very same rows into the
same tables, with their indexes and constraints, in one transaction, by a superuser whom row-level security does not
bind; ids are drawn and the text is made beforehand, and nothing is read, matched or reported.
The pages: what staff look at, by one person who asks for one page after the other, in a company with that register and
as many requests as homeowners, and in one of a hundredth of its size beside it: the ratio says how the cost grows.
App on one core; Postgres, which commits to disk, and the load on the other.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

import httpx

from hoa_app.features.kit.paging import encode_cursor
from hoa_app.migrations import serving
from tests.bench import register
from tests.bench.alternating import alternate, ratios
from tests.bench.contestants import Contestant, browser_of, start_ours
from tests.bench.figures.load import cycle
from tests.bench.figures.table import Figure
from tests.bench.lab import LOAD_CORE
from tests.bench.neighbourhood import USERS, Neighbourhood, SignedIn, sign_in
from tests.bench.register import Register
from tests.contract.app.platform import Platform

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import psycopg

    from tests.bench.lab import Lab
    from tests.contract.app.platform import MadeTenant

#: How many times smaller the company beside it is.
SMALLER: Final = 100
LIMITS: Final = {"requestsPerSecond": 1_000_000, "databaseConnections": 10}


@dataclass(frozen=True)
class Company:
    """A tenant, somebody of its staff, and the app that serves it."""

    tenant: MadeTenant
    user: SignedIn
    size: int
    server: Contestant

    def load(self, path: str, seconds: int) -> float:
        """Return the median of one person's waits for a page, in ms."""
        came = cycle([self.server.ask(path)], connections=1, seconds=seconds, core=LOAD_CORE)
        assert came.requests, f"{path} was not answered once\n{self.server.process.tail()}"
        assert not came.errors, f"{path}: {came}\n{self.server.process.tail()}"
        return came.p50


@dataclass(frozen=True)
class Page:
    """Something to look at: a path, made for a company, and what must be on it."""

    name: str
    path: Callable[[psycopg.Connection], str]
    holds: str


def _of(path: str) -> Callable[[psycopg.Connection], str]:
    return lambda _: path


def _last_person(connection: psycopg.Connection) -> str:
    return f"/people?q={_one(connection, 'SELECT max(email) FROM people')}"


def _of_one_community(connection: psycopg.Connection) -> str:
    return f"/people?community={_one(connection, 'SELECT max(id::text) FROM communities')}"


def _middle_of_people(connection: psycopg.Connection) -> str:
    ordered = 'SELECT name, id::text FROM people ORDER BY name COLLATE "und-x-icu", id'
    row = connection.execute(f"{ordered} OFFSET (SELECT count(*) / 2 FROM people) LIMIT 1").fetchone()
    assert row is not None
    return f"/people?after={encode_cursor(*row)}"


def _middle_of_requests(connection: psycopg.Connection) -> str:
    return f"/requests?state=all&after={encode_cursor(int(_one(connection, 'SELECT max(number) / 2 FROM requests')))}"


PAGES: Final = (
    Page("the list of people", _of("/people"), "owner"),
    Page("the middle of that list", _middle_of_people, "owner"),
    Page("a search for one person", _last_person, "owner"),
    Page("a search for many", _of("/people?q=brooks"), "Brooks"),
    Page("a search for nobody", _of("/people?q=nobodyatall"), ""),
    Page("the people of a community", _of_one_community, "owner"),
    Page("the list of requests", _of("/requests"), "at home"),
    Page("the middle of all requests", _middle_of_requests, "at home"),
    Page("a search for one request", _of("/requests?state=all&q=home+7"), "at home 7"),
    Page("the dashboard", _of("/"), ""),
)


def measure(lab: Lab) -> Iterator[Figure]:
    """Import, then look around in what was imported."""
    folder = lab.folder / "platform"
    folder.mkdir()
    platform = Platform(lab.postgres(core=LOAD_CORE).access, folder)
    platform.make_template()
    size = lab.size(100_000, 1000)
    big, small = _companies(lab, platform, {"big": size, "small": size // SMALLER})
    for each in (size // 10, size):
        yield from _imports(lab, big, Register(each))
    for company in (big, small):
        with company.tenant.as_admin() as connection:
            if company is small:
                register.copy(connection, Register(company.size).copies(str(company.tenant.id)))
            connection.execute(register.REQUESTS, {"every": 1})
            connection.execute("VACUUM ANALYZE")
    for page in PAGES[:: lab.size(1, 3)]:
        yield _page(lab, page, big, small)


def _companies(lab: Lab, platform: Platform, sizes: dict[str, int]) -> list[Company]:
    tenants = [platform.new_tenant(slug, **LIMITS) for slug in sizes]
    users = []
    for tenant in tenants:
        platform.make_database(tenant, template=serving.head())
        done = platform.run_job(tenant)
        assert done.returncode == 0, done.stdout + done.stderr
        platform.register(tenant)
        with tenant.as_admin() as connection:
            connection.execute(USERS, {"staff": 1})
            users += sign_in(tenant, connection)
    ours = start_ours(lab, Neighbourhood(tenants[0], [], users[:1]))
    servers = [
        Contestant(tenant.slug, ours.port, tenant.host, [browser_of(user)], ours.process)
        for tenant, user in zip(tenants, users, strict=True)
    ]
    return [Company(*each) for each in zip(tenants, users, sizes.values(), servers, strict=True)]


def _imports(lab: Lab, company: Company, known: Register) -> Iterator[Figure]:
    """The import and plain COPY take turns at the same database, emptied before each."""
    files, copies = known.spreadsheets(), known.copies(str(company.tenant.id))
    with company.tenant.as_admin() as connection:

        def timed(work: Callable[[], None]) -> float:
            register.empty(connection)
            started = time.perf_counter()
            work()
            seconds = time.perf_counter() - started
            there = (-(-known.size // register.HOMES_OF_A_COMMUNITY), *[known.size] * 3)
            assert register.counted(connection) == there
            return known.size / seconds

        turns: dict[str, Callable[[], None]] = {
            "COPY": partial(register.copy, connection, copies),
            "import": partial(_import, company, files),
        }
        rounds = min(lab.rounds, 3)
        rates = alternate({name: partial(timed, work) for name, work in turns.items()}, rounds)
        timed(turns["import"])  # what the pages are looked at with
    note = f"{known.size / statistics.median(rates['import']):.1f} s for {known.size} homeowners"
    yield Figure.over(rates["import"], f"import of {known.size}", "rows/s", note=note)
    note = f"COPY: {statistics.median(rates['COPY']):.0f} rows/s"
    yield Figure.over(
        ratios(rates["import"], rates["COPY"]), f"import of {known.size}, times plain COPY", "", note=note
    )


def _import(company: Company, files: Sequence[bytes]) -> None:
    base, host = f"http://127.0.0.1:{company.server.port}/api/v1/imports", {"Host": company.tenant.host}
    headers = {**host, "Authorization": f"Bearer {company.user.minted.token}"}
    with httpx.Client(headers=headers, timeout=300) as client:
        for file in files:
            preview = client.post(base, content=file, headers={"Content-Type": "text/csv"})
            assert preview.status_code == 201, preview.text
            made = preview.json()["import"]
            assert made["errorCount"] == 0, preview.text
            done = client.post(f"{base}/{made['id']}/confirm")
            assert done.status_code == 200, done.text
            assert done.json()["counts"]["new"] == made["lineCount"]


def _page(lab: Lab, page: Page, big: Company, small: Company) -> Figure:
    waits: dict[str, Callable[[], float]] = {}
    for company in (big, small):
        with company.tenant.as_admin() as connection:
            path = page.path(connection)
        answer = company.server.answer(company.server.ask(path))
        assert answer.status_code == 200, answer.text
        assert page.holds in answer.text, path
        waits[company.tenant.slug] = partial(company.load, path, lab.size(3, 1))
    found = alternate(waits, lab.rounds)
    growth = statistics.median(ratios(found["big"], found["small"]))
    note = f"x{growth:.1f} of a company with {small.size}"
    return Figure.over(found["big"], f"{page.name}, among {big.size}", "ms", note=note)


def _one(connection: psycopg.Connection, query: str) -> str:
    row = connection.execute(query).fetchone()
    assert row is not None
    return str(row[0])

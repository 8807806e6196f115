"""Every route of the app with every wrong identity; each answer is searched for canaries of all other companies."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from prometheus_client import generate_latest
from structlog.testing import capture_logs

from hoa_app.ops import ops_app
from tests.contract.app.conftest import serving
from tests.contract.isolation.asking import Question, ask
from tests.contract.isolation.callers import everyone
from tests.contract.isolation.canaries import PUBLIC
from tests.contract.isolation.companies import unplanted
from tests.contract.isolation.doors import doors, routed, unfilled
from tests.contract.isolation.rightful import CONTENTLESS, Rightful
from tests.contract.isolation.world import Sweep, World
from tests.figures import record
from tests.never import never

if TYPE_CHECKING:
    from tests.contract.app.platform import Platform


async def test_every_column_with_words_holds_a_canary(world: World) -> None:
    assert [column for company in world.companies for column in unplanted(company)] == []


async def test_every_route_can_be_filled_in(place: Platform) -> None:
    async with serving(place) as site:
        found = doors(site.app)
    assert unfilled(found) == []
    assert len(found) > 100


@pytest.mark.figures
async def test_no_wrong_identity_sees_or_changes_anything(
    place: Platform, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    with capture_logs() as events:
        async with serving(place, HOA_TRUSTED_PROXIES="10.0.0.0/8") as site:
            report = await Sweep(world, site.app).callers(everyone(world))
            figures = generate_latest(site.services.metrics.registry)
    note = f"{report.identities} identities on {len(report.doors)} routes"
    record("isolation: identity x route pairs tried", report.pairs, 5000, "pairs", note=note, at_least=True)
    record("isolation: leaks in those pairs", len(report.faults), 0, "leaks")
    never(report.faults, "a wrong identity saw or changed something")
    assert report.pairs > 5000
    # What the process writes down of all this: ids and hosts of whom it served, and no word of anybody's.
    logged = "\n".join([*(json.dumps(event, default=str) for event in events), caplog.text])
    assert len(events) > report.pairs / 2
    never(world.aviary.search_log(logged.encode()), "people's words in the log")
    never(world.aviary.search_log(figures), "people's words in the metrics")


async def test_the_right_identity_is_shown_its_own(place: Platform, world: World) -> None:
    """The control: the same questions, put by whoever may, are answered with the company's canaries; else no search could fail."""
    async with serving(place) as site:
        shown = await Rightful(world, site.app).all()
    assert [
        f"{door}: {answer.status} {answer.body[:300]!r}" for door, (answer, _) in shown.items() if answer.status >= 400
    ] == []
    silent = {str(door) for door, (_, found) in shown.items() if world.own.tag not in {one.tag for one in found}}
    assert sorted(silent - CONTENTLESS) == [], "these show nothing of the company"
    assert sorted(CONTENTLESS - silent) == [], "these do show something"
    tags = {one.tag for _, found in shown.values() for one in found}
    never(tags - {world.own.tag}, "words of another company")
    assert tags == {world.own.tag}


async def test_the_port_of_machines_tells_nobodys_words(place: Platform, world: World) -> None:
    async with serving(place) as site:
        await ask(site.app, Question("GET", f"/people/{world.own.things[0]['person']}", (world.own.host,)))
        machines = ops_app(site.services.metrics, lambda: True)
        for door in routed(machines):
            answer = await ask(machines, Question(door.method, door.path, ("10.0.0.9",)))
            assert answer.status == 200
            never(world.aviary.search_log(answer.whole), "people's words at the port of machines")
        for path in ("/metrics", "/docs", "/.env", "/admin"):
            answer = await ask(site.app, Question("GET", path, (world.own.host,)))
            assert (answer.status, answer.header("content-type")) != (200, "text/plain"), path
            assert {one.scope for one in world.aviary.search(answer.whole)} <= {PUBLIC}

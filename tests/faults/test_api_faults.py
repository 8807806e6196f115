"""Each thing that can go wrong between operator and API server, at every write of a create and of an update, or at the
watches under them: it ends as an undisturbed run does, nothing is made twice, and then nothing is written."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.faults.apirequest import api
from tests.faults.effects import Answer, Delay, Drop, Duplicate, Expire, HalfOpen, ReplyLost, Rule, StaleList
from tests.faults.entries import counts
from tests.faults.scenarios import Create, Update

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.faults.apirequest import ApiRequest
    from tests.faults.effects import Effect
    from tests.faults.installation import Installation
    from tests.faults.lanes import Lane
    from tests.faults.scenarios import Scenario
    from tests.faults.world import World

AT_EVERY_WRITE: Final[dict[str, Effect]] = {
    "dropped": Drop(),
    "delayed": Delay(0.3),
    "duplicated": Duplicate(),
    "reply lost": ReplyLost(),
    "409": Answer(409),
    "422": Answer(422),
    "429": Answer(429, retry_after=1),
    "500": Answer(500),
}


@pytest.fixture(scope="module")
def references(lanes: list[Lane]) -> dict[Scenario, World]:
    """The world that an undisturbed run ends in, per scenario."""
    return {scenario: lanes[0].clean_run(scenario)[1] for scenario in (Create, Update)}


def first_of_each() -> Callable[[ApiRequest], bool]:
    """Match the first write of each kind to each object, and never a repetition."""
    seen: set[str] = set()

    def matches(request: ApiRequest) -> bool:
        new = counts(request) and str(request) not in seen
        seen.add(str(request))
        return new

    return matches


@pytest.mark.parametrize("scenario", [Create, Update], ids=lambda scenario: scenario.__name__.lower())
@pytest.mark.parametrize("fault", AT_EVERY_WRITE)
def test_a_fault_at_every_write(
    lanes: list[Lane], references: dict[Scenario, World], scenario: Scenario, fault: str
) -> None:
    rule: Rule[ApiRequest] = Rule(first_of_each(), AT_EVERY_WRITE[fault], times=None)
    lanes[0].disturbed_run(scenario, lambda installation, _: put(installation, rule), references[scenario])
    assert len(rule.hits) >= (8 if scenario is Create else 2), [str(request) for request in rule.hits]


def put(installation: Installation, *rules: Rule[Any]) -> None:
    for rule in rules:
        installation.api.rules.add(rule)


def relist(installation: Installation) -> None:
    """End every watch, and let the first list and the first watch of each kind be refused as well."""
    once: set[str] = set()

    def first(request: ApiRequest) -> bool:
        new = request.verb in ("list", "watch") and str(request) not in once
        once.add(str(request))
        return new

    put(installation, Rule(first, Expire(), times=None))
    assert installation.api.expire_watches() > 5


def stale_lists(installation: Installation) -> None:
    """End every watch, and answer the list that follows each with the oldest one there is."""
    put(installation, Rule(api(verb="list"), StaleList(), times=None))
    assert installation.api.expire_watches() > 5


def half_open(installation: Installation) -> None:
    """Let every watch hang, and those of Jobs that come after them; the connections end some seconds later."""
    put(installation, Rule(api(verb="watch", resource="jobs"), HalfOpen()))
    assert installation.api.freeze_watches() > 5
    for seconds in (2.0, 4.0):
        threading.Timer(seconds, installation.api.expire_watches).start()


@pytest.mark.parametrize("scenario", [Create, Update], ids=lambda scenario: scenario.__name__.lower())
@pytest.mark.parametrize("disturb", [relist, stale_lists, half_open], ids=lambda disturb: disturb.__name__)
def test_a_fault_under_the_watches(
    lanes: list[Lane],
    references: dict[Scenario, World],
    scenario: Scenario,
    disturb: Callable[[Installation], None],
) -> None:
    lanes[0].disturbed_run(scenario, lambda installation, _: disturb(installation), references[scenario])

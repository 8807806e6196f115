"""Each thing that can go wrong between operator and API server, at the writes of a change or at the watches under it: it
ends as an undisturbed run does, nothing is made twice, and then nothing is written.

In CI each fault strikes every third write of a create, of an update and of one other change, which is another one each
day; ``CRASH=all`` strikes every write of every change.
"""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.faults.apirequest import api
from tests.faults.breaks import side_by_side
from tests.faults.effects import Answer, Delay, Drop, Duplicate, Expire, HalfOpen, ReplyLost, Rule, StaleList
from tests.faults.ends import ENDED
from tests.faults.entries import counts
from tests.faults.scenarios import SCENARIOS, Create, Update

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.faults.apirequest import ApiRequest
    from tests.faults.clean import CleanRuns
    from tests.faults.effects import Effect
    from tests.faults.installation import Installation
    from tests.faults.lanes import Lane
    from tests.faults.scenarios import Scenario

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

#: Writes after which a change is under way: no list is any more what it was before.
UNDER_WAY: Final = 3
#: Seconds for which watches hang.
DEAF_SECONDS: Final = 2.0
EVERY: Final = 1 if os.environ.get("HOA_FAULTS_CRASH") == "all" else 3
SEED: Final = int(os.environ.get("HOA_FAULTS_SEED") or time.time() // 86400)
#: The changes that one fault meets each day, and all with ``CRASH=all``.
OTHERS: Final = [each for each in SCENARIOS if each not in (Create, Update) and not each.staged]


def disturbed(
    lanes: list[Lane],
    clean: CleanRuns,
    disturb: Callable[[Installation], None],
    script: Script | None = None,
    scenarios: Sequence[Scenario] = (Create, Update),
) -> None:
    """Make each change of a tenant while it is disturbed, side by side; hold all of them to their undisturbed ends."""
    references = clean.of(scenarios)

    def struck() -> bool:
        return script is None or not script.missed()

    def run(scenario: Scenario) -> Callable[[Lane], list[str]]:
        return lambda lane: [
            f"{scenario.__name__}: {line}"
            for line in lane.disturbed_run(scenario, disturb, references[scenario][1], struck)
        ]

    wrong = [line for lines in side_by_side(lanes, [run(scenario) for scenario in scenarios]) for line in lines]
    if script is not None and script.may_end:
        ends = [line for line in wrong if ENDED in line and script.may_end in line and "\nTraceback" not in line]
        wrong = [line for line in wrong if line not in ends]
    assert not wrong, "\n".join(wrong)


def first_of_each(share: int, offset: int) -> Callable[[ApiRequest], bool]:
    """Match the first of each kind of write to each object, every ``share``-th of these, and never a repetition."""
    seen: list[str] = []

    def matches(request: ApiRequest) -> bool:
        if not counts(request) or str(request) in seen:
            return False
        seen.append(str(request))
        return (len(seen) + offset) % share == 0

    return matches


@pytest.mark.parametrize("fault", AT_EVERY_WRITE)
def test_a_fault_at_writes(lanes: list[Lane], clean: CleanRuns, fault: str) -> None:
    hits: list[ApiRequest] = []
    offset = list(AT_EVERY_WRITE).index(fault)
    others = OTHERS if EVERY == 1 else [OTHERS[(offset + SEED) % len(OTHERS)]]

    def disturb(installation: Installation) -> None:
        rule: Rule[ApiRequest] = Rule(first_of_each(EVERY, offset), AT_EVERY_WRITE[fault], times=None)
        rule.hits = hits
        put(installation, rule)

    disturbed(lanes, clean, disturb, scenarios=[Create, Update, *others])
    assert len(hits) >= 2, hits


def put(installation: Installation, *rules: Rule[Any]) -> None:
    for rule in rules:
        installation.api.rules.add(rule)


@dataclass
class Script:
    """What is done to the watches while a change is under way, and what it must have come to."""

    ending: threading.Event = field(default_factory=threading.Event)
    #: What an operator that ends by itself says then, if it may.
    may_end: str = ""
    _threads: list[threading.Thread] = field(default_factory=list)
    _wanted: list[tuple[str, Callable[[], bool]]] = field(default_factory=list)

    def meanwhile(self, act: Callable[[], None]) -> None:
        """Do something beside the change; it looks after ``ending``."""
        thread = threading.Thread(target=act, name="script")
        thread.start()
        self._threads.append(thread)

    def must(self, what: str, holds: Callable[[], bool]) -> None:
        """Note what must be so at the end, or the fault was none."""
        self._wanted.append((what, holds))

    def end(self) -> None:
        """End it: nothing of it happens later, to another test."""
        self.ending.set()
        for thread in self._threads:
            thread.join()

    def missed(self) -> list[str]:
        """Return what never struck."""
        return [what for what, holds in self._wanted if not holds()]


def relist(script: Script, installation: Installation, *verbs: str) -> None:
    """End every watch, and let the first watch of each kind that comes after it be refused as well."""
    once: set[str] = set()

    def first(request: ApiRequest) -> bool:
        new = request.verb in (verbs or ("watch",)) and str(request) not in once
        once.add(str(request))
        return new

    rule: Rule[ApiRequest] = Rule(first, Expire(), times=None)
    put(installation, rule)
    assert installation.api.expire_watches() > 5
    for verb in verbs or ("watch",):
        script.must(f"a {verb} that was refused", lambda: any(request.verb == verb for request in rule.hits))  # noqa: B023


def refused_lists(script: Script, installation: Installation) -> None:
    """As before, and the first list of each kind is refused: kopf gives up then, and the operator is started anew.

    An API server refuses only the further pages of a list like this, of which there are none with so few objects.
    """
    relist(script, installation, "list", "watch")
    script.may_end = '"reason": "WatchesEnded"'


def stale_lists(script: Script, installation: Installation) -> None:
    """Answer every list as it was before the change, and end every watch as soon as the change is under way."""
    proxy = installation.api
    mark = len(proxy.journal)
    proxy.remember_lists()
    put(installation, Rule(api(verb="list"), StaleList(), times=None))

    def act() -> None:
        while not script.ending.wait(0.05):
            if sum(counts(request) for request in proxy.writes(mark)) >= UNDER_WAY:
                proxy.expire_watches()
                return

    script.meanwhile(act)
    script.must("a stale list", lambda: any(request.effect == "StaleList" for request in proxy.journal[mark:]))


def half_open(script: Script, installation: Installation) -> None:
    """Let every watch hang, and the one of Jobs that comes after it; the connections end some seconds later."""
    proxy = installation.api
    mark = len(proxy.journal)
    rule = Rule(api(verb="watch", resource="jobs"), HalfOpen())
    put(installation, rule)
    open_now = [request for request in proxy.journal if request.verb == "watch" and request.resource == "hoatenants"]
    assert proxy.freeze_watches() > 5

    def act() -> None:
        for _ in range(2):
            script.ending.wait(DEAF_SECONDS)
            proxy.expire_watches()  # at the end, too: what hangs has lost events

    script.meanwhile(act)
    script.must("an event of a HOATenant that was not heard", lambda: any(request.withheld for request in open_now))
    script.must(
        "a watch of Jobs that hung from its start", lambda: any(hit in proxy.journal[mark:] for hit in rule.hits)
    )


@pytest.mark.parametrize(
    "disturb", [relist, refused_lists, stale_lists, half_open], ids=lambda disturb: disturb.__name__
)
def test_a_fault_under_the_watches(
    lanes: list[Lane], clean: CleanRuns, disturb: Callable[[Script, Installation], None]
) -> None:
    script = Script()
    try:
        disturbed(lanes, clean, partial(disturb, script), script)
    finally:
        script.end()
    assert script.missed() == []

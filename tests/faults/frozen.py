"""A leader that stands still (SIGSTOP) before one write of a change, is followed meanwhile, and wakes up late.

SIGSTOP is what a frozen machine, a swapped-out process or a paused virtual machine does to the operator. What was on its
way when it stopped arrives only after its successor has come to the end, as late as it can.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import signal
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from tests.cluster.test_operator_lead import leads
from tests.faults.apirequest import api
from tests.faults.effects import Answered, Delay, Held, Rule
from tests.faults.purge import purge
from tests.faults.scenarios import Case, Rotate, Undelete
from tests.faults.world import differences
from tests.waiting import soon, until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cluster.platform import Operator
    from tests.faults.apirequest import ApiRequest
    from tests.faults.lanes import Lane
    from tests.faults.scenarios import Scenario
    from tests.faults.statement import Statement
    from tests.faults.world import World

#: Seconds within which the successor leads and has come to the end: a lease runs out, sessions have their time to finish.
ENDS_WITHIN: Final = 60.0
#: Seconds that the API server takes to say who leads, so that one that wakes up goes on with what it was at before it hears:
#: less than what the successor has patience for.
LEASE_SLOW: Final = 1.0
#: How a line begins that tells of what must not happen even once.
CARRIED_OUT: Final = "arrived late and was carried out: "
#: What tells one pod of the operator from another.
_OWN_SETTINGS: Final = ("HOA_POD_NAME", "HOA_PROBE_PORT", "HOA_METRICS_PORT")


class RotateAgain(Rotate):
    """Its credentials were rotated, and are rotated on request once more: back to the first login."""

    login = "_app"

    def prepare(self) -> None:
        """Bring it up and rotate its credentials once."""
        self.bring_up()
        super().change()
        self.wait(lambda: self.is_rotated_to(Rotate.login))


class Extend(Case):
    """Its database gets an extension."""

    def change(self) -> None:
        """Ask for it."""
        self.apply(database={"extensions": ["pg_trgm"]})


# What happens while the old leader stands still


def nothing(_: Case) -> None:
    """Nobody changes anything."""


def begin_again(case: Case) -> None:
    """Give the HOATenant up past its finalizer, and apply one of the same name that takes its data over."""
    case.objects.delete("HOATenant", case.name)
    case.objects.patch("HOATenant", case.name, {"metadata": {"finalizers": None}})
    case.objects.wait_gone("HOATenant", case.name)
    case.apply(database=Undelete.database, adoptionPolicy="IfUnclaimed")


def ask_again(case: Case) -> None:
    """Ask for another rotation."""
    case.apply(credentials={"rotateRequestedAt": dt.datetime.now(dt.UTC).isoformat()})


@dataclass(frozen=True)
class Point:
    """Where the old leader stands still in a change, what happens meanwhile, and as which change that ends (None: as the
    same). Exactly one of `statement`, `request` and `looking` makes a rule's predicate: the first two stop it before that
    is carried out, and it arrives late; the last one once the answer is on its way back."""

    name: str
    change: Scenario
    statement: Callable[[], Callable[[Statement], bool]] | None = None
    request: Callable[[Case], Callable[[ApiRequest], bool]] | None = None
    looking: Callable[[], Callable[[Statement], bool]] | None = None
    nth: int = 1
    meanwhile: Callable[[Case], None] = nothing
    ends_as: Scenario | None = None

    @property
    def end(self) -> Scenario:
        """The change whose undisturbed run ends in the same world."""
        return self.ends_as or self.change


@dataclass
class Stop:
    """The rule that stops an operator at a point, and what became of what it was about to do."""

    lane: Lane
    operator: Operator
    happened: threading.Event = field(default_factory=threading.Event)
    held: Held = field(init=False)
    rule: Rule[Any] = field(init=False)

    def arm(self, point: Point, case: Case) -> None:
        """Put the rule in."""
        installation, self.held = self.lane.installation, Held(self._stop)
        if point.request is not None:
            self.rule = installation.api.rules.add(Rule(point.request(case), self.held, point.nth))
        elif point.statement is not None:
            self.rule = installation.pg.rules.add(Rule(point.statement(), self.held, point.nth))
        else:
            assert point.looking is not None, f"{point.name} names no place"
            self.rule = installation.pg.rules.add(Rule(point.looking(), Answered(self._stop), point.nth))

    def wait(self) -> None:
        """Wait until it stands still."""
        until(self.happened.is_set, lambda: f"the point to be reached: {self.operator.process.tail(8)}", 60, 0.02)

    def arrive(self) -> list[str]:
        """Let what was on its way go on; return what it did, a line each."""
        self.held.go.set()
        (late,) = self.rule.hits
        if late.effect == "Answered":
            return []
        if hasattr(late, "verb"):
            status = until(lambda: late.status, f"{late} to be answered", 20)
            return [] if status >= 400 else [f"{CARRIED_OUT}{late}"]
        return [f"{CARRIED_OUT}{late}"] if soon(lambda: late.done, 1.0) else []

    def end(self) -> None:
        """Let everything go, and see that the operator has ended."""
        self.held.go.set()
        if self.operator.process.running:
            self.operator.resume()
            self.operator.kill()

    def _stop(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.operator.process.pid, signal.SIGSTOP)
        self.happened.set()


def run(lane: Lane, point: Point, reference: World) -> list[str]:
    """Run a change with the leader frozen at a point; return what is not as it should be, a line each."""
    case = lane.begin(point.change)
    lane.settle()
    stop = Stop(lane, lane.installation.operator)
    stop.arm(point, case)
    try:
        case.change()
        stop.wait()
        point.meanwhile(case)
        successor(lane)
        return _ended(lane, case, reference) or _woken(lane, case, stop, reference)
    finally:
        lane.installation.heal()
        stop.end()
        if lane.installation.operator is stop.operator:
            stop.operator.start()
        purge(lane.installation, case.name, case.tenant_id)


def successor(lane: Lane) -> None:
    """Start another operator with the same settings, and wait until it leads."""
    installation = lane.installation
    known = installation.operator.process.env or {}
    new = installation.platform.operator(f"operator-{len(installation.platform.operators)}")
    own = {key: value for key, value in (new.process.env or {}).items() if key in _OWN_SETTINGS}
    new.process.env = {**known, **own}
    installation.operator = new
    new.start()
    until(lambda: leads(new), "the successor to lead", 40)


def _ended(lane: Lane, case: Case, reference: World) -> list[str]:
    """Wait for the end that an undisturbed run comes to; return what differs from it."""
    if not soon(lambda: lane.world(case) == reference, ENDS_WITHIN, 0.2):
        return ["the successor did not come to the end", *differences(lane.world(case), reference)]
    lane.settle()
    return differences(lane.world(case), reference)


def _woken(lane: Lane, case: Case, stop: Stop, reference: World) -> list[str]:
    """Wake the old leader up; return what it did."""
    marks = lane.marks()
    wrong = stop.arrive()
    rules = lane.installation.api.rules
    slow = rules.add(Rule(api(resource="leases"), Delay(LEASE_SLOW), times=None))
    stop.operator.resume()
    code = stop.operator.process.wait(30)
    rules.remove(slow)
    if code != 1:
        wrong.append(f"it ended with {code}: {stop.operator.process.tail(8)}")
    wrong += differences(lane.world(case), reference)
    lane.settle()
    return wrong + differences(lane.world(case), reference) + lane.written_since(marks)

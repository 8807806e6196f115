"""A lane runs one scenario after another on an installation of its own, breaks the operator, and judges what became of it."""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Literal, TypeVar

from tests.faults.effects import ReplyLost, Rule
from tests.faults.entries import GATHERED, Recording, api_signature, counts, pg_signature, record, stores
from tests.faults.purge import purge
from tests.faults.scenarios import Case, Upgrade
from tests.faults.world import differences, orphans, world_of
from tests.never import never
from tests.waiting import soon

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.faults.apirequest import ApiRequest
    from tests.faults.entries import Entry
    from tests.faults.installation import Installation
    from tests.faults.scenarios import Scenario
    from tests.faults.statement import Statement
    from tests.faults.world import World
    from tests.overlay import Release

C = TypeVar("C", bound=Case)
Mode = Literal["kill", "reply lost"]

#: Seconds after a fault within which everything must be as a clean run leaves it: the bound that the crash test sets.
CONVERGES_WITHIN: Final = 30.0
#: Seconds without a write after which a clean run is over: longer than counts are gathered.
QUIET: Final = 4.5
#: Seconds within which Kubernetes takes away what belonged to a tenant that is gone; nothing else of it goes by itself.
COLLECTED_WITHIN: Final = 60.0
ORPHANS: Final = "what has no living owner"
_STRUCK_WITHIN: Final = 60.0
_AGAIN: Final = 2


@dataclass(frozen=True)
class Break:
    """Where one run is broken, and how."""

    entry: Entry
    mode: Mode

    def __str__(self) -> str:
        return f"{self.mode} after {self.entry}"


@dataclass(frozen=True)
class Result:
    """What became of one run: ``seconds`` from the fault to the reference world; ``wrong`` says what is not as it
    should be, a line each, and ``orphans`` what of it has no owner."""

    broken: Break
    struck: bool
    seconds: float
    wrong: tuple[str, ...] = ()
    orphans: tuple[str, ...] = ()


@dataclass
class Lane:
    """One installation with its operator running."""

    installation: Installation
    label: str
    _numbers: itertools.count[int] = field(default_factory=itertools.count)
    _staged: list[Case] = field(default_factory=list)

    def begin(self, scenario: Scenario) -> Case:
        """Bring a new tenant to where the scenario starts."""
        case = self._staged.pop() if scenario.staged else self._new(scenario)
        case.prepare()
        return case

    def stage(self, count: int, release: Release) -> None:
        """Bring up so many tenants at once and hold them; then install a later version of the app."""
        cases = [self._new(Upgrade) for _ in range(count)]
        for each in (Upgrade.apply, Upgrade.wait_settled, Upgrade.hold, Upgrade.wait_held):
            for case in cases:
                each(case)
        self.installation.reconfigure(**release.settings())
        self.installation.template_ready(release.revision)
        self._staged += cases

    def _new(self, scenario: type[C]) -> C:
        return scenario(self.installation, f"crash{self.label}{next(self._numbers)}x")

    def clean_run(self, scenario: Scenario) -> tuple[Recording, World]:
        """Run undisturbed; return what was written, and the world it ends in."""
        case = self.begin(scenario)
        self.settle()
        marks = self.marks()
        case.change()
        assert soon(case.finished, 60, 0.05), f"{scenario.__name__} never finished: {self._end_of_log()}"
        self.settle()
        requests, statements = self._since(marks)
        world = self.world(case)
        purge(self.installation, case.name, case.tenant_id)
        return record(requests, statements, case.name), world

    def broken_run(self, scenario: Scenario, broken: Break, reference: World) -> Result:
        """Run, break it once, and judge. A run that was over before it came to its break is not one: it is run again."""
        result = self._broken_run(scenario, broken, reference)
        for _ in range(0 if scenario.staged else _AGAIN):
            if result.struck or result.wrong:
                break
            result = self._broken_run(scenario, broken, reference)
        return result

    def _broken_run(self, scenario: Scenario, broken: Break, reference: World) -> Result:
        """Whatever is left of it is cleared away."""
        case = self.begin(scenario)
        if broken.entry.is_gathered:
            self.settle()
        try:
            result = self._judged(case, broken, reference)
        finally:
            self.installation.heal()
            self.installation.as_kubelet()
            purge(self.installation, case.name, case.tenant_id)
        return replace(result, wrong=(*result.wrong, *self.installation.take_ends()))

    def disturbed_run(
        self,
        scenario: Scenario,
        disturb: Callable[[Installation], None],
        reference: World,
        struck: Callable[[], bool] = lambda: True,
    ) -> list[str]:
        """Run while ``disturb`` has made something go wrong, until that has ``struck``; return what is not as it should
        be, a line each. A change may be quicker than the fault under it."""
        case = self.begin(scenario)
        try:
            disturb(self.installation)
            case.change()
            wrong = self._difference(case, reference, time.monotonic())
            soon(struck, _STRUCK_WITHIN)
            self.installation.heal()
            wrong = wrong or self._noise(case)
            wrong = [*wrong, self._end_of_log()] if wrong else []
            if not wrong:
                never(self._orphans(), ORPHANS)
        finally:
            self.installation.heal()
            self.installation.as_kubelet()
            purge(self.installation, case.name, case.tenant_id)
        return [*wrong, *self.installation.take_ends()]

    def world(self, case: Case) -> World:
        """Return the world of a case's tenant."""
        return world_of(self.installation, case.name, case.tenant_id, case.uid)

    def settle(self, quiet: float = QUIET) -> None:
        """Wait until nothing was written for some seconds, and no Job is under way."""

        def silent() -> bool:
            last = [request.at for request in self.installation.api.writes()[-1:]]
            last += [statement.at for statement in self._pg_writes()[-1:]]
            return time.monotonic() - max(last, default=0.0) >= quiet and not self._job_under_way()

        assert soon(silent, 60, 0.2), f"the operator never stops writing: {self.installation.api.writes()[-5:]}"

    def _judged(self, case: Case, broken: Break, reference: World) -> Result:
        strike = _Strike(self.installation, case.name, broken)
        strike.arm()
        case.change()
        struck = strike.wait(case)
        began = time.monotonic()
        if broken.mode == "kill" and struck:
            self.installation.revive_operator()
        wrong = self._difference(case, reference, began)
        seconds = time.monotonic() - began
        wrong = wrong or self._noise(case)
        left = [] if wrong else self._orphans()
        if wrong := [*wrong, *left]:
            wrong = [*wrong, f"the operator's last words: {self._end_of_log()}"]
        return Result(broken, struck, seconds, tuple(wrong), tuple(left))

    def _difference(self, case: Case, reference: World, began: float) -> list[str]:
        """Wait for the reference world; return what differs at the end of the time."""

        def arrived() -> bool:
            self.installation.as_kubelet()
            return case.finished() and self.world(case) == reference

        if soon(arrived, CONVERGES_WITHIN - (time.monotonic() - began), 0.05):
            return []
        last = f"not converged within {CONVERGES_WITHIN:g} s"
        return [last, *differences(self.world(case), reference)]

    def _orphans(self) -> list[str]:
        """Return what has no living owner, and does not go either: the garbage collector may be late with a run before."""
        soon(lambda: not orphans(self.installation), COLLECTED_WITHIN, 0.2)
        return orphans(self.installation)

    def _noise(self, case: Case) -> list[str]:
        """Have the operator look once more; return what it wrote although everything was as it should be."""
        marks = self.marks()
        self._look_again(case)
        return self.written_since(marks)

    def written_since(self, marks: tuple[int, int]) -> list[str]:
        """Return what was written of tenants that had come to their end before, a line each; refused writes count, too."""
        requests, statements = self._since(marks)
        told = [
            f"{request} {request.said}".strip()
            for request in requests
            if counts(request) and not str(request).startswith(GATHERED)
        ]
        told += [str(statement) for statement in statements if stores(statement)]
        return [f"written after it had converged: {line}" for line in told]

    def _look_again(self, case: Case) -> None:
        """Wait until the operator has looked at the tenant twice, or, when it is gone, at the server."""
        assert soon(lambda: self._looks(case) is not None, 20), f"the operator does not live: {self._end_of_log()}"
        for number in range(2 if case.lives else 1):
            before = self._looks(case)
            if case.lives:
                case.poke(number)
            # Not "more than before": an operator that ended by itself and was started anew counts from 0.
            looked = soon(lambda: self._looks(case) not in (None, 0.0, before), 30, 0.05)  # noqa: B023
            assert looked, f"the operator no longer looks: {self._end_of_log()}"

    def _looks(self, case: Case) -> float | None:
        """Return how often the operator has looked since it started; None while it does not say."""
        self.installation.as_kubelet()
        kind = "tenant" if case.lives else "server"
        try:
            known = self.installation.operator.metrics()
        except OSError:
            return None
        series = (f'hoa_operator_reconciles_total{{kind="{kind}",result="{result}"}}' for result in ("ok", "error"))
        return sum(known.get(one, 0.0) for one in series)

    def _job_under_way(self) -> bool:
        jobs = self.installation.objects.list("Job")
        return any(not (job.get("status") or {}).get("conditions") for job in jobs)

    def marks(self) -> tuple[int, int]:
        """Return where both journals end now."""
        return len(self.installation.api.journal), len(self.installation.pg.journal)

    def _since(self, marks: tuple[int, int]) -> tuple[list[ApiRequest], list[Statement]]:
        return self.installation.api.journal[marks[0] :], self.installation.pg.journal[marks[1] :]

    def _pg_writes(self) -> list[Statement]:
        return [statement for statement in self.installation.pg.writes() if statement.by_operator]

    def _end_of_log(self) -> str:
        return self.installation.operator.process.tail(8)


class _Strike:
    """The one fault of a run."""

    def __init__(self, installation: Installation, tenant: str, broken: Break) -> None:
        self._installation = installation
        self._entry = broken.entry
        self._tenant = tenant
        self._kills = broken.mode == "kill"
        self._happened = threading.Event()

    def arm(self) -> None:
        """Put the rule in; occurrences are counted from now on."""
        effect, nth = ReplyLost(self._hook), self._entry.occurrence
        if self._entry.door == "api":
            self._installation.api.rules.add(Rule(self._is_request, effect, nth))
        else:
            self._installation.pg.rules.add(Rule(self._is_statement, effect, nth))

    def wait(self, case: Case) -> bool:
        """Wait for it; say whether it happened before the run was over without it."""
        deadline = time.monotonic() + _STRUCK_WITHIN
        over: float | None = None
        while not self._happened.wait(0.02):
            over = over or (time.monotonic() if case.finished() else None)
            patience = QUIET if self._entry.is_gathered else 1.0
            if time.monotonic() > deadline or (over is not None and time.monotonic() - over > patience):
                return self._happened.is_set()
        return True

    def _is_request(self, request: ApiRequest) -> bool:
        return counts(request) and api_signature(request, self._tenant) == self._entry.signature

    def _is_statement(self, statement: Statement) -> bool:
        return statement.by_operator and pg_signature(statement, self._tenant) == self._entry.signature

    def _hook(self) -> None:
        if self._kills:
            with contextlib.suppress(ProcessLookupError):
                self._installation.kill_operator()
        self._happened.set()

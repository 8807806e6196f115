"""The faults that a life has strike its own requests, statements and Jobs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.cluster.jobs import Fault
from tests.faults.effects import Answer, Delay, Drop, Duplicate, Effect, ReplyLost, Rule

if TYPE_CHECKING:
    from tests.faults.apirequest import ApiRequest
    from tests.faults.statement import Statement
    from tests.faults.subject import Subject

Json = dict[str, Any]
EFFECTS: dict[str, Effect] = {
    "drop": Drop(),
    "delay": Delay(0.7),
    "duplicate": Duplicate(),
    "reply lost": ReplyLost(),
    "409": Answer(409),
    "422": Answer(422),
    "429": Answer(429, retry_after=1),
    "500": Answer(500),
}
JOB_FAULTS: dict[str, Json] = {
    "killed": {"exit_code": 137},
    "passing": {"exit_code": 3},
    "unexpected": {"exit_code": 1},
    "image": {"image_pull_error": True},
}
IMAGE_AWAY_SECONDS = 2.0


@dataclass
class Strikes:
    """`rules` are those that were put in, with what they hit."""

    subject: Subject
    rules: list[Rule[ApiRequest] | Rule[Statement]] = field(default_factory=list)

    @property
    def hits(self) -> list[bool]:
        """Whether each of them struck."""
        return [bool(rule.hits) for rule in self.rules]

    def strike(self, where: str, what: str, nth: int) -> None:
        """Have the effect `what` strike the nth request, statement or Job (`where`) of the tenant from now on."""
        installation = self.subject.scene.installation
        if where == "request":
            self.rules.append(installation.api.rules.add(Rule(self._writes_mine, EFFECTS[what], nth=nth)))
        elif where == "statement":
            self.rules.append(installation.pg.rules.add(Rule(self._states_mine, EFFECTS[what], nth=nth)))
        else:
            fault = Fault(f"tenant-{self.subject.name}-migrate", installation.objects.namespace, **JOB_FAULTS[what])
            self.subject.scene.jobs.inject(fault)
            if fault.image_pull_error:
                self.subject.scene.ledger.later(IMAGE_AWAY_SECONDS, lambda: self._image_back(fault))

    def _image_back(self, fault: Fault) -> None:
        if fault in self.subject.scene.jobs.faults:
            self.subject.scene.jobs.faults.remove(fault)

    def _writes_mine(self, request: ApiRequest) -> bool:
        name = self.subject.name
        mine = request.name in (name, f"tenant-{name}") or request.name.startswith((f"tenant-{name}-", f"{name}."))
        return request.is_write and mine

    def _states_mine(self, statement: Statement) -> bool:
        text = statement.text
        return statement.by_operator and any(id_ in text or id_ in statement.database for id_ in self.subject.ids)

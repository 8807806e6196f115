"""Faults that strike a whole installation: its operator, its Postgres, its watches; and who starts the operator anew."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.cluster.test_operator_lead import FAILOVER_SECONDS, leads
from tests.faults.apirequest import ApiRequest
from tests.faults.backends import crash
from tests.faults.effects import Answer, Rule
from tests.rounds import Rounds
from tests.waiting import until

if TYPE_CHECKING:
    from tests.faults.installation import Installation

FROZEN_SHORT, FROZEN_LONG = 1.5, 13.0
WOKEN_SECONDS = 3.0
DEAF_SECONDS = 1.0


@dataclass
class Weather(Rounds):
    """Strikes when it is told to, one storm at a time; an operator that ended by itself is started anew, as pods are,
    and has to have had a reason: ``stop`` raises otherwise."""

    installation: Installation
    told: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def strike(self, storm: str) -> None:
        """Let a storm pass over the installation; return when it is over."""
        self.told.append(storm)
        with self._lock:
            self.installation.as_kubelet()  # one that lost its lead in the storm before may have ended
            getattr(self, "_" + storm.replace(" ", "_"))()

    def go_round(self) -> None:
        """See that an operator runs."""
        with self._lock:
            if not self.ending.is_set():
                self.installation.as_kubelet()

    def stop(self) -> None:
        """End; raise what went wrong, such as an operator that ended and may not have."""
        super().stop()
        assert not (ends := self.installation.take_ends()), "\n".join(ends)

    def _kill_operator(self) -> None:
        self.installation.kill_operator()
        self.installation.revive_operator()

    def _freeze_operator(self) -> None:
        seconds = FROZEN_LONG if self.told.count("freeze operator") % 4 == 2 else FROZEN_SHORT
        self.installation.operator.pause()
        time.sleep(seconds)  # what is tested is the length of this sleep
        self.installation.operator.resume()

    def _replace_leader(self) -> None:
        """It stands still past the end of its lease, another one leads meanwhile, and it wakes up in the other's term."""
        leader, settings = self.installation.operator, self.installation.settings
        standby = self.installation.platform.operator(f"standby-{len(self.told)}", **settings).start()
        leader.pause()
        until(lambda: leads(standby), "the standby to lead", FAILOVER_SECONDS)
        leader.resume()
        time.sleep(WOKEN_SECONDS)  # what the old leader does in this time is what is tested
        standby.stop()

    def _crash_postgres(self) -> None:
        crash(self.installation.server)
        self.installation.server.start()

    def _reset_sessions(self) -> None:
        self.installation.pg.reset_sessions()

    def _expire_watches(self) -> None:
        self.installation.api.expire_watches()

    def _freeze_watches(self) -> None:
        self.installation.api.freeze_watches()
        time.sleep(DEAF_SECONDS)  # the events of this while are lost
        self.installation.api.expire_watches()

    def _api_errors(self) -> None:
        def writes(request: ApiRequest) -> bool:
            return request.is_write

        for code in (500, 429, 409):
            self.installation.api.rules.add(Rule(writes, Answer(code), nth=5, times=10))

"""Counts what was made and what was dropped: from the journal of the Postgres proxy, which knows how each statement
ended, and from whoever runs the Jobs, who knows which ended well."""

from __future__ import annotations

import re
import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.cluster.jobs import JobRunner
    from tests.faults.installation import Installation
    from tests.faults.statement import Statement

Json = dict[str, Any]
_CREATED = re.compile(r'^CREATE (DATABASE|ROLE) "(hoa_connect_tenant_([0-9a-f]{32})\w*)"')
_DROPPED = re.compile(r'^DROP (DATABASE|ROLE) "(hoa_connect_(?:tenant|deleted)_([0-9a-f]{32})\w*)"')
#: DROP OWNED takes whatever the roles have, whichever database it is run in.
_LOST = re.compile(r'^DROP (?:DATABASE|ROLE|OWNED BY) "hoa_connect_(?:tenant|deleted)_([0-9a-f]{32})')


@dataclass
class Ledger:
    """What lives promised: whose data may be dropped, and since when; how many migrations of whom there was cause for, a
    birth or another admin each."""

    may_be_dropped: dict[str, float] = field(default_factory=dict)
    may_migrate: Counter[str] = field(default_factory=Counter)
    _timers: list[threading.Timer] = field(default_factory=list)

    def later(self, seconds: float, act: Callable[[], None]) -> None:
        """Do something after a while."""
        timer = threading.Timer(seconds, act)
        timer.start()
        self._timers.append(timer)

    def settle(self) -> None:
        """Wait for what was to be done later."""
        for timer in self._timers:
            timer.join()
        self._timers.clear()

    def complaints(self, installation: Installation, jobs: JobRunner) -> Iterator[str]:
        """Yield what was made twice, what was migrated without cause and what was dropped without proof."""
        yield from self._statements(installation)
        yield from self._migrations(installation.objects.namespace, jobs)

    def _statements(self, installation: Installation) -> Iterator[str]:
        alive: set[str] = set()
        for made, text, name in committed(installation.pg.journal, _CREATED):
            yield from [f"made twice: {text}"] if made and name in alive else []
            alive = alive | {name} if made else alive - {name}
        for statement in installation.pg.journal:
            text = " ".join(statement.text.split())
            if lost := _LOST.match(text):
                allowed = self.may_be_dropped.get(lost[1])
                if allowed is None or statement.at < allowed:
                    yield f"dropped without proof: {text}"

    def _migrations(self, namespace: str, jobs: JobRunner) -> Iterator[str]:
        for tenant, causes in self.may_migrate.items():
            ended_well = jobs.succeeded[f"{namespace}/{tenant}"]
            if not 1 <= ended_well <= causes:
                yield f"{tenant}: {ended_well} migrations ended well, and there was cause for {causes}"


def committed(journal: Sequence[Statement], created: re.Pattern[str]) -> Iterator[tuple[bool, str, str]]:
    """Yield what was made (True) and what was dropped (False), with its name, in the order it was committed."""
    open_: dict[int, list[tuple[bool, str, str]]] = {}
    for statement in journal:
        text = " ".join(statement.text.split())
        made, gone = created.match(text), _DROPPED.match(text)
        if statement.done and (made or gone):
            found = (True, text, made[2]) if made else (False, text, gone[2] if gone else "")
            if statement.transaction == "I":
                yield found
            else:
                open_.setdefault(statement.session, []).append(found)
        elif statement.first_word == "ROLLBACK" or statement.error:
            open_.pop(statement.session, None)
        elif statement.first_word == "COMMIT" and statement.done:
            yield from open_.pop(statement.session, ())

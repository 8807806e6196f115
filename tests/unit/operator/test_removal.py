"""Who is removed gets time to finish each time anew, under whatever uid."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from hoa_operator import removal
from hoa_operator.cache import Cache
from hoa_operator.removal import DRAIN, Remover
from hoa_operator.status import Report
from hoa_operator.steps import Plan
from hoa_operator.tenant import parse_identity
from hoa_operator.world import Record
from tests.unit.operator.samples import NOW, placement
from tests.unit.operator.test_teardown import BODY, remains

if TYPE_CHECKING:
    from hoa_operator.teardown import Remains


class Drains:
    """A remover that only looks: whether the tenant's sessions had their time, by the state of its row, at a time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = NOW
        self._left = remains()
        self._seen: list[bool] = []
        doors: Any = SimpleNamespace(sources=SimpleNamespace(cache=Cache()))
        self._remover = Remover(doors, lambda: self.now)

        async def observed(*_: object) -> Remains:
            return self._left

        monkeypatch.setattr(removal, "observe_remains", observed)

    async def drained(self, state: str | None, after: timedelta = timedelta(0)) -> bool:
        """Look at the tenant a while later."""
        self.now += after
        row = remains().record.row
        record = Record(replace(row, state=state), placement(), None) if row and state else Record(None, None, None)
        self._left = remains(record=record)

        def decide(found: Remains) -> Plan:
            self._seen.append(found.drained)
            return Plan()

        await self._remover.remove(BODY, Report(parse_identity(BODY), {}, self.now), decide)
        return self._seen[-1]


@pytest.mark.parametrize("between", [None, "Deleted", "Provisioning", "Active"])
async def test_a_tenant_that_was_undone_and_is_deleted_later_is_drained_anew(
    between: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = Drains(monkeypatch)
    assert not await tenant.drained("Deleting")
    assert await tenant.drained("Deleting", DRAIN)
    assert not await tenant.drained(between)
    assert not await tenant.drained("Deleting", timedelta(hours=5))
    assert await tenant.drained("Deleting", DRAIN)

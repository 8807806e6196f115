"""A leader that finds itself replaced ends, whatever it is at: it is no failure of the tenant, and no status says so."""

from __future__ import annotations

import asyncio
from random import Random
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from hoa_operator import reconcile, removal
from hoa_operator.__main__ import Process
from hoa_operator.cache import Cache
from hoa_operator.errors import Fenced
from hoa_operator.kinds import TENANT
from hoa_operator.places import Places
from hoa_operator.reconcile import TenantReconciler
from hoa_operator.turns import Turns
from tests.unit.operator.samples import NOW, settings, tenant_body

if TYPE_CHECKING:
    from hoa_operator.apply import Doors

DELETED = {"deletionTimestamp": "2026-11-23T12:00:00Z"}


@pytest.mark.parametrize(
    "body",
    [tenant_body(), tenant_body(managementPolicy="ObserveOnly"), tenant_body(meta=DELETED)],
    ids=["carried out", "observed", "deleted"],
)
async def test_a_replaced_leader_ends(body: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    async def replaced(*_: object) -> None:
        raise Fenced

    async def stays() -> bool:
        return False

    async def unwritten(_: object, written: object, *__: object) -> object:
        return written

    cache = Cache()
    cache.observe(TENANT, body)
    sources = SimpleNamespace(settings=settings(), cache=cache, turns=Turns(), places=Places())
    doors = cast("Doors", SimpleNamespace(sources=sources, kube=SimpleNamespace(is_leaving=stays)))
    monkeypatch.setattr(reconcile, "observe_tenant", replaced)
    monkeypatch.setattr(removal, "observe_remains", replaced)
    monkeypatch.setattr(reconcile, "publish", unwritten)
    with pytest.raises(Fenced):
        await TenantReconciler(doors, "operator-0", Random(1), lambda _: None, lambda: NOW)("seabreeze")


async def test_a_lease_that_nobody_renews_any_more_ends_the_process() -> None:
    async def breaks(_: object) -> None:
        raise ValueError("a mistake of our own")

    process = object.__new__(Process)
    process._stop, process._fenced = asyncio.Event(), None
    process._leadership = cast("Any", SimpleNamespace(keep=breaks))
    await process._keep(cast("Any", None))
    assert process._stop.is_set()
    assert process._fenced is not None

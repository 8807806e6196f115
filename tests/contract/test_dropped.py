"""The record of whose database was dropped: written with the row's end, gone with its return, never without proof."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from hoa_operator.errors import Fenced
from hoa_operator.registry_model import Placement, Retirement
from tests.contract.fix_registry import Rig, heir_of, new_row, recorded

if TYPE_CHECKING:
    from hoa_operator.registry import Registry
    from hoa_operator.registry_model import RegistryRow
    from tests.contract.servers import RealServer


async def written(registry: Registry, epoch: int) -> RegistryRow:
    row = new_row()
    await registry.upsert(row, epoch)
    return row


async def test_a_drop_is_put_on_record_once(server: RealServer, rig: Rig, registry: Registry, epoch: int) -> None:
    dropped, never_had_one, unknown = [await written(registry, epoch), await written(registry, epoch), new_row()]
    assert await registry.forget(never_had_one.tenant_id, epoch) is True
    assert await registry.forget(unknown.tenant_id, epoch, dropped=True) is False
    assert recorded(server, rig) == []
    assert await registry.forget(dropped.tenant_id, epoch, dropped=True) is True
    assert await registry.forget(dropped.tenant_id, epoch, dropped=True) is False
    assert recorded(server, rig) == [dropped.tenant_id]


async def test_who_is_registered_again_is_on_record_no_more(
    server: RealServer, rig: Rig, registry: Registry, epoch: int
) -> None:
    row, other = await written(registry, epoch), await written(registry, epoch)
    for gone in (row, other):
        await registry.forget(gone.tenant_id, epoch, dropped=True)
    await registry.upsert(row, epoch)
    assert recorded(server, rig) == [other.tenant_id]


async def test_what_is_kept_or_taken_over_is_on_no_record(
    server: RealServer, rig: Rig, registry: Registry, epoch: int
) -> None:
    row = await written(registry, epoch)
    await registry.record_placement(Placement(row.tenant_id, "default", "7311", 16_384), epoch)
    await registry.retire(Retirement(row.tenant_id, datetime.now(UTC)), epoch)
    assert recorded(server, rig) == []
    heir = heir_of(row)
    assert await registry.claim(row.tenant_id, heir, (), epoch)
    assert await registry.adopt(row.tenant_id, heir, epoch)
    assert recorded(server, rig) == []


async def test_a_stale_leader_puts_nobody_on_record(
    server: RealServer, rig: Rig, registry: Registry, epoch: int
) -> None:
    row = await written(registry, epoch)
    await registry.acquire_epoch()
    with pytest.raises(Fenced):
        await registry.forget(row.tenant_id, epoch, dropped=True)
    assert recorded(server, rig) == []


async def test_old_records_go(server: RealServer, rig: Rig, registry: Registry, epoch: int) -> None:
    old, late, latest = [await written(registry, epoch) for _ in range(3)]
    for row, days in ((old, 91), (late, 89)):
        await registry.forget(row.tenant_id, epoch, dropped=True)
        age = f"SET dropped_at = now() - interval '{days} days' WHERE tenant_id = '{row.tenant_id}'"
        server.run(f"UPDATE dropped_tenants {age}", dbname=rig.dbname)
    await registry.forget(latest.tenant_id, epoch, dropped=True)
    assert recorded(server, rig) == [late.tenant_id, latest.tenant_id]

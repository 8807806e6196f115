"""Retained data: taken over by one heir, or dropped when both clocks say so, never both, and never with a doubt."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest

from hoa_operator.errors import UserError
from hoa_operator.kinds import SERVER, TENANT
from hoa_operator.registry_model import Placement, Retirement
from hoa_operator.retained import RetainedReconciler
from hoa_operator.tenant import parse_time
from tests.contract.fix_registry import Rig, heir_of, new_row, recorded

if TYPE_CHECKING:
    from hoa_operator.postgres import DatabaseSpec
    from hoa_operator.registry import Registry
    from hoa_operator.registry_model import RegistryRow
    from tests.contract.fix_town import Town
    from tests.contract.servers import RealServer

NOW = timedelta(0)


def now() -> datetime:
    return datetime.now(UTC)


async def kept(registry: Registry, epoch: int, window: timedelta | None = None) -> RegistryRow:
    """Return a row whose data is retained."""
    row = new_row()
    await registry.upsert(row, epoch)
    await registry.record_placement(Placement(row.tenant_id, "default", "7311", 16_384), epoch)
    await registry.retire(Retirement(row.tenant_id, now(), window), epoch)
    return row


async def place_of(registry: Registry, row: RegistryRow) -> Placement:
    found = await registry.placement(row.tenant_id)
    assert found is not None
    return found


# The registry


async def test_the_window_is_counted_from_the_later_of_two_clocks(registry: Registry, epoch: int) -> None:
    window = timedelta(hours=168)
    for skew in (timedelta(days=-400), timedelta(days=400)):
        row = new_row()
        await registry.upsert(row, epoch)
        await registry.record_placement(Placement(row.tenant_id, "default", "7311", 16_384), epoch)
        await registry.retire(Retirement(row.tenant_id, now() + skew, window), epoch)
        await registry.retire(Retirement(row.tenant_id, now() + skew, NOW), epoch)
        drop_after = (await place_of(registry, row)).drop_after
        assert drop_after is not None
        expected = now() + max(skew, NOW) + window
        assert abs(drop_after - expected) < timedelta(minutes=1), "a second retirement changes nothing"


async def test_what_a_person_gives_up_is_kept_though_it_had_a_window(registry: Registry, epoch: int) -> None:
    row, dropped = await kept(registry, epoch, NOW), await kept(registry, epoch, NOW)
    await registry.begin_drop(dropped.tenant_id, (), now(), epoch)
    for each in (row, dropped):
        await registry.retire(Retirement(each.tenant_id, now(), abandoned=True), epoch)
    place = await place_of(registry, row)
    assert (place.drop_after, place.abandoned) == (None, True)
    assert (await place_of(registry, dropped)).drop_after is not None, "too late"


async def test_what_is_retained_for_good_is_never_due(registry: Registry, epoch: int) -> None:
    row = await kept(registry, epoch)
    assert (await place_of(registry, row)).drop_after is None
    assert await registry.begin_drop(row.tenant_id, (), now() + timedelta(days=9999), epoch) is False


@pytest.mark.parametrize("ours", [NOW, timedelta(days=-1)])
@pytest.mark.parametrize("window", [NOW, timedelta(hours=1)])
async def test_a_drop_begins_only_when_both_clocks_say_so(
    registry: Registry, epoch: int, ours: timedelta, window: timedelta
) -> None:
    row = await kept(registry, epoch, window)
    due = await registry.begin_drop(row.tenant_id, (), now() + timedelta(days=2) + ours * 4, epoch)
    assert due is (ours == NOW and window == NOW)


async def test_retained_data_can_be_taken_over_once(registry: Registry, epoch: int) -> None:
    row = await kept(registry, epoch, timedelta(hours=1))
    heir, rival = heir_of(row), heir_of(row)
    assert await registry.adopt(row.tenant_id, heir, epoch) is False, "unclaimed"
    assert await registry.claim(row.tenant_id, heir, (), epoch) is True
    assert await registry.claim(row.tenant_id, heir, (), epoch) is True, "a killed run begins again"
    assert await registry.claim(row.tenant_id, rival, (), epoch) is False
    assert await registry.adopt(row.tenant_id, rival, epoch) is False
    assert (await place_of(registry, row)).claimants == (heir.uid,)
    assert await registry.adopt(row.tenant_id, heir, epoch) is True
    found = await registry.observe(heir.uid)
    assert found is not None
    assert (found.tenant_id, found.state, found.sealed_password) == (row.tenant_id, "Provisioning", None)
    place = await place_of(registry, row)
    assert (place.deleted_at, place.drop_after, place.claimants) == (None, None, ())
    assert await registry.claim(row.tenant_id, rival, (heir.uid,), epoch) is False, "it is another's now"


async def test_of_many_who_want_it_one_gets_it(registry: Registry, epoch: int) -> None:
    row = await kept(registry, epoch)
    heirs = [heir_of(row) for _ in range(8)]
    won = await asyncio.gather(*(registry.claim(row.tenant_id, heir, (), epoch) for heir in heirs))
    assert won.count(True) == 1
    assert (await place_of(registry, row)).claimants == (heirs[won.index(True)].uid,)


async def test_a_void_claim_gives_way_and_stays_proof(registry: Registry, epoch: int) -> None:
    row = await kept(registry, epoch)
    dead, heir = heir_of(row), heir_of(row)
    assert await registry.claim(row.tenant_id, dead, (), epoch)
    assert await registry.claim(row.tenant_id, heir, (dead.uid,), epoch)
    assert (await place_of(registry, row)).proof(row.uid).claimants == (dead.uid, heir.uid)


async def test_a_takeover_and_a_drop_exclude_each_other(registry: Registry, epoch: int) -> None:
    claimed, dropped = await kept(registry, epoch, NOW), await kept(registry, epoch, NOW)
    heir = heir_of(claimed)
    assert await registry.claim(claimed.tenant_id, heir, (), epoch)
    assert await registry.begin_drop(claimed.tenant_id, (), now(), epoch) is False
    assert await registry.begin_drop(claimed.tenant_id, (heir.uid,), now(), epoch) is True, "its HOATenant is gone"
    assert await registry.begin_drop(dropped.tenant_id, (), now(), epoch) is True
    assert await registry.claim(dropped.tenant_id, heir_of(dropped), (), epoch) is False
    assert await registry.adopt(claimed.tenant_id, heir, epoch) is False


async def test_a_served_tenant_is_taken_over_only_by_one_of_its_name(registry: Registry, epoch: int) -> None:
    row = new_row()
    await registry.upsert(row, epoch)
    await registry.record_placement(Placement(row.tenant_id, "default", "7311", 16_384), epoch)
    assert await registry.claim(row.tenant_id, heir_of(row, name="another"), (), epoch) is False
    assert await registry.claim(row.tenant_id, heir_of(row, namespace="another"), (), epoch) is False
    assert await registry.claim(row.tenant_id, heir_of(row), (), epoch) is True
    assert [found.row for found in await registry.named(row.namespace, row.name)] == [row]


async def test_data_does_not_come_back_into_a_taken_place(registry: Registry, epoch: int) -> None:
    row = await kept(registry, epoch)
    await registry.upsert(new_row(slug=row.slug), epoch)
    heir = heir_of(row)
    assert await registry.claim(row.tenant_id, heir, (), epoch)
    with pytest.raises(UserError, match=row.slug):
        await registry.adopt(row.tenant_id, heir, epoch)


# Dropping what is due


async def retire(town: Town, window: timedelta | None = NOW) -> tuple[RegistryRow, DatabaseSpec]:
    """Make a tenant whose data is retained, as a deletion leaves it."""
    row, spec = await town.tenant(exists=False)
    place = await place_of(town.registry, row)
    await town.door.tombstone(place.proof(row.uid), now())
    await town.registry.retire(Retirement(row.tenant_id, now(), window), town.epoch)
    return row, spec


def reconciler(town: Town, ahead: timedelta = timedelta(seconds=1)) -> RetainedReconciler:
    return RetainedReconciler(town.doors, "operator-0", lambda: now() + ahead)


def entries(town: Town) -> list[dict[str, str]]:
    """Return what the server's status lists."""
    body = town.doors.sources.cache.get(SERVER, "default")
    assert body is not None
    found: list[dict[str, str]] = body.get("status", {}).get("retainedDatabases", [])
    return found


def told(town: Town) -> list[tuple[str, str]]:
    return [(event["reason"], event["involvedObject"]["kind"]) for event in town.cluster.events]


async def test_what_is_due_is_dropped_and_the_rest_is_kept(server: RealServer, rig: Rig, town: Town) -> None:
    due, due_spec = await retire(town)
    later, later_spec = await retire(town, timedelta(hours=1))
    forever, forever_spec = await retire(town, None)
    outcome = await reconciler(town)("")
    assert outcome.failed is None
    assert outcome.wait is not None
    assert 3000 < outcome.wait < 3700, "until the next is due"
    assert (await town.door.observe(due_spec.tenant_id)).absent
    for spec in (later_spec, forever_spec):
        assert (await town.door.observe(spec.tenant_id)).tombstone
    assert [await town.state(row) for row in (due, later, forever)] == [None, "Deleted", "Deleted"]
    assert recorded(server, rig) == [due.tenant_id], "whose files go, too"
    assert {entry["tenantID"]: "dropAfter" in entry for entry in entries(town)} == {
        str(later.tenant_id): True,
        str(forever.tenant_id): False,
    }
    assert told(town) == [("DatabaseDropped", "HOADatabaseServer")]


async def test_a_clock_that_is_behind_or_runs_ahead_drops_nothing_early(town: Town) -> None:
    due, _ = await retire(town)
    assert (await reconciler(town, timedelta(days=-30))("")).failed is None
    assert await town.state(due) == "Deleted"
    later, spec = await retire(town, timedelta(hours=1))
    assert (await reconciler(town, timedelta(days=30))("")).failed is None
    assert (await town.door.observe(spec.tenant_id)).tombstone
    assert (await town.state(due), await town.state(later)) == (None, "Deleted")


@pytest.mark.parametrize("doubt", ["comment", "uid", "oid", "system"])
async def test_what_is_not_provably_ours_is_kept_and_said(server: RealServer, rig: Rig, town: Town, doubt: str) -> None:
    row, spec = await retire(town)
    other, other_spec = await retire(town)
    name = f"hoa_connect_deleted_{spec.tenant_id.hex}"
    if doubt == "comment":
        server.run(f"COMMENT ON DATABASE {name} IS 'keep, says the court'")
    else:
        change = {"uid": f"uid = '{uuid4()}'", "oid": "database_oid = 1", "system": "system_identifier = '1'"}[doubt]
        table = "tenants" if doubt == "uid" else "placements"
        server.run(f"UPDATE {table} SET {change} WHERE tenant_id = '{row.tenant_id}'", dbname=rig.dbname)
    assert (await reconciler(town)("")).failed == "RetainedNotDropped"
    assert (await town.door.observe(spec.tenant_id)).tombstone
    assert await town.state(row) == "Deleted"
    (entry,) = entries(town)
    assert (entry["tenant"], entry["problem"].split(":")[0]) == (row.name, "OwnershipNotProven")
    assert "docs/operations/retained-databases.md" in entry["problem"]
    assert ("RetainedNotDropped", "HOADatabaseServer") in told(town)
    assert (await town.door.observe(other_spec.tenant_id)).absent, "one doubt holds up nobody else"
    assert await town.state(other) is None


async def test_a_server_that_is_away_holds_nothing_else_up(town: Town) -> None:
    row, _ = await retire(town)
    away = new_row()
    await town.registry.upsert(away, town.epoch)
    await town.registry.record_placement(Placement(away.tenant_id, "gone", "7311", 16_384), town.epoch)
    await town.registry.retire(Retirement(away.tenant_id, now(), NOW), town.epoch)
    assert (await reconciler(town)("")).failed == "RetainedNotDropped"
    assert (await town.state(row), await town.state(away)) == (None, "Deleted")


async def test_a_drop_that_was_killed_half_way_is_finished(server: RealServer, rig: Rig, town: Town) -> None:
    row, spec = await retire(town)
    assert await town.registry.begin_drop(row.tenant_id, (), now(), town.epoch)
    server.run(f"DROP DATABASE hoa_connect_deleted_{spec.tenant_id.hex}")
    assert (await reconciler(town)("")).failed is None
    assert (await town.door.observe(spec.tenant_id)).absent
    assert await town.state(row) is None
    assert recorded(server, rig) == [row.tenant_id]


@pytest.mark.parametrize("begun", [False, True])
async def test_a_drop_that_is_held_up_says_why_and_since_when(server: RealServer, town: Town, *, begun: bool) -> None:
    both = sorted([await retire(town), await retire(town)], key=lambda made: made[0].name)
    (row, spec), (other, _) = both  # what is held up comes first
    extra = f"extra_{spec.tenant_id.hex[:8]}"
    server.run(f'CREATE DATABASE {extra} OWNER "hoa_connect_tenant_{spec.tenant_id.hex}_owner"')
    if begun:
        assert await town.registry.begin_drop(row.tenant_id, (), now(), town.epoch)
    assert (await reconciler(town)("")).failed == "RetainedNotDropped"
    (entry,) = entries(town)
    assert entry["problem"].startswith("ObjectsDependOnRole: ")
    assert "it is not dropped yet, and tried again" in entry["problem"]
    assert await town.state(other) is None, "and nothing else on that server is held up"
    if begun:
        assert parse_time(entry["droppingSince"]) >= parse_time(entry["dropAfter"])
    else:
        assert "droppingSince" not in entry, "what is refused was not begun: it can still come back"
    server.run(f"DROP DATABASE {extra}")
    assert (await reconciler(town)("")).failed is None
    assert entries(town) == []


def living(row: RegistryRow, uid: UUID, version: int = 7, status: dict[str, Any] | None = None) -> dict[str, Any]:
    """A HOATenant of the row's name."""
    meta = {"name": row.name, "namespace": row.namespace, "uid": str(uid), "resourceVersion": str(version)}
    meta |= {"creationTimestamp": "2026-11-23T12:00:00Z"}
    body = {"apiVersion": "hoaconnect.com/v1alpha1", "kind": "HOATenant", "metadata": meta}
    return {**body, "spec": {}, "status": status or {}}


async def test_what_a_living_tenant_says_is_its_own_is_not_dropped(server: RealServer, rig: Rig, town: Town) -> None:
    """Registry and server were put back from a copy of before it took the data over."""
    row, spec = await retire(town)
    cache, uid = town.doors.sources.cache, uuid4()
    finished = [{"step": "RunMigrations", "finishedAt": "2026-11-23T12:00:00Z"}]
    said = {"tenantID": str(row.tenant_id), "database": {"server": "default"}, "onboarding": finished}
    cache.observe(TENANT, living(row, uid, status=said))
    assert (await reconciler(town)("")).failed == "RetainedNotDropped"
    assert (await town.door.observe(spec.tenant_id)).tombstone
    (entry,) = entries(town)
    assert entry["problem"].startswith(f"RetainedDataInUse: HOATenant {row.name} says that this data is its own")
    assert recorded(server, rig) == [], "and its files stay"
    cache.observe(TENANT, living(row, uid, 8, {**said, "tenantID": str(uid)}))
    assert (await reconciler(town)("")).failed is None
    assert (await town.door.observe(spec.tenant_id)).absent


async def test_what_is_being_taken_over_is_not_dropped(town: Town) -> None:
    row, spec = await retire(town)
    heir = heir_of(row)
    assert await town.registry.claim(row.tenant_id, heir, (), town.epoch)
    assert await town.registry.claimed_by(heir.uid) == [row.tenant_id]
    cache = town.doors.sources.cache
    cache.observe(TENANT, living(row, heir.uid))
    place = await place_of(town.registry, row)
    identity = replace(spec.identity, uid=heir.uid)
    await town.door.adopt(place.proof(row.uid), identity)
    assert (await reconciler(town)("")).failed == "RetainedNotDropped"
    assert (await town.door.observe(spec.tenant_id)).identity == identity
    (entry,) = entries(town)
    assert entry["problem"].startswith(f"RetainedDataClaimed: HOATenant {row.name} has begun to take it over")
    cache.forget_uid(TENANT, row.name, str(heir.uid))
    assert (await reconciler(town)("")).failed is None
    assert (await town.door.observe(spec.tenant_id)).absent, "the heir is gone, and its word in the comment is proof"
    assert await town.state(row) is None

"""Taking the lead in the registry: from a leader that stands still, and not over what a later build has written."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from hoa_operator.errors import Fenced, Outdated, WorldError
from tests.contract.fix_registry import new_row
from tests.contract.servers import new_spec
from tests.waiting import until

if TYPE_CHECKING:
    from hoa_operator.registry import Registry
    from tests.contract.fix_registry import Rig


BLOCKED = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND wait_event_type = 'Lock'"
    " AND query LIKE 'UPDATE operator_epoch%%'"
)


async def test_a_transaction_that_begins_between_eviction_and_takeover_is_outlasted(
    rig: Rig, registry: Registry, epoch: int
) -> None:
    admin = rig.server.admin
    # The name of no operator: it is not ended, as one that logs in just after the others were.
    with rig.server.login(admin.username, admin.password, rig.dbname, application_name="late") as late:
        late.execute("BEGIN")
        late.execute("SELECT epoch FROM operator_epoch FOR SHARE")
        taking = asyncio.create_task(registry.acquire_epoch())
        await asyncio.to_thread(until, lambda: rig.server.one(BLOCKED, rig.dbname), "the new leader to wait", 10, 0.02)
        late.execute("COMMIT")
        assert await asyncio.wait_for(taking, 10) == epoch + 1


async def test_one_that_never_ends_is_said_and_asked_for_again(rig: Rig, registry: Registry, epoch: int) -> None:
    admin = rig.server.admin
    with rig.server.login(admin.username, admin.password, rig.dbname, application_name="late") as late:
        late.execute("BEGIN")
        late.execute("SELECT epoch FROM operator_epoch FOR SHARE")
        with pytest.raises(WorldError, match="transaction holds the epoch"):
            await registry.acquire_epoch()
    assert await registry.acquire_epoch() == epoch + 1


async def test_a_registry_of_a_later_build_is_refused_in_words_and_left_as_it_is(
    rig: Rig, registry: Registry, epoch: int
) -> None:
    row = new_row()
    await registry.upsert(row, epoch)
    admin = rig.server.admin
    with rig.server.login(admin.username, admin.password, rig.dbname) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        older = rig.registry("older")
        with pytest.raises(Outdated, match=r"at revision 9999, made by a later build.* Install the later build again"):
            await older.start()
        await older.close()
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [{"version_num": "9999"}]
    assert await registry.rows() == [row]
    await registry.check_epoch(epoch)


class StandsStill:
    """A leader's guard after whose first yes the leader stands still, and is followed by another meanwhile."""

    def __init__(self, registry: Registry, epoch: int, successor: Registry) -> None:
        self._check = registry.guard(epoch)
        self._successor = successor
        self._followed = False

    async def __call__(self) -> None:
        await self._check()
        if not self._followed:
            self._followed = True
            await self._successor.start()
            await self._successor.acquire_epoch()


async def test_a_session_that_is_opened_in_the_middle_of_a_step_asks_again_who_leads(
    rig: Rig, registry: Registry, epoch: int
) -> None:
    successor, spec = rig.registry("two"), new_spec()
    new = rig.server.door("two")
    await new.ensure(spec)
    before = await new.observe(spec.tenant_id)
    old = rig.server.door("one", guard=StandsStill(registry, epoch, successor))
    with pytest.raises(Fenced):
        await old.ensure_grants(replace(spec, extensions=("citext",)))
    observed = await new.observe(spec.tenant_id)
    assert replace(observed, sessions=0) == replace(
        before, sessions=0
    )  # the one it looked around in may still be closing
    found = rig.server.all("SELECT extname FROM pg_extension WHERE extname = 'citext'", dbname=spec.database)
    assert found == []
    for each in (old, new, successor):
        await each.close()


async def test_a_leader_that_was_followed_ends_nobodys_sessions(rig: Rig, registry: Registry, epoch: int) -> None:
    successor, new = rig.registry("two"), rig.server.door("two")
    await successor.start()
    await successor.acquire_epoch()
    await new.probe()

    def pids() -> set[int]:
        found = rig.server.all(
            "SELECT pid FROM pg_stat_activity WHERE application_name LIKE %s AND datname = 'postgres'",
            "hoa-operator/%/two",
        )
        return {row["pid"] for row in found}

    theirs = pids()
    assert theirs
    old = rig.server.door("one", guard=registry.guard(epoch))
    with pytest.raises(Fenced):
        await old.evict_others()
    assert pids() >= theirs
    for each in (old, new, successor):
        await each.close()

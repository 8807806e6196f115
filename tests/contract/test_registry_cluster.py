"""Two Kubernetes clusters at one registry: the second is refused before it changes or ends anything, until a person decides."""

from __future__ import annotations

from uuid import uuid4

import pytest

from hoa_operator.errors import Fenced, ForeignRegistry
from hoa_operator.registry import Registry
from tests.contract.fix_registry import HERE, Rig, cluster_of, new_row
from tests.faults.words import lacks_words

PID = "SELECT pid FROM pg_stat_activity WHERE datname = %s AND application_name LIKE %s"


def sessions(rig: Rig, identity: str) -> set[int]:
    """Return the sessions that an operator has on the registry."""
    admin = rig.server.admin
    with rig.server.login(admin.username, admin.password, "postgres") as connection:
        return {row["pid"] for row in connection.execute(PID, [rig.dbname, f"%{identity}%"]).fetchall()}


def as_before_clusters(rig: Rig) -> None:
    """Leave the registry as the build before wrote it."""
    rig.server.run(
        "DROP FUNCTION tenants_back CASCADE",
        "DROP TABLE dropped_tenants",
        "DROP FUNCTION tenants_login CASCADE",
        "ALTER TABLE tenants DROP COLUMN login_changed_at",
        "ALTER TABLE operator_epoch DROP COLUMN cluster",
        "UPDATE alembic_version SET version_num = '0002'",
        dbname=rig.dbname,
    )


async def test_another_cluster_is_refused_in_words_and_the_first_one_goes_on(
    rig: Rig, registry: Registry, epoch: int
) -> None:
    row = new_row()
    await registry.upsert(row, epoch)
    before = sessions(rig, "one")
    reader = rig.reader_password
    rig.write("reader", password="the-other-clusters-password")
    other = rig.registry("two", cluster_of())
    with pytest.raises(ForeignRegistry) as caught:
        await other.start()
    await other.close()
    said = caught.value.message
    assert f"({HERE.id}, this one is" in said
    assert "one led it last" in said
    assert f"take-over {HERE.id}`" in said
    assert lacks_words(said) == ""
    assert rig.server.sees(rig.reader, reader, rig.dbname) is None, "its reader goes on, too"
    assert before
    assert before <= sessions(rig, "one"), "no session of the first one was ended"
    assert await registry.rows() == [row]
    await registry.check_epoch(epoch)


async def test_who_only_reads_is_told_whose_it_is(rig: Rig, registry: Registry) -> None:
    reader = rig.registry("reader")
    reader.attach()
    await reader.admit(HERE)
    with pytest.raises(ForeignRegistry):
        await reader.admit(cluster_of())
    await reader.close()


async def test_one_that_was_taken_over_since_it_started_gets_no_lead_and_ends_nobody(
    rig: Rig, registry: Registry
) -> None:
    other = rig.registry("two", cluster_of(takes_over=str(HERE.id)))
    await other.start()
    epoch = await other.acquire_epoch()
    with pytest.raises(ForeignRegistry, match="belongs to another Kubernetes cluster"):
        await registry.acquire_epoch()
    await other.check_epoch(epoch)
    await other.close()


async def test_a_takeover_ends_the_lead_of_the_cluster_before_at_once_and_holds(
    rig: Rig, registry: Registry, epoch: int
) -> None:
    row = new_row()
    await registry.upsert(row, epoch)
    there = cluster_of()
    mover = rig.registry("two", cluster_of(takes_over=str(HERE.id).upper()))
    await mover.start()
    with pytest.raises(Fenced):
        await registry.set_state(row.tenant_id, "Suspended", epoch)
    with pytest.raises(ForeignRegistry):
        await registry.start()
    third = rig.registry("three", there)
    with pytest.raises(ForeignRegistry):
        await third.start()
    assert await mover.rows() == [row]
    await mover.close()


async def test_a_takeover_from_a_cluster_that_has_it_no_more_changes_nothing(
    rig: Rig, registry: Registry, epoch: int
) -> None:
    for wrong in (str(uuid4()), "unrecorded"):
        mover = rig.registry("two", cluster_of(takes_over=wrong))
        with pytest.raises(ForeignRegistry, match=f"belongs to cluster {HERE.id}, not to {wrong}"):
            await mover.start()
        await mover.close()
    await registry.check_epoch(epoch)


async def test_what_an_earlier_build_wrote_goes_to_the_cluster_that_has_its_tenants(
    rig: Rig, registry: Registry, epoch: int
) -> None:
    rows = [new_row(), new_row()]
    for row in rows:
        await registry.upsert(row, epoch)
    as_before_clusters(rig)
    stranger = rig.registry("two", cluster_of(uuid4()))
    with pytest.raises(ForeignRegistry, match="of which none is a HOATenant of this Kubernetes cluster") as caught:
        await stranger.start()
    await stranger.close()
    assert lacks_words(caught.value.message) == ""
    assert "take-over unrecorded`" in caught.value.message
    assert rig.server.one("SELECT version_num FROM alembic_version", dbname=rig.dbname) == "0002", "not even migrated"

    owner = cluster_of(rows[1].uid)
    upgraded = rig.registry("three", owner)
    await upgraded.start()
    assert await upgraded.acquire_epoch() == epoch + 1
    assert rig.server.one("SELECT cluster FROM operator_epoch", dbname=rig.dbname) == owner.id
    with pytest.raises(ForeignRegistry):
        await registry.start()
    await upgraded.close()


async def test_what_an_earlier_build_wrote_and_nobody_has_is_taken_over_by_its_word(
    rig: Rig, registry: Registry, epoch: int
) -> None:
    await registry.upsert(new_row(), epoch)
    as_before_clusters(rig)
    mover = rig.registry("two", cluster_of(takes_over="unrecorded"))
    await mover.start()
    assert await mover.acquire_epoch() == epoch + 2
    await mover.close()


async def test_a_registry_without_living_tenants_is_the_first_comers(rig: Rig, registry: Registry, epoch: int) -> None:
    await registry.upsert(new_row(state="Deleted", sealed_password=None, sealed_signing_keys=None), epoch)
    as_before_clusters(rig)
    first = rig.registry("two", cluster_of())
    await first.start()
    await first.close()
    with pytest.raises(ForeignRegistry):
        await registry.start()

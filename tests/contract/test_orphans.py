"""A tenant whose HOATenant was removed by force: closed and retained, but only when that is certain."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import psycopg
import pytest

from hoa_operator.orphans import GRACE, OrphanReconciler
from hoa_operator.registry_model import Placement
from hoa_operator.removal import DRAIN
from tests.contract.fix_registry import new_row
from tests.contract.servers import app_of

if TYPE_CHECKING:
    from tests.contract.fix_town import Town
    from tests.contract.servers import RealServer


def orphans_of(town: Town) -> OrphanReconciler:
    return OrphanReconciler(town.doors, lambda: town.now)


async def test_a_tenant_removed_by_force_is_closed_after_an_hour_and_kept(town: Town) -> None:
    kept, _ = await town.tenant(exists=True)
    await town.tenant(exists=True)
    gone, _ = await town.tenant(exists=False)
    orphans = orphans_of(town)
    await orphans("")
    town.now += GRACE - timedelta(seconds=1)
    await orphans("")
    assert await town.state(gone) == "Active", "a person may still bring it back"
    town.now += timedelta(seconds=1)
    assert (await orphans("")).failed is None
    assert (await town.state(gone), await town.state(kept)) == ("Deleted", "Active")
    observed = await town.door.observe(gone.tenant_id)
    assert (observed.tombstone, observed.allow_connections) == (True, False)
    assert not observed.role("app").can_login
    assert await town.registry.by_slug(gone.slug) is None, "the slug is free again"
    assert (await orphans("")).failed is None


async def test_whoever_stays_in_its_database_does_not_keep_it_open(town: Town, server: RealServer) -> None:
    await town.tenant(exists=True)
    gone, spec = await town.tenant(exists=False)
    orphans = orphans_of(town)
    await orphans("")
    town.now += GRACE
    with server.login(app_of(spec), spec.app_password, f"hoa_connect_tenant_{gone.tenant_id.hex}") as stays:
        stays.execute("SELECT 1")
        outcome = await orphans("")
        assert (await town.state(gone), outcome.failed) == ("Deleting", None)
        assert outcome.wait == DRAIN.total_seconds(), "requests that began before have their time to end"
        await orphans("")
        with pytest.raises(psycopg.OperationalError):
            stays.execute("SELECT 1")
    assert await town.state(gone) == "Deleted"
    assert (await town.door.observe(gone.tenant_id)).tombstone


async def test_another_hoatenant_of_that_name_is_not_the_one(town: Town) -> None:
    await town.tenant(exists=True)
    gone, _ = await town.tenant(exists=False)
    town.cluster.tenants.append({"metadata": {"name": gone.name, "uid": "f6b7f3a2-0000-4000-8000-000000000000"}})
    orphans = orphans_of(town)
    await orphans("")
    town.now += GRACE
    await orphans("")
    assert await town.state(gone) == "Deleted"


async def test_one_that_comes_back_into_sight_starts_anew(town: Town) -> None:
    await town.tenant(exists=True)
    gone, _ = await town.tenant(exists=False)
    orphans = orphans_of(town)
    await orphans("")
    town.now += GRACE
    town.cluster.tenants.append({"metadata": {"name": gone.name, "uid": str(gone.uid)}})
    await orphans("")
    del town.cluster.tenants[-1]
    await orphans("")
    assert await town.state(gone) == "Active"


async def test_a_cluster_without_its_hoatenants_is_being_restored(town: Town) -> None:
    rows = [(await town.tenant(exists=False))[0] for _ in range(2)]
    orphans = orphans_of(town)
    await orphans("")
    town.now += 10 * GRACE
    await orphans("")
    assert [await town.state(row) for row in rows] == ["Active", "Active"]


async def test_an_api_server_that_is_away_proves_nothing(town: Town) -> None:
    await town.tenant(exists=True)
    gone, _ = await town.tenant(exists=False)
    orphans = orphans_of(town)
    await orphans("")
    town.now += GRACE
    town.cluster.away = True
    assert (await orphans("")).failed == "ApiUnavailable"
    assert await town.state(gone) == "Active"


async def test_a_database_that_is_not_provably_the_tenants_stays(server: RealServer, town: Town) -> None:
    await town.tenant(exists=True)
    gone, spec = await town.tenant(exists=False)
    server.run(f'COMMENT ON DATABASE "{spec.database}" IS NULL')
    orphans = orphans_of(town)
    await orphans("")
    town.now += GRACE
    assert (await orphans("")).failed == "OwnershipNotProven"
    observed = await town.door.observe(gone.tenant_id)
    assert (observed.tombstone, observed.allow_connections) == (False, True)
    assert await town.state(gone) == "Deleting", "no longer served, and not given up"


@pytest.mark.parametrize("placed", [True, False])
async def test_a_row_without_data_is_forgotten(town: Town, placed: bool) -> None:
    await town.tenant(exists=True)
    row = new_row(state="Provisioning")
    await town.registry.upsert(row, town.epoch)
    if placed:
        system = (await town.door.probe()).system_identifier
        await town.registry.record_placement(Placement(row.tenant_id, "default", system), town.epoch)
    orphans = orphans_of(town)
    await orphans("")
    town.now += GRACE
    await orphans("")
    assert await town.state(row) is None

"""A tenant whose HOATenant was removed by force: closed and retained, but only when that is certain."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from cryptography.fernet import Fernet

from hoa_operator.apply import Doors
from hoa_operator.cache import Cache
from hoa_operator.errors import WorldError
from hoa_operator.fleet import Fleet, Opening
from hoa_operator.kinds import SERVER, TENANT
from hoa_operator.observe import Sources
from hoa_operator.orphans import GRACE, OrphanReconciler
from hoa_operator.registry_model import Placement
from hoa_operator.sealing import Sealer
from hoa_operator.usage import UsageBook
from tests.contract.fix_registry import new_row
from tests.contract.servers import new_spec
from tests.unit.operator.samples import server_body, settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from hoa_operator.postgres import DatabaseSpec, PostgresServer
    from hoa_operator.registry import Registry
    from hoa_operator.registry_model import RegistryRow
    from tests.contract.servers import RealServer


@dataclass
class Cluster:
    """What the API server would say: the HOATenants there are, and the admin Secret."""

    secret: dict[str, Any]
    tenants: list[dict[str, Any]] = field(default_factory=list)
    away: bool = False

    async def list_all(self, kind: Any, _selector: str = "", *, metadata_only: bool = False) -> tuple[list[Any], int]:
        assert kind is TENANT
        if self.away:
            raise WorldError("ApiUnavailable", "the API server is away")
        return self.tenants, 1

    async def get(self, _kind: Any, _name: str) -> dict[str, Any]:
        return self.secret


@dataclass
class Town:
    """The operator's doors, its clock, and the tenants that were made."""

    doors: Doors
    cluster: Cluster
    registry: Registry
    epoch: int
    door: PostgresServer
    now: datetime = datetime(2031, 1, 1, tzinfo=UTC)
    rows: list[RegistryRow] = field(default_factory=list)

    def orphans(self) -> OrphanReconciler:
        return OrphanReconciler(self.doors, lambda: self.now)

    async def tenant(self, *, exists: bool) -> tuple[RegistryRow, DatabaseSpec]:
        """Make a served tenant, with or without its HOATenant."""
        spec = new_spec()
        await self.door.ensure(spec)
        row = new_row(tenant_id=spec.tenant_id, uid=spec.identity.uid)
        await self.registry.upsert(row, self.epoch)
        observed = await self.door.observe(spec.tenant_id)
        placed = Placement(spec.tenant_id, "default", observed.system_identifier, observed.oid)
        await self.registry.record_placement(placed, self.epoch)
        if exists:
            self.cluster.tenants.append({"metadata": {"name": row.name, "uid": str(row.uid)}})
        return row, spec

    async def state(self, row: RegistryRow) -> str | None:
        found = await self.registry.by_tenant_id(row.tenant_id)
        return found.state if found else None


@pytest_asyncio.fixture
async def town(
    server: RealServer, registry: Registry, epoch: int, door: PostgresServer, tmp_path: Path
) -> AsyncIterator[Town]:
    keys = tmp_path / "keys"
    keys.write_bytes(Fernet.generate_key())
    encoded = {
        key: base64.b64encode(value.encode()).decode()
        for key, value in {"username": server.admin.username, "password": server.admin.password}.items()
    }
    cluster, cache = Cluster({"data": encoded}), Cache()
    endpoint = {"host": server.access.host, "port": server.access.port, "sslMode": "disable"}
    cache.observe(SERVER, server_body(endpoint=endpoint))
    kube: Any = cluster
    fleet = Fleet(kube, Opening("two", "contract-tests", registry.guard(epoch)), lambda: 0.0)
    configured = settings()
    configured = replace(configured, namespace="hoa-connect")
    sources = Sources(configured, cache, registry, Sealer.from_file(keys), fleet, UsageBook(lambda: 0.0, 300.0))
    yield Town(Doors(sources, kube, epoch, lambda _: None), cluster, registry, epoch, door)
    await fleet.close()


async def test_a_tenant_removed_by_force_is_closed_after_an_hour_and_kept(town: Town) -> None:
    kept, _ = await town.tenant(exists=True)
    await town.tenant(exists=True)
    gone, _ = await town.tenant(exists=False)
    orphans = town.orphans()
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


async def test_another_hoatenant_of_that_name_is_not_the_one(town: Town) -> None:
    await town.tenant(exists=True)
    gone, _ = await town.tenant(exists=False)
    town.cluster.tenants.append({"metadata": {"name": gone.name, "uid": "f6b7f3a2-0000-4000-8000-000000000000"}})
    orphans = town.orphans()
    await orphans("")
    town.now += GRACE
    await orphans("")
    assert await town.state(gone) == "Deleted"


async def test_one_that_comes_back_into_sight_starts_anew(town: Town) -> None:
    await town.tenant(exists=True)
    gone, _ = await town.tenant(exists=False)
    orphans = town.orphans()
    await orphans("")
    town.now += GRACE
    town.cluster.tenants.append({"metadata": {"name": gone.name, "uid": str(gone.uid)}})
    await orphans("")
    del town.cluster.tenants[-1]
    await orphans("")
    assert await town.state(gone) == "Active"


async def test_a_cluster_without_its_hoatenants_is_being_restored(town: Town) -> None:
    rows = [(await town.tenant(exists=False))[0] for _ in range(2)]
    orphans = town.orphans()
    await orphans("")
    town.now += 10 * GRACE
    await orphans("")
    assert [await town.state(row) for row in rows] == ["Active", "Active"]


async def test_an_api_server_that_is_away_proves_nothing(town: Town) -> None:
    await town.tenant(exists=True)
    gone, _ = await town.tenant(exists=False)
    orphans = town.orphans()
    await orphans("")
    town.now += GRACE
    town.cluster.away = True
    assert (await orphans("")).failed == "ApiUnavailable"
    assert await town.state(gone) == "Active"


async def test_a_database_that_is_not_provably_the_tenants_stays(server: RealServer, town: Town) -> None:
    await town.tenant(exists=True)
    gone, spec = await town.tenant(exists=False)
    server.run(f'COMMENT ON DATABASE "{spec.database}" IS NULL')
    orphans = town.orphans()
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
    orphans = town.orphans()
    await orphans("")
    town.now += GRACE
    await orphans("")
    assert await town.state(row) is None

"""Fixture: the operator's doors on a real Postgres and registry, with an API server that says what a test tells it to."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest_asyncio
from cryptography.fernet import Fernet

from hoa_operator.apply import Doors
from hoa_operator.cache import Cache
from hoa_operator.errors import WorldError
from hoa_operator.fleet import Fleet, Opening
from hoa_operator.kinds import SERVER, TENANT
from hoa_operator.observe import Sources
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
    """What the API server would say: the HOATenants there are, the admin Secret, the server's status and the Events."""

    secret: dict[str, Any]
    server: dict[str, Any]
    tenants: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    away: bool = False

    async def list_all(self, kind: Any, _selector: str = "", *, metadata_only: bool = False) -> list[Any]:
        assert kind is TENANT
        if self.away:
            raise WorldError("ApiUnavailable", "the API server is away")
        return self.tenants

    async def get(self, _kind: Any, _name: str) -> dict[str, Any]:
        return self.secret

    async def patch(self, kind: Any, _name: str, body: dict[str, Any], subresource: str = "") -> dict[str, Any]:
        assert (kind, subresource) == (SERVER, "status")
        status = {**self.server.get("status", {}), **body["status"]}
        meta = self.server["metadata"]
        version = str(int(meta["resourceVersion"]) + 1)
        kept = {key: value for key, value in status.items() if value is not None}
        self.server = {**self.server, "metadata": {**meta, "resourceVersion": version}, "status": kept}
        return self.server

    async def create(self, manifest: dict[str, Any]) -> dict[str, Any]:
        self.events.append(manifest)
        return manifest


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
    endpoint = {"host": server.access.host, "port": server.access.port, "sslMode": "disable"}
    cluster, cache = Cluster({"data": encoded}, server_body(endpoint=endpoint)), Cache()
    cache.observe(SERVER, cluster.server)
    kube: Any = cluster
    fleet = Fleet(kube, Opening("two", "contract-tests", registry.guard(epoch)), lambda: 0.0)
    configured = settings()
    configured = replace(configured, namespace="hoa-connect")
    sources = Sources(configured, cache, registry, Sealer.from_file(keys), fleet, UsageBook(lambda: 0.0, 300.0), kube)
    yield Town(Doors(sources, kube, epoch, lambda _: None), cluster, registry, epoch, door)
    await fleet.close()

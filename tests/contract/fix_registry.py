"""Fixture: a registry of its own for one test, on the server under test, with the directories the operator would mount."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest_asyncio

from hoa_operator.registry import Registry, RegistryRow
from hoa_operator.registry_cluster import Cluster
from hoa_operator.registry_model import Heir

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.contract.servers import RealServer

LIMITS = {
    "requestsPerSecond": 50,
    "concurrentRequests": 20,
    "databaseConnections": 10,
    "statementTimeoutMs": 30_000,
    "storageBytes": 10 * 2**30,
    "homeownersMax": 99,
}


def cluster_of(*tenants: UUID, takes_over: str | None = None) -> Cluster:
    """Return a cluster that nobody has seen before, with these HOATenants."""

    async def uids() -> set[UUID]:
        return set(tenants)

    return Cluster(uuid4(), uids, takes_over)


HERE = cluster_of()


@dataclass(frozen=True)
class Rig:
    """A registry, its two connection directories, and the reader's login."""

    server: RealServer
    folder: Path
    dbname: str
    reader: str
    reader_password: str
    installation: str

    def registry(self, identity: str = "one", cluster: Cluster | None = None) -> Registry:
        """Open another instance of the operator, of the same cluster unless another is given."""
        return Registry(
            self.folder / "admin",
            self.folder / "reader",
            identity=identity,
            installation=self.installation,
            cluster=cluster or HERE,
        )

    def write(self, name: str, **values: object) -> None:
        """Write a connection directory's files."""
        (self.folder / name).mkdir(exist_ok=True)
        for key, value in values.items():
            (self.folder / name / key).write_text(f"{value}\n")


def make_rig(server: RealServer, folder: Path) -> Rig:
    """Return a rig whose names nobody else uses."""
    suffix = secrets.token_hex(4)
    rig = Rig(server, folder, f"registry_{suffix}", f"reader_{suffix}", secrets.token_urlsafe(20), f"registry-{suffix}")
    where = {"host": server.access.host, "port": server.access.port, "sslmode": "disable", "dbname": rig.dbname}
    rig.write("admin", username=server.admin.username, password=server.admin.password, **where)
    rig.write("reader", username=rig.reader, password=rig.reader_password, **where)
    return rig


def new_row(**changes: Any) -> RegistryRow:
    """Return a complete row of a tenant nobody has seen before."""
    tenant_id = uuid4()
    slug = f"t{tenant_id.hex[:8]}"
    values: dict[str, Any] = {
        "tenant_id": tenant_id,
        "uid": tenant_id,
        "namespace": "hoa-connect",
        "name": slug,
        "slug": slug,
        "hosts": (f"{slug}.example.test",),
        "display_name": "Seabreeze Management",
        "state": "Active",
        "placement": "Shared",
        "tier": "small",
        "limits": LIMITS,
        "branding": {"primaryColor": "#123456"},
        "database": {"host": "db", "port": 5432, "dbname": "d", "username": "u", "sslmode": "require"},
        "sealed_password": b"sealed-password",
        "sealed_signing_keys": b"sealed-keys",
        "schema_revision": "0001",
    }
    return RegistryRow(**{**values, **changes})


def heir_of(row: RegistryRow, uid: UUID | None = None, **changes: Any) -> Heir:
    """Return a HOATenant of the row's name that wants its data."""
    return replace(Heir(uid or uuid4(), row.namespace, row.name, row.uid), **changes)


def recorded(server: RealServer, rig: Rig) -> list[UUID]:
    """Return the tenants on record as dropped, of whom the worker removes the files."""
    query = "SELECT coalesce(array_agg(tenant_id ORDER BY dropped_at), '{}') FROM dropped_tenants"
    found: list[UUID] = server.one(query, dbname=rig.dbname)
    return found


@pytest_asyncio.fixture
async def rig(server: RealServer, tmp_path: Path) -> AsyncIterator[Rig]:
    """The parts of a registry that was never started."""
    before = server.databases()
    yield make_rig(server, tmp_path)
    server.sweep(before)


@pytest_asyncio.fixture
async def registry(rig: Rig) -> AsyncIterator[Registry]:
    """A registry, started."""
    registry = rig.registry()
    await registry.start()
    yield registry
    await registry.close()


@pytest_asyncio.fixture
async def epoch(registry: Registry) -> int:
    """The lead over the registry."""
    return await registry.acquire_epoch()

"""Files of tenants whose database was dropped go, from a real folder, by a worker and a real registry; nobody else's ever do."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.rows import dict_row
from structlog.testing import capture_logs

from hoa_app.jobs import dropped
from hoa_app.jobs.dropped import DroppedFiles
from hoa_app.settings import Settings
from hoa_app.worker import open_worker
from hoa_operator import registry_retained
from tests.contract.app.platform import Platform
from tests.contract.app.workers import eventually, slug
from tests.never import never

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from hoa_app.services import Services
    from tests.contract.app.platform import MadeTenant
    from tests.fix_postgres import PostgresAccess


class Folder:
    """The volume, and the registry of a platform whose tenants have files and no databases."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self.files = platform.folder / "files"

    def put(self, tenant_id: UUID, count: int = 1) -> list[Path]:
        """Photos, as the app stores them."""
        paths = [self.of(tenant_id) / "requests" / str(uuid4()) / f"{uuid4()}.jpg" for _ in range(count)]
        for path in paths:
            path.parent.mkdir(parents=True)
            path.write_bytes(b"a photo")
        return paths

    def of(self, tenant_id: UUID) -> Path:
        return self.files / "tenants" / str(tenant_id)

    def tenant(self, state: str = "Active") -> MadeTenant:
        """A row in the registry."""
        made = self.platform.new_tenant(slug())
        self.platform.register(made, state=state)
        return made

    def run(self, query: str, *values: object) -> None:
        with psycopg.connect(self.platform.access.dsn(self.platform.registry), autocommit=True) as connection:
            connection.execute(query, values)

    async def drop(self, tenant: MadeTenant) -> None:
        """What the operator writes when it has dropped the database."""
        dsn = self.platform.access.dsn(self.platform.registry)
        async with await psycopg.AsyncConnection.connect(dsn, row_factory=dict_row) as connection:
            assert await registry_retained.forget(connection, tenant.id, dropped=True)

    @asynccontextmanager
    async def worker(self, **environment: str) -> AsyncIterator[Services]:
        """What a worker has open. It does nothing by itself, for it is the worker of one tenant only."""
        settings = Settings.from_env(self.platform.environment(**{"HOA_ONLY_TENANT": "nobody", **environment}))
        async with open_worker(settings, ()) as opened:
            yield opened.services

    async def look(self) -> float:
        """Let a worker that was just started look once; return how many files it says it has removed."""
        async with self.worker() as services:
            await DroppedFiles(services).look()
            return counted(services)


def counted(services: Services) -> float:
    return services.metrics.registry.get_sample_value("hoa_dropped_tenant_files_total") or 0.0


@pytest.fixture(scope="module")
def folder(postgres: PostgresAccess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Folder]:
    made = Platform(postgres, tmp_path_factory.mktemp("dropped"))
    yield Folder(made)
    made.destroy()


async def test_all_that_a_dropped_tenant_had_goes_and_nothing_else(folder: Folder) -> None:
    gone = folder.tenant()
    kept = [*folder.put(uuid4()), *(folder.put(folder.tenant(state).id)[0] for state in ("Active", "Suspended"))]
    folder.put(gone.id, 3)
    (folder.of(gone.id) / "requests" / "half.jpg#1").write_bytes(b"a crash left it")
    await folder.drop(gone)
    with capture_logs() as said:
        assert await folder.look() == 3
    assert not folder.of(gone.id).exists()
    never(
        [path for path in kept if not path.exists()], "files of tenants that are not on record as dropped were removed"
    )
    assert {
        "event": "files of a dropped tenant removed",
        "log_level": "info",
        "tenant": str(gone.id),
        "removed": 3,
    } in said
    assert await folder.look() == 0


async def test_a_tenant_that_the_registry_has_lost_keeps_its_files(folder: Folder) -> None:
    lost = folder.tenant()
    kept = folder.put(lost.id)
    folder.run("DELETE FROM tenants WHERE tenant_id = %s", lost.id)
    await folder.look()
    never([path for path in kept if not path.exists()], "files of a tenant that is only unknown were removed")


async def test_retained_data_and_what_came_of_it_keeps_its_files(folder: Folder) -> None:
    tenant = folder.tenant()
    kept = folder.put(tenant.id)
    for state in ("Deleting", "Deleted", "Provisioning", "Active"):
        tenant.update(state=state)
        await folder.look()
        never([path for path in kept if not path.exists()], f"files of a tenant in state {state} were removed")


async def test_a_tenant_that_is_registered_again_keeps_its_files(folder: Folder) -> None:
    tenant = folder.tenant()
    await folder.drop(tenant)
    folder.platform.register(tenant)
    kept = folder.put(tenant.id)
    await folder.look()
    folder.run("DELETE FROM tenants WHERE tenant_id = %s", tenant.id)
    await folder.look()
    never([path for path in kept if not path.exists()], "files of a tenant that is back were removed")


async def test_one_that_comes_back_during_a_look_keeps_its_files(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, back = folder.tenant(), folder.tenant()
    for tenant in (first, back):
        await folder.drop(tenant)
    folder.put(first.id)
    kept = folder.put(back.id)
    async with folder.worker() as services:
        remove_all = services.storage.remove_all

        async def slowly(tenant_id: UUID, most: int) -> int:
            if tenant_id == first.id:
                folder.platform.register(back)
            return await remove_all(tenant_id, most)

        monkeypatch.setattr(services.storage, "remove_all", slowly)
        await DroppedFiles(services).look()
    assert not folder.of(first.id).exists()
    folder.run("DELETE FROM tenants WHERE tenant_id = %s", back.id)
    never([path for path in kept if not path.exists()], "files of a tenant that came back meanwhile were removed")


@pytest.mark.parametrize("state", ["Active", "Deleted"])
async def test_a_row_outweighs_a_record(folder: Folder, state: str) -> None:
    """Both there are only where somebody wrote past the operator."""
    tenant = folder.tenant(state)
    kept = folder.put(tenant.id)
    folder.run("INSERT INTO dropped_tenants (tenant_id) VALUES (%s)", tenant.id)
    await folder.look()
    never([path for path in kept if not path.exists()], "files of a tenant that has a row were removed")


async def test_a_look_removes_so_many_and_no_more(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = folder.tenant(), folder.tenant()
    paths = [*folder.put(one.id, 4), *folder.put(two.id, 3)]
    for tenant in (one, two):
        await folder.drop(tenant)
    monkeypatch.setattr(dropped, "MOST_REMOVED", 5)
    async with folder.worker() as services:
        files = DroppedFiles(services)
        for left in (2, 0, 0):
            await files.look()
            assert sum(path.exists() for path in paths) == left
        assert counted(services) == 7
        late = folder.put(one.id)
        await files.look()
        assert late[0].exists(), "who had none left is looked at a day later"
    await folder.look()
    assert not late[0].exists()


async def test_files_that_cannot_be_removed_hold_up_nobody_elses(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck, other = folder.tenant(), folder.tenant()
    paths = [folder.put(tenant.id)[0] for tenant in (stuck, other)]
    for tenant in (stuck, other):
        await folder.drop(tenant)
    async with folder.worker() as services:
        remove_all = services.storage.remove_all

        async def refused(tenant_id: UUID, most: int) -> int:
            if tenant_id == stuck.id:
                raise PermissionError(13, "Permission denied")
            return await remove_all(tenant_id, most)

        files = DroppedFiles(services)
        with monkeypatch.context() as patch:
            patch.setattr(services.storage, "remove_all", refused)
            await files.look()
        assert [path.exists() for path in paths] == [True, False]
        await files.look()
        assert not paths[0].exists()


async def test_an_object_store_is_cleared_as_a_volume_is(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    gone, there = folder.tenant(), folder.tenant()
    await folder.drop(gone)
    async with folder.worker(HOA_STORAGE_URL="memory:///") as services:
        for made in (gone, there):
            tenant: Any = type("Known", (), {"id_text": str(made.id)})()
            for number in range(3):
                await services.storage.put(tenant, f"requests/{number}.jpg", b"a photo")
        assert await services.storage.remove_all(gone.id, 2) == 2
        await DroppedFiles(services).look()
        assert counted(services) == 1
        assert await services.storage.remove_all(gone.id, 9) == 0
        assert await services.storage.remove_all(there.id, 9) == 3


async def test_a_registry_without_records_is_a_registry_where_nobody_was_dropped(folder: Folder) -> None:
    """An operator of an earlier build keeps none."""
    gone = folder.tenant()
    (path,) = folder.put(gone.id)
    await folder.drop(gone)
    folder.run("ALTER TABLE dropped_tenants RENAME TO hidden")
    try:
        assert await folder.look() == 0
        assert path.exists()
    finally:
        folder.run("ALTER TABLE hidden RENAME TO dropped_tenants")
    assert await folder.look() == 1


async def test_the_worker_of_all_tenants_looks_by_itself(folder: Folder) -> None:
    gone = folder.tenant()
    (path,) = folder.put(gone.id)
    await folder.drop(gone)
    settings = Settings.from_env(folder.platform.environment())
    async with open_worker(settings, ()) as opened:
        await eventually(lambda: not path.exists())
        assert opened.background.ended == []

"""Files that no photo knows are found and removed: by a worker, in a real folder, a day later and never sooner."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
import pytest_asyncio

from hoa_app.features import FEATURES
from hoa_app.features.requests import sweep
from hoa_app.settings import Settings
from tests.contract.app.conftest import serving
from tests.contract.app.workers import eventually, working
from tests.contract.features.office import PNG, Office, id_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.contract.app.platform import MadeTenant, Platform

FILED = {"category": "Question", "title": "Whose?", "description": "d"}
DAY = 86_400


class Folder:
    """A tenant's files as they lie on the volume, and the worker that sweeps them."""

    def __init__(self, platform: Platform, office: Office) -> None:
        self.office = office
        self.files = platform.folder / "files"
        self.settings = Settings.from_env(platform.environment(HOA_ONLY_TENANT=office.tenant.slug))

    def of(self, tenant: MadeTenant) -> Path:
        return self.files / "tenants" / str(tenant.id)

    def put(self, age_days: float, tenant: MadeTenant | None = None, folder: str = "requests") -> Path:
        """A file that no row knows, as a crash before the commit leaves it."""
        path = self.of(tenant or self.office.tenant) / folder / str(uuid4()) / f"{uuid4()}.jpg"
        path.parent.mkdir(parents=True)
        path.write_bytes(b"a photo")
        return aged(path, age_days)

    async def photo(self, age_days: float) -> Path:
        """A file that belongs to a request."""
        path = await self.office.manager.done("/requests", FILED, [("photos", ("a.png", PNG, "image/png"))])
        (file,) = (self.of(self.office.tenant) / "requests" / str(id_of(path))).iterdir()
        return aged(file, age_days)

    async def sweep(self) -> None:
        """Let a worker do one sweep now."""
        self.office.rows("INSERT INTO outbox (kind, payload) VALUES (%s, '{}') RETURNING 1", sweep.KIND)
        waiting = "SELECT count(*) FROM outbox WHERE kind = %s AND state <> 'done'"
        async with working(self.settings, *FEATURES):
            await eventually(lambda: self.office.rows(waiting, sweep.KIND) == [(0,)])


def aged(path: Path, days: float) -> Path:
    at = time.time() - days * DAY
    os.utime(path, (at, at))
    return path


@pytest_asyncio.fixture(scope="module")
async def folder(platform: Platform) -> AsyncIterator[Folder]:
    tenant = platform.make_tenant("sweepco")
    async with serving(platform) as site:
        yield Folder(platform, await Office.open(site, tenant))


async def test_only_old_files_without_a_photo_go(folder: Folder, pinnacle: MadeTenant) -> None:
    lost, late = folder.put(1.1), folder.put(0.9)
    others, elsewhere = folder.put(9, pinnacle), folder.put(9, folder="statements")
    kept = await folder.photo(30)
    await folder.sweep()
    assert not lost.exists()
    assert all(path.exists() for path in (late, others, elsewhere, kept))


async def test_a_file_whose_row_is_gone_goes_a_day_later(folder: Folder) -> None:
    file = await folder.photo(0)
    folder.office.rows("DELETE FROM request_photos WHERE storage_key LIKE %s RETURNING 1", f"%{file.name}")
    await folder.sweep()
    assert file.exists()
    aged(file, 2)
    await folder.sweep()
    assert not file.exists()


async def test_a_sweep_removes_so_many_and_no_more(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    lost = [folder.put(3) for _ in range(5)]
    kept = await folder.photo(3)
    monkeypatch.setattr(sweep, "MOST_REMOVED", 3)
    for left in (2, 0):
        await folder.sweep()
        assert sum(path.exists() for path in lost) == left
    assert kept.exists()


async def test_thousands_of_files_are_looked_through(folder: Folder) -> None:
    for _ in range(2500):
        folder.put(0.5)
    lost = folder.put(2)
    await folder.sweep()
    assert not lost.exists()


async def test_while_a_tenant_is_read_only_nothing_goes(folder: Folder) -> None:
    lost = folder.put(2)
    folder.office.tenant.set_state("ReadOnly")
    await folder.sweep()
    folder.office.tenant.set_state("Active")
    assert lost.exists()


async def test_two_workers_sweep_once_a_day_by_themselves(folder: Folder) -> None:
    folder.office.rows("DELETE FROM outbox WHERE kind = %s RETURNING 1", sweep.KIND)
    done = "SELECT count(*) FROM outbox WHERE kind = %s AND state = 'done'"
    quick = Settings.from_env(
        {
            **folder.office.tenant.platform.environment(HOA_ONLY_TENANT=folder.office.tenant.slug),
            "HOA_WORKER_SWEEP_SECONDS": "0.1",
        }
    )
    for _ in range(2):
        async with working(quick, *FEATURES), working(quick, *FEATURES):
            await eventually(lambda: folder.office.rows(done, sweep.KIND) == [(1,)])
    assert folder.office.rows("SELECT count(*) FROM outbox WHERE kind = %s", sweep.KIND) == [(1,)]


async def test_a_photo_whose_file_is_gone_is_not_found(folder: Folder) -> None:
    path = await folder.office.manager.done("/requests", FILED, [("photos", ("a.png", PNG, "image/png"))])
    (file,) = (folder.of(folder.office.tenant) / "requests" / str(id_of(path))).iterdir()
    place = f"{path}/photos/{file.stem}"
    assert (await folder.office.manager.get(place)).status_code == 200
    file.unlink()
    assert (await folder.office.manager.get(place)).status_code == 404

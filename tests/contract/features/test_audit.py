"""The audit log as an owner reads it: what was tampered with is told, on the page at once and elsewhere within a day."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from hoa_app.features import FEATURES
from hoa_app.features.audit import check
from hoa_app.settings import Settings
from tests.contract.app.conftest import serving
from tests.contract.app.workers import eventually, working
from tests.contract.features.office import Office, shown
from tests.contract.features.pages import faults

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.contract.app.platform import Platform


@pytest_asyncio.fixture
async def old_company(platform: Platform) -> AsyncIterator[Office]:
    """A company with a log of several pages."""
    tenant = platform.make_tenant(f"audited{len(platform.tenants)}")
    async with serving(platform) as site:
        office = await Office.open(site, tenant)
        office.rows(
            "INSERT INTO audit_log (actor_label, action, subject_type, subject_id)"
            " SELECT 'system', 'x.made', 'x', n::text FROM generate_series(1, 200) n RETURNING 1"
        )
        yield office


async def checked(platform: Platform, office: Office) -> None:
    """What the worker does once a day."""
    office.rows("INSERT INTO outbox (kind, payload) VALUES (%s, '{}') RETURNING 1", check.KIND)
    settings = Settings.from_env(platform.environment(HOA_ONLY_TENANT=office.tenant.slug))
    waiting = "SELECT count(*) FROM outbox WHERE kind = %s AND state = 'queued' AND dedupe_key IS NULL"
    async with working(settings, *FEATURES):
        await eventually(lambda: office.rows(waiting, check.KIND) == [(0,)])


def forge(office: Office, statement: str) -> None:
    with office.tenant.as_admin() as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute(statement)


@pytest.mark.parametrize("at_once", [50_000, 60])
async def test_a_whole_log_is_checked_once_a_day_and_the_page_says_when(
    platform: Platform, old_company: Office, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(check, "AT_ONCE", at_once)
    page = await old_company.owner.see("/audit")
    assert faults(page) == []
    assert "The chain holds Every entry on this page fits the one before it. All of them are" in shown(page)
    await checked(platform, old_company)
    (entries,) = old_company.rows("SELECT count(*) FROM audit_log")[0]
    assert f"All {entries} were checked just now, as once every day." in shown(await old_company.owner.see("/audit"))

    forge(old_company, "UPDATE audit_log SET actor_label = 'nobody' WHERE sequence = 100")
    assert "The chain holds" in shown(await old_company.owner.see("/audit"))
    await checked(platform, old_company)
    assert "The chain breaks at entry 100" in shown(await old_company.owner.see("/audit"))


@pytest.mark.parametrize(
    ("statement", "entry"),
    [
        ("UPDATE audit_log SET detail = '{\"a\": 1}' WHERE sequence = {}", 0),
        ("DELETE FROM audit_log WHERE sequence = {}", 1),
        ("UPDATE audit_log SET previous_hash = '\\x00' WHERE sequence = {}", 0),
    ],
)
async def test_what_was_changed_on_the_page_is_told_at_once(old_company: Office, statement: str, entry: int) -> None:
    (last,) = old_company.rows("SELECT max(sequence) FROM audit_log")[0]
    forge(old_company, statement.replace("{}", str(last - 10)))
    page = shown(await old_company.owner.see("/audit"))
    assert f"The chain breaks at entry {last - 10 + entry}" in page
    assert "The chain holds" not in page


async def test_a_rewritten_beginning_is_told(platform: Platform, old_company: Office) -> None:
    forge(old_company, "DELETE FROM audit_log WHERE sequence <= 2")
    await checked(platform, old_company)
    assert "The chain breaks at entry 3" in shown(await old_company.owner.see("/audit"))

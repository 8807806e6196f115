"""Fixtures of the features' tests: one office per tenant, with somebody of every role at the door."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest_asyncio

from tests.contract.app.conftest import pinnacle, platform, seabreeze, site
from tests.contract.features.office import Office

if TYPE_CHECKING:
    from tests.contract.app.browser import Site
    from tests.contract.app.platform import MadeTenant

__all__ = ["pinnacle", "platform", "seabreeze", "site"]


@pytest_asyncio.fixture(scope="session")
async def office(site: Site, seabreeze: MadeTenant) -> Office:
    """The company that the tests work in."""
    return await Office.open(site, seabreeze)


@pytest_asyncio.fixture(scope="session")
async def other_office(site: Site, pinnacle: MadeTenant) -> Office:
    """The company whose things must never be seen."""
    return await Office.open(site, pinnacle)

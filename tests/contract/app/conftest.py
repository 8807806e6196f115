"""Fixtures of the app's contract tests: a platform with two tenants whose data must never meet, and the app serving them."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
import pytest_asyncio

from hoa_app.features import FEATURES
from hoa_app.main import create_app
from hoa_app.settings import Settings
from tests.contract.app.browser import Site, add_user
from tests.contract.app.platform import MadeTenant, Platform

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tests.fix_postgres import PostgresAccess


@pytest.fixture(scope="session")
def platform(postgres: PostgresAccess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """The registry and tenants of the run."""
    made = Platform(postgres, tmp_path_factory.mktemp("platform"))
    yield made
    made.destroy()


@pytest.fixture(scope="session")
def seabreeze(platform: Platform) -> MadeTenant:
    """The first tenant."""
    return platform.make_tenant("seabreeze")


@pytest.fixture(scope="session")
def pinnacle(platform: Platform) -> MadeTenant:
    """The second tenant."""
    return platform.make_tenant("pinnacle")


@asynccontextmanager
async def serving(platform: Platform, **environment: str) -> AsyncIterator[Site]:
    """The app with every feature, in this process, over the platform's registry."""
    app: Any = create_app(Settings.from_env(platform.environment(**environment)), FEATURES)
    async with app.router.lifespan_context(app):
        site = Site(app)
        await site.services.registry.loaded.wait()
        yield site
        await site.close()


@pytest_asyncio.fixture(scope="session")
async def site(platform: Platform, seabreeze: MadeTenant, pinnacle: MadeTenant) -> AsyncIterator[Site]:
    """The app serving both tenants for the whole run; tests that change how it is set up make their own."""
    async with serving(platform) as made:
        yield made


@pytest.fixture
def someone(seabreeze: MadeTenant) -> str:
    """A manager of the first tenant whom no other test knows."""
    return add_user(seabreeze, "manager", f"{uuid4().hex}@seabreeze.example")

"""Fixtures of the app's contract tests: a platform with two tenants whose data must never meet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.contract.app.platform import MadeTenant, Platform

if TYPE_CHECKING:
    from collections.abc import Iterator

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

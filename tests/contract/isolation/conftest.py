"""Fixtures of the isolation tests: a platform of their own, whose companies are full of canaries."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.contract.app.platform import Platform
from tests.contract.isolation.world import World

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fix_postgres import PostgresAccess


@pytest.fixture(scope="session")
def place(postgres: PostgresAccess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """The registry and tenants of these tests."""
    made = Platform(postgres, tmp_path_factory.mktemp("isolation"))
    yield made
    made.destroy()


@pytest.fixture(scope="session")
def world(place: Platform) -> World:
    """The companies, planted."""
    return World.make(place)

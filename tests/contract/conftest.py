"""Fixtures of the contract level: one server per kind of admin login, everything each logs kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from hoa_operator.postgres import AdminLogin, PostgresServer
from tests import fix_postgres
from tests.contract.fix_jobs import golden, pair
from tests.contract.fix_registry import epoch, registry, rig
from tests.contract.fix_town import town
from tests.contract.servers import INSTALLATION, RealServer, address_of, fill_template, make_limited_admin

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

TEMPLATE = "0001"


def _private(kind: str) -> Iterator[RealServer]:
    private = fix_postgres.PostgresServer.create().start()
    access = private.access
    name, password = make_limited_admin(access) if kind == "limited" else (access.username, access.password)
    server = RealServer(
        access, AdminLogin(address_of(access), name, password), kind == "superuser", private.process.log
    )
    server.run("ALTER ROLE ALL SET log_statement = 'all'")
    yield server
    server.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND usename <> ''")
    private.destroy()


@pytest.fixture(scope="session", params=["superuser", "limited"])
def server(request: pytest.FixtureRequest) -> Iterator[RealServer]:
    """A server per kind of admin login: superuser, and CREATEDB with CREATEROLE as managed services give."""
    yield from _private(request.param)


@pytest_asyncio.fixture
async def door(server: RealServer) -> AsyncIterator[PostgresServer]:
    """The operator's door to the server."""
    before = server.databases()
    door = server.door()
    yield door
    await door.close()
    server.sweep(before)


@pytest_asyncio.fixture(scope="session")
async def template(server: RealServer) -> str:
    """Revision of a sealed template on the server."""
    door = server.door("template-maker")
    await fill_template(server, door, TEMPLATE)
    await door.close()
    return TEMPLATE


__all__ = ["door", "epoch", "golden", "pair", "registry", "rig", "server", "template", "town"]


@pytest_asyncio.fixture
async def own_door(
    own_postgres: fix_postgres.PostgresServer,
) -> AsyncIterator[tuple[fix_postgres.PostgresServer, PostgresServer]]:
    """A server that the test may break, and the operator's door to it."""
    access = own_postgres.access
    login = AdminLogin(address_of(access), access.username, access.password)
    door = PostgresServer(login, identity="one", installation=INSTALLATION)
    yield own_postgres, door
    await door.close()

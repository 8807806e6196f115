"""The registry's login may be changed while the operator runs: the mounted directory is read again when it is refused."""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from hoa_operator.errors import UserError, WorldError
from tests.contract.fix_registry import new_row

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from hoa_operator.registry import Registry
    from tests.contract.fix_registry import Rig

END = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = '{}'"


@pytest_asyncio.fixture
async def registrar(rig: Rig) -> str:
    """A login that only this test uses, in the rig's directory."""
    name = f"registrar_{secrets.token_hex(4)}"
    rig.server.run(
        f"CREATE ROLE {name} LOGIN CREATEDB CREATEROLE PASSWORD 'the-first-password'",
        # Where the operator has been at work, PUBLIC may not.
        f"GRANT CONNECT ON DATABASE postgres TO {name}",
    )
    rig.write("admin", username=name, password="the-first-password")
    return name


@pytest_asyncio.fixture
async def running(rig: Rig, registrar: str) -> AsyncIterator[Registry]:
    """A registry at work with that login."""
    registry = rig.registry()
    await registry.start()
    yield registry
    await registry.close()


async def test_a_rotated_password_is_followed_without_a_restart(rig: Rig, registrar: str, running: Registry) -> None:
    epoch, row = await running.acquire_epoch(), new_row()
    rig.server.run(f"ALTER ROLE {registrar} PASSWORD 'the-second-password'", END.format(registrar))
    with pytest.raises(WorldError) as caught:
        await running.rows()
    assert caught.value.reason == "AdminLoginRefused"
    rig.write("admin", password="the-second-password")
    assert await asyncio.gather(*(running.rows() for _ in range(6))) == [[]] * 6
    assert await running.upsert(row, epoch) is True


async def test_another_login_is_followed_with_its_epoch(rig: Rig, registrar: str, running: Registry) -> None:
    epoch = await running.acquire_epoch()
    rig.write("admin", username=rig.server.access.username, password=rig.server.access.password)
    rig.server.run(f"ALTER ROLE {registrar} NOLOGIN", END.format(registrar))
    await running.check_epoch(epoch)
    assert await running.upsert(new_row(), epoch) is True


async def test_a_moved_server_is_followed(rig: Rig, registrar: str, running: Registry) -> None:
    rig.write("admin", port=1)
    rig.server.run(f"ALTER ROLE {registrar} NOLOGIN", END.format(registrar))
    with pytest.raises(WorldError) as caught:
        await running.rows()
    assert caught.value.reason == "ServerUnreachable"
    rig.server.run(f"ALTER ROLE {registrar} LOGIN")
    rig.write("admin", port=rig.server.access.port)
    assert await running.rows() == []


async def test_a_directory_that_went_bad_is_named(rig: Rig, registrar: str, running: Registry) -> None:
    rig.server.run(f"ALTER ROLE {registrar} PASSWORD 'the-second-password'", END.format(registrar))
    rig.write("admin", password="")
    with pytest.raises(UserError, match="password is missing or empty"):
        await running.rows()
    rig.write("admin", password="the-second-password")
    assert await running.rows() == []

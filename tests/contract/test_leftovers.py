"""What the orphans command reads with: doors that the server itself keeps from changing anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hoa_operator.errors import OperatorError
from hoa_operator.postgres import PostgresServer
from tests.contract.fix_registry import new_row
from tests.contract.servers import INSTALLATION, new_spec

if TYPE_CHECKING:
    from hoa_operator.registry import Registry
    from tests.contract.fix_registry import Rig
    from tests.contract.servers import RealServer


async def test_roles_are_listed_with_whose_they_are(server: RealServer, door: PostgresServer) -> None:
    spec = new_spec()
    await door.ensure(spec)
    stray = f"hoa_connect_tenant_{new_spec().tenant_id.hex}_app"
    server.run(f"CREATE ROLE {stray}")
    found = {role.name: role for role in await door.list_tenant_roles()}
    ours = [role for role in found.values() if role.tenant_id == spec.tenant_id]
    assert {role.identity for role in ours} == {spec.identity}
    assert sum(role.can_login for role in ours) == len(
        [role for role in ours if role.name.endswith(("app", "app_b", "migrator"))]
    )
    assert (found[stray].identity, found[stray].can_login) == (None, False)
    server.run(f"DROP ROLE {stray}")


async def test_the_door_to_look_through_changes_nothing(server: RealServer, door: PostgresServer) -> None:
    spec = new_spec()
    await door.ensure(spec)
    looking = PostgresServer(server.admin, identity="looking", installation=INSTALLATION, read_only=True)
    assert spec.tenant_id in {found.tenant_id for found in await looking.list_tenant_databases()}
    with pytest.raises(OperatorError, match="read-only"):
        await looking.ensure(new_spec())
    await looking.close()


async def test_the_registry_is_read_without_being_set_up(rig: Rig, registry: Registry, epoch: int) -> None:
    row = new_row()
    await registry.upsert(row, epoch)
    looking = rig.registry("looking")
    assert looking.attach().username == rig.server.admin.username
    assert await looking.rows() == [row]
    with pytest.raises(OperatorError, match="read-only"):
        await looking.upsert(new_row(), epoch)
    await looking.close()


async def test_a_registry_that_is_not_there_is_not_made(rig: Rig) -> None:
    looking = rig.registry("looking")
    looking.attach()
    with pytest.raises(OperatorError) as caught:
        await looking.rows()
    assert caught.value.reason == "DatabaseMissing"
    assert rig.dbname not in rig.server.databases()
    await looking.close()

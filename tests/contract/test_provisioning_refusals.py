"""What a tenant's database and roles cannot be made of or over: said in words, and what is another's is left alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hoa_operator.errors import UserError, WorldError
from hoa_operator.postgres import AdminLogin, PostgresServer
from tests.contract.servers import INSTALLATION, RealServer, app_of, migrator_of, new_spec, owner_of, writer_of


async def test_an_unknown_extension_is_the_users_to_correct(door: PostgresServer) -> None:
    spec = new_spec(extensions=("no_such_thing",))
    with pytest.raises(UserError, match="no_such_thing") as caught:
        await door.ensure(spec)
    assert caught.value.reason == "ExtensionUnavailable"


async def test_another_database_of_that_name_is_left_alone(server: RealServer, door: PostgresServer) -> None:
    spec = new_spec()
    await door.ensure_roles(spec)
    server.run(f'CREATE DATABASE "{spec.database}"')
    with pytest.raises(UserError) as caught:
        await door.ensure_database(spec)
    assert caught.value.reason == "OwnershipNotProven"
    assert server.one("SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = %s", spec.database) == "postgres"


@pytest.mark.parametrize("kind", ["owner", "migrator", "writer", "app"])
async def test_another_role_of_that_name_is_left_alone(server: RealServer, door: PostgresServer, kind: str) -> None:
    spec = new_spec()
    name = {"owner": owner_of, "migrator": migrator_of, "writer": writer_of, "app": app_of}[kind](spec)
    server.run(f'CREATE ROLE "{name}"')
    with pytest.raises(UserError, match=name) as caught:
        await door.ensure(spec)
    assert caught.value.reason == "OwnershipNotProven"
    assert (await door.observe(spec.tenant_id)).exists is False


async def test_another_uid_is_refused(door: PostgresServer) -> None:
    spec, other = new_spec(), new_spec()
    await door.ensure(spec)
    stranger = replace(spec, identity=replace(other.identity, tenant_id=spec.tenant_id))
    for step in (door.ensure_roles, door.ensure_database, door.ensure_grants, door.ensure_settings, door.set_passwords):
        with pytest.raises(UserError) as caught:
            await step(stranger)
        assert caught.value.reason == "OwnershipNotProven"


async def test_a_missing_template_is_said(door: PostgresServer) -> None:
    spec = new_spec(template="9999")
    with pytest.raises(WorldError, match="9999") as caught:
        await door.ensure(spec)
    assert caught.value.reason == "TemplateMissing"


async def test_a_busy_template_is_waited_for_then_said(server: RealServer, door: PostgresServer, template: str) -> None:
    name = f"hoa_connect_template_{template}"
    spec = new_spec(template=template)
    server.run(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    try:
        with server.look(name):
            server.run(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
            with pytest.raises(WorldError) as caught:
                await door.ensure(spec)
        assert caught.value.reason == "TemplateBusy"
    finally:
        server.run(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    assert await door.ensure(spec) == "Created"


async def test_a_wrong_admin_password_is_explained(server: RealServer) -> None:
    login = AdminLogin(server.admin.address, server.admin.username, "certainly-wrong-password")
    door = PostgresServer(login, identity="one", installation=INSTALLATION)
    with pytest.raises(WorldError, match="admin Secret") as caught:
        await door.probe()
    assert caught.value.reason == "AdminLoginRefused"
    assert "certainly-wrong-password" not in str(caught.value)
    assert "certainly-wrong-password" not in repr(login)

"""Golden templates: made empty, sealed when filled, cloned from, replaced, and never mistaken for somebody else's."""

from __future__ import annotations

import psycopg
import pytest

from hoa_operator.errors import UserError
from hoa_operator.postgres import PostgresServer
from tests.contract.servers import RealServer, fill_template, new_spec

MIGRATOR = "hoa_connect_template_migrator"


async def test_a_template_is_sealed_against_everyone(server: RealServer, door: PostgresServer, template: str) -> None:
    password = await fill_template(server, door, "0101")
    name = "hoa_connect_template_0101"
    assert await door.template_ready("0101")
    assert not await door.template_ready("0102")
    row = server.all("SELECT datistemplate, datallowconn FROM pg_database WHERE datname = %s", name)
    assert row == [{"datistemplate": True, "datallowconn": False}]
    assert server.sees(MIGRATOR, password, name)
    assert not server.one("SELECT rolcanlogin FROM pg_roles WHERE rolname = %s", MIGRATOR)


async def test_an_unsealed_template_is_not_ready(server: RealServer, door: PostgresServer, template: str) -> None:
    await door.ensure_template("0110", "a-template-password")
    assert not await door.template_ready("0110")
    with server.login(MIGRATOR, "a-template-password", "hoa_connect_template_0110") as connection:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("CREATE TABLE x (id int)")
        connection.execute("SET ROLE hoa_connect_template_owner")
        connection.execute("CREATE TABLE x (id int)")
    for other in ("postgres", "template1"):
        assert (
            server.one("SELECT has_database_privilege(%s, 'hoa_connect_template_0110', 'CONNECT')", "pg_monitor")
            is False
        ), other
    await door.seal_template("0110")
    assert await door.template_ready("0110")


async def test_making_again_converges(server: RealServer, door: PostgresServer, template: str) -> None:
    await door.ensure_template("0120", "first-password-here")
    await door.ensure_template("0120", "second-password-here")
    assert server.sees(MIGRATOR, "first-password-here", "hoa_connect_template_0120")
    assert server.sees(MIGRATOR, "second-password-here", "hoa_connect_template_0120") is None
    await door.seal_template("0120")
    mark = server.log_size
    await door.ensure_template("0120", "third-password-here")
    assert await door.template_ready("0120")
    assert "ALTER" not in server.log_since(mark), "a sealed template is left alone"


async def test_old_templates_go_and_clones_stay(server: RealServer, door: PostgresServer, template: str) -> None:
    await fill_template(server, door, "0130")
    spec = new_spec(template="0130")
    await door.ensure(spec)
    keep = {found.revision for found in await door.list_templates()} - {"0130"}
    assert await door.drop_old_templates(keep) == ("0130",)
    assert await door.drop_old_templates(keep) == ()
    assert (await door.observe(spec.tenant_id)).exists
    with pytest.raises(UserError):
        await door.drop_old_templates(())


async def test_a_stranger_of_that_name_is_left_alone(
    server: RealServer, door: PostgresServer, template: str, golden: str
) -> None:
    server.run("CREATE DATABASE hoa_connect_template_0140")
    try:
        with pytest.raises(UserError) as caught:
            await door.ensure_template("0140", "some-password-here")
        assert caught.value.reason == "OwnershipNotProven"
        with pytest.raises(UserError):
            await door.seal_template("0140")
        assert "0140" not in await door.drop_old_templates({template, golden})
    finally:
        server.run("DROP DATABASE hoa_connect_template_0140")


async def test_another_installation_is_told(server: RealServer, template: str) -> None:
    door = server.door("one", installation="another")
    with pytest.raises(UserError, match="another installation"):
        await door.ensure_template("0150", "some-password-here")
    await door.close()

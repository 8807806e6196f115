"""Killed after any statement, a run that starts over ends where an undisturbed one does, with nothing made twice."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from hoa_operator.errors import WorldError
from hoa_operator.postgres import DatabaseSpec, OwnershipProof, PostgresServer, differences, names
from tests.contract.servers import RealServer, app_of, fill_template, new_spec, proof_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

DELETED_AT = datetime(2031, 4, 5, tzinfo=UTC)
KILLS_AT_MOST = 200


class Killed(BaseException):
    """Stands for SIGKILL: no handler may catch it, and the connection is gone."""


class Fuse:
    """Counts the statements of the operator's sessions and cuts the run right after the n-th is done and before another is sent."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.monkeypatch = monkeypatch

    def lit(self, statement: int) -> None:
        """Arm it; a run with fewer statements ends undisturbed."""
        real = psycopg.AsyncConnection.execute
        count = 0

        async def execute(connection: psycopg.AsyncConnection[Any], *args: Any, **kwargs: Any) -> Any:
            nonlocal count
            count += 1
            if count <= statement:
                result = await real(connection, *args, **kwargs)
            if count < statement:
                return result
            connection.pgconn.finish()
            raise Killed

        self.monkeypatch.setattr(psycopg.AsyncConnection, "execute", execute)

    def out(self) -> None:
        """Disarm it."""
        self.monkeypatch.undo()


@pytest.fixture
def fuse(monkeypatch: pytest.MonkeyPatch) -> Fuse:
    return Fuse(monkeypatch)


async def interrupt_everywhere(
    server: RealServer,
    fuse: Fuse,
    prepare: Callable[[], Awaitable[Any]],
    run: Callable[[Any], Awaitable[Any]],
    check: Callable[[Any], Awaitable[None]],
) -> int:
    """Cut `run` after its first, second, ... statement, each on something fresh; run it again whole, and check."""
    for statement in range(1, KILLS_AT_MOST):
        before = server.databases()
        subject = await prepare()
        fuse.lit(statement)
        try:
            await run(subject)
        except Killed:
            pass
        else:
            return statement - 1
        finally:
            fuse.out()
        await run(subject)
        await check(subject)
        server.sweep(before)
    raise AssertionError(f"more than {KILLS_AT_MOST} statements")


async def test_provisioning(server: RealServer, fuse: Fuse, template: str) -> None:
    async def prepare() -> DatabaseSpec:
        return new_spec(template=template, extensions=("citext",))

    async def run(spec: DatabaseSpec) -> None:
        door = server.door("killed")
        await door.ensure(spec)
        await door.close()

    async def check(spec: DatabaseSpec) -> None:
        door = server.door("checks")
        assert differences(spec, await door.observe(spec.tenant_id)) == ()
        assert server.sees(app_of(spec), spec.app_password, spec.database) is None
        owners = server.all(
            "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'", dbname=spec.database
        )
        assert [row["tableowner"] for row in owners] == [spec.database + "_owner"]
        await door.close()

    assert await interrupt_everywhere(server, fuse, prepare, run, check) > 20


@pytest.mark.parametrize("act", ["drop", "tombstone", "restore", "tombstone then drop"])
async def test_teardown(server: RealServer, fuse: Fuse, act: str) -> None:
    async def prepare() -> tuple[DatabaseSpec, OwnershipProof]:
        spec = new_spec()
        door = server.door("prepares")
        await door.ensure(spec)
        proof = await proof_of(door, spec)
        if act == "restore":
            await door.tombstone(proof, DELETED_AT)
        await door.close()
        return spec, proof

    async def run(subject: tuple[DatabaseSpec, OwnershipProof]) -> None:
        door = server.door("killed")
        if act.startswith("tombstone") and not (await door.observe(subject[0].tenant_id)).absent:
            await door.tombstone(subject[1], DELETED_AT)
        if act.endswith("drop"):
            await door.drop(subject[1])
        if act == "restore":
            await door.restore_from_tombstone(subject[1])
        await door.close()

    async def check(subject: tuple[DatabaseSpec, OwnershipProof]) -> None:
        door = server.door("checks")
        observed = await door.observe(subject[0].tenant_id)
        await door.close()
        if act.endswith("drop"):
            assert observed.absent
        elif act == "tombstone":
            assert (observed.tombstone, observed.deleted_at, observed.allow_connections) == (True, DELETED_AT, False)
            assert not any(role.can_login for role in observed.roles.values())
        else:
            assert (observed.tombstone, observed.deleted_at, observed.allow_connections) == (False, None, True)

    assert await interrupt_everywhere(server, fuse, prepare, run, check) >= 5


async def test_templates(server: RealServer, fuse: Fuse, template: str) -> None:
    made: list[str] = []

    async def prepare() -> str:
        made.append(f"9{len(made):03}")
        return made[-1]

    async def run(revision: str) -> None:
        door = server.door("killed")
        await door.ensure_template(revision, "a-template-password")
        await door.seal_template(revision)
        await door.close()

    async def check(revision: str) -> None:
        door = server.door("checks")
        assert await door.template_ready(revision)
        spec = new_spec(template=revision)
        await door.ensure(spec)
        await door.drop(await proof_of(door, spec))
        await door.close()

    assert await interrupt_everywhere(server, fuse, prepare, run, check) > 10
    door = server.door("sweeps")
    await door.drop_old_templates({template})
    await door.close()


PROGRAM = """
import asyncio, json, sys
from uuid import UUID
from hoa_operator.postgres import AdminLogin, DatabaseIdentity, DatabaseSpec, PostgresServer, ServerAddress
given = json.load(sys.stdin)
async def main():
    address = ServerAddress(**given["address"])
    door = PostgresServer(AdminLogin(address, **given["admin"]), identity="victim", installation=given["installation"])
    identity = DatabaseIdentity(UUID(given["tenant_id"]), UUID(given["uid"]), given["installation"])
    print("ready", flush=True)
    await door.ensure(DatabaseSpec(identity=identity, **given["spec"]))
    print("done", flush=True)
asyncio.run(main())
"""


@pytest.mark.parametrize("milliseconds", [5, 20, 40, 60, 90, 130, 180, 250])
async def test_a_process_killed_in_the_middle(server: RealServer, template: str, milliseconds: int) -> None:
    spec = new_spec(template=template)
    given = {
        "address": asdict(server.admin.address),
        "admin": {"username": server.admin.username, "password": server.admin.password},
        "installation": spec.identity.installation,
        "tenant_id": str(spec.tenant_id),
        "uid": str(spec.identity.uid),
        "spec": {
            "connection_limit": spec.connection_limit,
            "statement_timeout_ms": spec.statement_timeout_ms,
            "template": template,
            "app_password": spec.app_password,
            "migrator_password": spec.migrator_password,
        },
    }
    victim = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert victim.stdin is not None
    assert victim.stdout is not None
    victim.stdin.write(json.dumps(given).encode())
    victim.stdin.write_eof()
    assert await victim.stdout.readline() == b"ready\n"
    await asyncio.sleep(milliseconds / 1000)
    if victim.returncode is None:
        victim.send_signal(signal.SIGKILL)
    await victim.wait()
    door = server.door("successor")
    await door.evict_others()
    await door.ensure(spec)
    assert differences(spec, await door.observe(spec.tenant_id)) == ()
    assert server.sees(app_of(spec), spec.app_password, spec.database) is None
    await door.close()


async def test_a_session_that_the_server_ended_is_replaced(server: RealServer, door: PostgresServer) -> None:
    spec = new_spec()
    await door.ensure_roles(spec)
    server.run(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name LIKE 'hoa-operator/%/one'"
    )
    await door.ensure(spec)
    assert differences(spec, await door.observe(spec.tenant_id)) == ()


async def test_a_new_leader_ends_the_sessions_of_its_own_installation_only(server: RealServer) -> None:
    """Pods are named alike at the beginning, in one installation and from one to the next."""
    release = "a-release-whose-name-is-so-long-that-it-fills-much-of-the-name"
    old, new = server.door(f"{release}-7f9c4-aaaaa"), server.door(f"{release}-7f9c4-bbbbb")
    neighbour = server.door(f"{release}-7f9c4-aaaaa", installation="another/installation")
    for door in (old, neighbour):
        await door.probe()
    sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'hoa-operator/%%' AND right(application_name, 5) = %s"
    assert server.one(sessions, "aaaaa") == 2
    await new.evict_others()
    assert server.one(sessions, "aaaaa") == 1
    await neighbour.evict_others()
    assert (server.one(sessions, "aaaaa"), server.one(sessions, "bbbbb")) == (1, 1)
    for door in (old, new, neighbour):
        await door.close()


async def test_a_lock_held_by_another_leader_is_waited_for_then_said(server: RealServer, door: PostgresServer) -> None:
    spec = new_spec()
    with server.look() as other:
        other.execute("SELECT pg_advisory_lock(%s)", [names.lock_key("tenant", spec.tenant_id.hex)])
        waiting = asyncio.create_task(door.ensure_roles(spec))
        while not server.all("SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        assert (await door.observe(spec.tenant_id)).absent, "one tenant's lock holds up nobody else"
        other.execute("SELECT pg_advisory_unlock_all()")
        await waiting
    assert (await door.observe(spec.tenant_id)).role("app").exists


async def test_a_stopped_server_is_said_and_its_return_is_noticed(own_door: tuple[Any, PostgresServer]) -> None:
    private, door = own_door
    spec = new_spec()
    await door.ensure(spec)
    private.stop()
    with pytest.raises(WorldError) as caught:
        await door.ensure(replace(spec, connection_limit=3))
    assert caught.value.reason in {"ServerUnreachable", "ServerRestarting"}
    assert spec.app_password not in caught.value.message
    private.start()
    await door.ensure(replace(spec, connection_limit=3))
    assert (await door.observe(spec.tenant_id)).role("app").connection_limit == 3


async def test_a_full_server_is_said(own_door: tuple[Any, PostgresServer]) -> None:
    private, door = own_door
    crowd: list[psycopg.Connection[Any]] = []
    try:
        with pytest.raises(psycopg.OperationalError, match="too many clients"):
            crowd.extend(iter(lambda: psycopg.connect(private.access.dsn()), None))
        with pytest.raises(WorldError) as caught:
            await door.probe()
        assert caught.value.reason == "TooManyConnections"
    finally:
        for connection in crowd:
            connection.close()
    assert (await door.probe()).version_num >= 150000


async def test_a_template_made_twice_is_one(server: RealServer, template: str) -> None:
    doors = [server.door(f"maker-{number}") for number in range(3)]
    await asyncio.gather(*(door.ensure_template("8000", "same-password-here") for door in doors))
    await fill_template(server, doors[0], "8000")
    assert [found.revision for found in await doors[0].list_templates()].count("8000") == 1
    for door in doors:
        await door.close()

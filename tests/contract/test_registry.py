"""The registry: it comes up by itself, holds claims apart, tells its listeners, shows the reader its part, and fences."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

import psycopg
import pytest

from hoa_operator.errors import Fenced, HostTaken, SlugTaken, UserError
from hoa_operator.registry import Placement, Registry
from hoa_operator.registry_model import Retirement
from tests.contract.fix_registry import Rig, heir_of, make_rig, new_row
from tests.contract.servers import new_spec

if TYPE_CHECKING:
    from pathlib import Path


COMMENT = "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = %s"
DELETED_AT = datetime(2031, 4, 5, 6, 7, 8, tzinfo=UTC)


def test_rows_show_no_secret() -> None:
    assert "sealed-password" not in repr(new_row())


async def test_start_creates_what_is_missing_and_repeats(rig: Rig, registry: Registry) -> None:
    server = rig.server
    assert server.sees(rig.reader, rig.reader_password, rig.dbname) is None
    assert server.one("SELECT version_num FROM alembic_version", dbname=rig.dbname) == "0005"
    assert not server.one("SELECT has_database_privilege('pg_monitor', %s, 'CONNECT')", rig.dbname)
    mark = server.log_size
    again = rig.registry("two")
    await again.start()
    await again.close()
    written = [
        line for line in server.log_since(mark).splitlines() if "ALTER" in line or "CREATE" in line or "REVOKE" in line
    ]
    assert written == []


async def test_many_instances_start_at_once(rig: Rig) -> None:
    instances = [rig.registry(f"instance-{number}") for number in range(5)]
    await asyncio.gather(*(instance.start() for instance in instances))
    assert await instances[0].rows() == []
    for instance in instances:
        await instance.close()


async def test_a_changed_reader_password_is_followed(rig: Rig, registry: Registry) -> None:
    rig.write("reader", password="another-password-for-the-reader")
    await registry.start()
    assert rig.server.sees(rig.reader, rig.reader_password, rig.dbname)
    assert rig.server.sees(rig.reader, "another-password-for-the-reader", rig.dbname) is None


async def test_a_strangers_reader_role_is_left_alone(rig: Rig) -> None:
    rig.server.run(f"CREATE ROLE {rig.reader} LOGIN PASSWORD 'the-accountants'")
    with pytest.raises(UserError) as caught:
        await rig.registry().start()
    assert caught.value.reason == "ReaderLoginRefused"
    assert "password authentication failed" in (rig.server.sees(rig.reader, rig.reader_password, "postgres") or "")


async def test_another_installations_registry_is_left_alone(rig: Rig, registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = make_rig(rig.server, tmp_path / "other")
    other.write("admin", dbname=rig.dbname)
    with pytest.raises(UserError, match=rig.installation) as caught:
        await other.registry().start()
    assert caught.value.reason == "OwnershipNotProven"


async def test_a_database_of_somebody_else_is_left_alone(rig: Rig) -> None:
    rig.server.run(f"CREATE DATABASE {rig.dbname} OWNER {rig.server.admin.username}")
    rig.server.run("CREATE SCHEMA shop CREATE TABLE orders (id int)", dbname=rig.dbname)
    with pytest.raises(UserError, match=r"it holds shop\.orders and is no registry of ours") as caught:
        await rig.registry().start()
    assert caught.value.reason == "OwnershipNotProven"
    assert "another dbname" in caught.value.message
    assert rig.server.one("SELECT to_regclass('tenants')", dbname=rig.dbname) is None
    assert rig.server.one(COMMENT, rig.dbname) is None


async def test_a_closed_database_with_words_of_its_own_is_left_alone(rig: Rig) -> None:
    rig.server.run(f"CREATE DATABASE {rig.dbname} OWNER {rig.server.admin.username} ALLOW_CONNECTIONS false")
    rig.server.run(f"COMMENT ON DATABASE {rig.dbname} IS 'the shop, closed for the winter'")
    with pytest.raises(UserError, match="refuses connections and is no registry of ours"):
        await rig.registry().start()
    assert not rig.server.one("SELECT datallowconn FROM pg_database WHERE datname = %s", rig.dbname)


@pytest.mark.parametrize("options", ["", "ALLOW_CONNECTIONS false"])
async def test_an_empty_database_and_what_a_killed_start_left_are_taken(rig: Rig, options: str) -> None:
    rig.server.run(f"CREATE DATABASE {rig.dbname} OWNER {rig.server.admin.username} {options}")
    registry = rig.registry()
    await registry.start()
    assert await registry.rows() == []
    assert rig.installation in rig.server.one(COMMENT, rig.dbname)
    await registry.close()


async def test_a_registry_that_was_put_back_from_a_dump_is_taken(rig: Rig, registry: Registry, epoch: int) -> None:
    """A dump of one database holds no comment on the database."""
    row = new_row()
    await registry.upsert(row, epoch)
    rig.server.run(f"COMMENT ON DATABASE {rig.dbname} IS NULL")
    restored = rig.registry("two")
    await restored.start()
    assert await restored.rows() == [row]
    await restored.close()


@pytest.mark.parametrize("name", ["host", "username", "password"])
async def test_an_incomplete_directory_is_named(rig: Rig, name: str) -> None:
    (rig.folder / "admin" / name).unlink()
    with pytest.raises(UserError, match=name) as caught:
        await rig.registry().start()
    assert caught.value.reason == "ConnectionDirectoryInvalid"


async def test_a_row_comes_back_as_it_went(registry: Registry, epoch: int) -> None:
    row = new_row()
    assert await registry.upsert(row, epoch) is True
    for found in (
        await registry.observe(row.uid),
        await registry.by_tenant_id(row.tenant_id),
        await registry.by_slug(row.slug),
        await registry.by_host(row.hosts[0]),
    ):
        assert found == row
    assert await registry.observe(uuid4()) is None


async def test_an_unchanged_row_is_not_written(rig: Rig, registry: Registry, epoch: int) -> None:
    row = new_row()
    await registry.upsert(row, epoch)
    stamp = (await registry.rows())[0].updated_at
    with rig.server.login(rig.reader, rig.reader_password, rig.dbname) as listener:
        listener.execute("LISTEN hoa_tenants")
        assert await registry.upsert(row, epoch) is False
        assert list(listener.notifies(timeout=0.2)) == []
    assert (await registry.rows())[0].updated_at == stamp


async def test_only_another_login_begins_an_overlap(rig: Rig, registry: Registry, epoch: int) -> None:
    row = new_row()
    await registry.upsert(row, epoch)
    rotated = replace(row, database={**row.database, "username": "u_b"})
    await registry.upsert(rotated, epoch)
    first = await registry.observe(row.uid)
    await registry.upsert(replace(rotated, display_name="Another", sealed_password=b"another"), epoch)
    await registry.set_state(row.tenant_id, "Suspended", epoch)
    after = await registry.observe(row.uid)
    assert first is not None
    assert after is not None
    assert None not in (first.login_since, first.login_age, after.login_age, first.updated_at, after.updated_at)
    assert after.updated_at > first.updated_at  # type: ignore[operator]
    assert after.login_since == first.login_since
    assert after.login_age > first.login_age  # type: ignore[operator]
    rig.server.run("UPDATE tenants SET login_changed_at = now() - interval '1 hour'", dbname=rig.dbname)
    aged = await registry.observe(row.uid)
    assert aged is not None
    assert timedelta(hours=1) <= (aged.login_age or timedelta()) < timedelta(hours=1, minutes=5)
    rig.server.run(  # as a build of before does
        "UPDATE tenants SET database = jsonb_set(database, '{username}', '\"u\"')", dbname=rig.dbname
    )
    back = await registry.observe(row.uid)
    assert back is not None
    assert (back.login_age or timedelta(hours=1)) < timedelta(minutes=5)


async def test_the_reader_hears_every_change(rig: Rig, registry: Registry, epoch: int) -> None:
    row = new_row()
    with rig.server.login(rig.reader, rig.reader_password, rig.dbname) as listener:
        listener.execute("LISTEN hoa_tenants")

        def heard() -> list[str]:
            return [note.payload for note in listener.notifies(timeout=5, stop_after=1)]

        await registry.upsert(row, epoch)
        assert heard() == [str(row.tenant_id)]
        await registry.upsert(replace(row, hosts=(*row.hosts, "portal.example.test")), epoch)
        assert heard() == [str(row.tenant_id)]
        await registry.set_state(row.tenant_id, "Suspended", epoch)
        assert heard() == [str(row.tenant_id)]
        await registry.retire(Retirement(row.tenant_id, DELETED_AT), epoch)
        assert heard() == [str(row.tenant_id)]
        await registry.forget(row.tenant_id, epoch)
        assert heard() == [str(row.tenant_id)]
        assert listener.execute("SELECT count(*) AS n FROM tenants").fetchone() == {"n": 0}


async def test_the_reader_reads_its_part_and_nothing_else(rig: Rig, registry: Registry, epoch: int) -> None:
    await registry.upsert(new_row(), epoch)
    refused = (
        "SELECT * FROM placements",
        "SELECT * FROM operator_epoch",
        "SELECT * FROM alembic_version",
        "UPDATE tenants SET state = 'Active'",
        "DELETE FROM tenants",
        "INSERT INTO dropped_tenants SELECT tenant_id FROM tenants",
        "DELETE FROM dropped_tenants",
        "INSERT INTO tenant_hosts SELECT 'stolen.test', tenant_id FROM tenants",
        "UPDATE operator_epoch SET epoch = 99",
        "TRUNCATE tenants",
        "CREATE TABLE mine (id int)",
        "CREATE TEMPORARY TABLE mine (id int)",
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "SELECT tenants_notify()",
        "SELECT tenants_back()",
        "SELECT * FROM pg_authid",
        "CREATE ROLE mine",
    )
    with rig.server.login(rig.reader, rig.reader_password, rig.dbname) as reader:
        assert len(reader.execute("SELECT * FROM tenants").fetchall()) == 1
        assert len(reader.execute("SELECT * FROM tenant_hosts").fetchall()) == 1
        assert reader.execute("SELECT * FROM dropped_tenants").fetchall() == []
        reader.execute("NOTIFY hoa_outbox, 'x'")
        for statement in refused:
            with pytest.raises((psycopg.errors.InsufficientPrivilege, psycopg.errors.FeatureNotSupported)):
                reader.execute(statement)


async def test_a_taken_slug_names_its_holder(registry: Registry, epoch: int) -> None:
    first = new_row()
    await registry.upsert(first, epoch)
    second = new_row(slug=first.slug)
    with pytest.raises(SlugTaken, match=f"hoa-connect/{first.name}"):
        await registry.upsert(second, epoch)
    await registry.set_state(first.tenant_id, "Deleting", epoch)
    with pytest.raises(SlugTaken):
        await registry.upsert(second, epoch)
    await registry.retire(Retirement(first.tenant_id, DELETED_AT), epoch)
    assert await registry.upsert(second, epoch) is True
    assert await registry.by_slug(first.slug) == second


async def test_a_taken_host_names_its_holder_and_writes_nothing(registry: Registry, epoch: int) -> None:
    first, second = new_row(), new_row()
    await registry.upsert(first, epoch)
    await registry.upsert(second, epoch)
    greedy = replace(second, hosts=("fresh.example.test", first.hosts[0]), display_name="Greedy")
    with pytest.raises(HostTaken, match=f"hoa-connect/{first.name}"):
        await registry.upsert(greedy, epoch)
    assert await registry.by_tenant_id(second.tenant_id) == second
    assert await registry.by_host("fresh.example.test") is None
    await registry.upsert(replace(first, hosts=("moved.example.test",)), epoch)
    assert await registry.upsert(greedy, epoch) is True
    assert await registry.by_host(first.hosts[0]) == greedy


async def test_of_many_claims_on_one_host_one_wins(rig: Rig, registry: Registry, epoch: int) -> None:
    rows = [new_row(hosts=("wanted.example.test",)) for _ in range(8)]
    outcomes = await asyncio.gather(*(registry.upsert(row, epoch) for row in rows), return_exceptions=True)
    assert [outcome for outcome in outcomes if outcome is True] == [True]
    assert sum(isinstance(outcome, HostTaken) for outcome in outcomes) == 7
    assert len(await registry.rows()) == 1


async def test_the_same_name_twice_is_refused(registry: Registry, epoch: int) -> None:
    first = new_row()
    await registry.upsert(first, epoch)
    with pytest.raises(UserError) as caught:
        await registry.upsert(new_row(name=first.name), epoch)
    assert caught.value.reason == "TenantRecordLeft"


async def test_another_uid_never_takes_a_row_by_writing(registry: Registry, epoch: int) -> None:
    row = new_row()
    await registry.upsert(row, epoch)
    with pytest.raises(UserError) as caught:
        await registry.upsert(replace(row, uid=uuid4(), display_name="Thief"), epoch)
    assert caught.value.reason == "TenantIdTaken"
    assert await registry.by_tenant_id(row.tenant_id) == row


@pytest.mark.parametrize(
    "change",
    [
        {"state": "Asleep"},
        {"placement": "Elsewhere"},
        {"tier": "Auto"},
        {"hosts": ("Upper.example.test",)},
        {"hosts": ("with.port.test:80",)},
        {"hosts": ()},
        {"sealed_password": None},
        {"sealed_signing_keys": None},
        {"database": {"host": "db"}},
    ],
)
async def test_the_table_refuses_nonsense(registry: Registry, epoch: int, change: dict[str, object]) -> None:
    with pytest.raises(Exception, match="violates check constraint"):
        await registry.upsert(new_row(**change), epoch)
    assert await registry.rows() == []


async def test_a_tenant_in_the_making_needs_no_secrets_yet(registry: Registry, epoch: int) -> None:
    row = new_row(
        state="Provisioning", sealed_password=None, sealed_signing_keys=None, database={}, schema_revision=None
    )
    assert await registry.upsert(row, epoch) is True
    assert await registry.by_tenant_id(row.tenant_id) == row


async def test_retired_tenants_are_listed_with_their_proof(registry: Registry, epoch: int) -> None:
    row = new_row()
    await registry.upsert(row, epoch)
    await registry.record_placement(Placement(row.tenant_id, "default", "7311", None), epoch)
    await registry.record_placement(Placement(row.tenant_id, "default", "7311", 16_384), epoch)
    await registry.record_placement(Placement(row.tenant_id, "elsewhere", "9999", 99_999), epoch)
    assert await registry.placement(row.tenant_id) == Placement(row.tenant_id, "default", "7311", 16_384)
    assert await registry.occupied() == {str(row.tenant_id): "default"}
    await registry.retire(Retirement(row.tenant_id, DELETED_AT), epoch)
    assert await registry.occupied() == {}
    [(kept, placement)] = await registry.tombstones()
    assert (kept.state, kept.sealed_password, kept.sealed_signing_keys) == ("Deleted", None, None)
    assert placement == Placement(row.tenant_id, "default", "7311", 16_384, DELETED_AT)
    assert placement.proof(row.uid).database_oid == 16_384
    assert await registry.by_host(row.hosts[0]) is None
    assert await registry.forget(row.tenant_id, epoch) is True
    assert await registry.forget(row.tenant_id, epoch) is False
    assert await registry.placements() == []


async def test_a_stale_leader_is_fenced(rig: Rig, registry: Registry, epoch: int) -> None:
    row = new_row()
    await registry.upsert(row, epoch)
    successor = rig.registry("two")
    await successor.start()
    newer = await successor.acquire_epoch()
    assert newer == epoch + 1
    changed = replace(row, display_name="From the past")
    attempts = (
        registry.upsert(changed, epoch),
        registry.set_state(row.tenant_id, "Suspended", epoch),
        registry.record_placement(Placement(row.tenant_id, "default", "1"), epoch),
        registry.retire(Retirement(row.tenant_id, DELETED_AT), epoch),
        registry.claim(row.tenant_id, heir_of(row), (), epoch),
        registry.adopt(row.tenant_id, heir_of(row), epoch),
        registry.begin_drop(row.tenant_id, (), datetime.max.replace(tzinfo=UTC), epoch),
        registry.forget(row.tenant_id, epoch),
        registry.check_epoch(epoch),
    )
    for attempt in attempts:
        with pytest.raises(Fenced, match="two leads now"):
            await attempt
    assert await successor.rows() == [row]
    await successor.check_epoch(newer)
    await successor.close()


async def test_a_new_leader_ends_a_transaction_left_open(rig: Rig, registry: Registry, epoch: int) -> None:
    admin = rig.server.admin
    with rig.server.login(admin.username, admin.password, rig.dbname, application_name="hoa-operator/frozen") as frozen:
        frozen.execute("BEGIN")
        frozen.execute("SELECT epoch FROM operator_epoch FOR SHARE")
        successor = rig.registry("two")
        await successor.start()
        assert await asyncio.wait_for(successor.acquire_epoch(), 5) == epoch + 1
        with pytest.raises(psycopg.OperationalError):
            frozen.execute("SELECT 1")
        await successor.close()


async def test_the_guard_stops_a_stale_leader_at_the_server(rig: Rig, registry: Registry, epoch: int) -> None:
    door = rig.server.door("guarded", guard=registry.guard(epoch))
    before, after = new_spec(), new_spec()
    await door.ensure(before)
    successor = rig.registry("two")
    await successor.start()
    await successor.acquire_epoch()
    with pytest.raises(Fenced):
        await door.ensure(after)
    assert (await door.observe(after.tenant_id)).absent
    await successor.close()
    await door.close()

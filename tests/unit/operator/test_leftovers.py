"""What has no living owner, why, and the command for it; and what is nobody's business."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from hoa_operator import names
from hoa_operator.__main__ import main
from hoa_operator.leftovers import Leftover, Look, ServerLook, find
from hoa_operator.leftovers_command import as_json, as_text, parse
from hoa_operator.postgres import AdminLogin, DatabaseIdentity, ServerAddress, TenantDatabase, TenantRole
from hoa_operator.postgres.names import database_name, role_name, tenant_id_of_role, tombstone_name
from hoa_operator.registry_model import Retained
from tests.unit.operator.samples import NOW, OID, SYSTEM, UID, placement, row_of, world

OURS = "hoa-connect/hoa-connect"
ID = UUID(UID)
LOGIN = AdminLogin(ServerAddress("postgres", 5432), "postgres", "never shown")


def database(**changes: Any) -> TenantDatabase:
    base = TenantDatabase(database_name(ID), OID, ID, DatabaseIdentity(ID, ID, OURS), False, None, 5 * 2**20)
    return replace(base, **changes)


def retained_database() -> TenantDatabase:
    return database(name=tombstone_name(ID), tombstone=True, deleted_at=NOW)


def role(kind: str = "app", **changes: Any) -> TenantRole:
    base = TenantRole(role_name(ID, kind), ID, DatabaseIdentity(ID, ID, OURS), True)
    return replace(base, **changes)


def record(*, place: dict[str, Any] | None = None, **row: Any) -> Retained:
    return Retained(row_of(world(), **row), replace(placement(), **(place or {})))


def child(kind: str = "Secret", *owners: str, **meta: Any) -> dict[str, Any]:
    labels = {names.LABEL_TENANT: "seabreeze"}
    references = [{"uid": uid} for uid in owners]
    metadata = {"name": "tenant-seabreeze-credentials", "labels": labels, "ownerReferences": references, **meta}
    return {"kind": kind, "metadata": metadata}


def look(
    *databases: TenantDatabase, roles: tuple[TenantRole, ...] = (), login: AdminLogin = LOGIN, **changes: Any
) -> Look:
    """Return a look at a namespace with the tenant seabreeze and its server, and what the arguments put there."""
    base = Look(
        namespace="hoa-connect",
        installation=OURS,
        now=NOW,
        tenants={UID: "seabreeze"},
        server_names={"server-default": "default"},
        children=(),
        registry=login,
        records=(record(),),
        servers=(ServerLook("default", login, SYSTEM, databases, roles),),
    )
    return replace(base, **changes)


def lines(found: Look) -> list[tuple[str, str, str]]:
    return [(item.kind, item.where, item.why) for item in find(found)]


def test_what_belongs_to_a_living_tenant_is_no_orphan() -> None:
    roles = tuple(role(kind) for kind in ("owner", "app", "app_b"))
    assert find(look(database(), roles=roles, children=(child("Secret", UID),))) == []


def test_what_is_retained_is_no_orphan_until_its_window_is_long_over() -> None:
    kept: dict[str, Any] = {"state": "Deleted", "place": {"deleted_at": NOW, "drop_after": NOW}}
    on = look(retained_database(), roles=(role(),), tenants={}, records=(record(**kept),))
    assert find(on) == []
    (overdue,) = find(replace(on, now=NOW + timedelta(minutes=16)))
    assert (overdue.kind, overdue.name, overdue.since) == ("RetainedDatabase", "hoa-connect/seabreeze", NOW)
    assert "its undelete window was over at 2026-11-23T12:00:00Z" in overdue.why
    assert "kubectl -n hoa-connect describe hoads default" in overdue.todo
    forever = record(state="Deleted", place={"deleted_at": NOW})
    assert find(replace(on, now=NOW + timedelta(days=999), records=(forever,))) == []


ELSEWHERE = ServerLook("other", LOGIN, SYSTEM, (database(oid=7),), ())


@pytest.mark.parametrize(
    ("records", "tenants", "why"),
    [
        ((), {}, "the registry does not know it"),
        ((record(place={"server_name": "other", "database_oid": 7}),), {UID: "x"}, "on HOADatabaseServer other"),
    ],
)
def test_a_database_that_nobody_can_need_is_dropped_by_this_command(
    records: tuple[Retained, ...], tenants: dict[str, str], why: str
) -> None:
    found = look(database(), records=records, tenants=tenants, server_names={"a": "default", "b": "other"})
    found = replace(found, servers=(*found.servers, *([ELSEWHERE] if records else [])))
    (orphan,) = [item for item in find(found) if item.kind == "Database"]
    assert why in orphan.why
    assert (orphan.size, orphan.where) == (5 * 2**20, "default")
    command = shlex.split(orphan.todo)
    assert command[: command.index("-c") + 2] == [
        "psql", "-h", "postgres", "-p", "5432", "-U", "postgres", "-d", "postgres", "-c",
        f'DROP DATABASE "{database_name(ID)}" WITH (FORCE)',
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("there", "records", "tenants", "why", "todo"),
    [
        (
            database(),
            (),
            {UID: "seabreeze"},
            "HOATenant seabreeze owns it, but the registry does not know it",
            "restore the registry",
        ),
        (database(identity=None), (), {UID: "seabreeze"}, "HOATenant seabreeze owns it", "restore the registry"),
        (database(), (), None, "the registry does not know it", "could not be told whether a HOATenant owns it"),
        (retained_database(), (), {}, "the registry does not know it", "adoptionPolicy: IfUnclaimed"),
        (
            database(),
            (record(place={"database_oid": 7}),),
            {UID: "x"},
            "has another database (oid 7, this is 16500)",
            "the database on record (oid 7 on HOADatabaseServer default) was not seen",
        ),
        (
            database(),
            (record(place={"server_name": "other"}),),
            {UID: "x"},
            "on HOADatabaseServer other",
            "the database on record (oid 16500 on HOADatabaseServer other) was not seen",
        ),
    ],
)
def test_what_may_be_the_only_data_of_somebody_has_no_command_that_drops_it(
    there: TenantDatabase, records: tuple[Retained, ...], tenants: dict[str, str] | None, why: str, todo: str
) -> None:
    found = find(look(there, roles=(role(),), records=records, tenants=tenants))
    (orphan,) = [item for item in found if item.kind == "Database"]
    assert why in orphan.why
    assert todo in orphan.todo
    assert "DROP" not in orphan.todo
    assert records or not [item.todo for item in found if "DROP" in item.todo]


def test_one_that_is_only_just_made_is_no_orphan() -> None:
    assert find(look(database(identity=None), records=(record(place={"database_oid": None}),))) == []


def test_roles_of_no_tenant() -> None:
    alone = look(roles=(role(can_login=False), role("owner", identity=None)), records=(), tenants={})
    assert [(i.kind, i.name, i.why) for i in find(alone)] == [
        ("Role", role_name(ID, "app"), "the registry places no such tenant here"),
        ("Role", role_name(ID, "owner"), "the registry places no such tenant here, and it can log in"),
    ]
    with_database = find(look(database(), roles=(role(),), records=(), tenants={}))
    assert [item.kind for item in with_database] == ["Database", "Role"]
    assert with_database[1].todo.endswith("after its database")


def test_another_installations_things_are_not_ours_to_judge() -> None:
    theirs = DatabaseIdentity(ID, ID, "another/one")
    assert find(look(database(identity=theirs), roles=(role(identity=theirs),), records=(), tenants={})) == []
    unnamed = TenantRole("hoa_connect_tenant_of_mine", None, None, True)
    assert tenant_id_of_role(unnamed.name) is None
    assert find(look(roles=(unnamed,), records=(), tenants={})) == []


def test_rows_without_a_hoatenant() -> None:
    (orphan,) = find(look(database(), roles=(role(),), tenants={}))
    assert (orphan.kind, orphan.name, orphan.where) == ("RegistryRow", "hoa-connect/seabreeze", "registry")
    assert f"there is no HOATenant of uid {UID}" in orphan.why
    assert "adoptionPolicy: IfUnclaimed" in orphan.todo
    assert find(look(database(), tenants={}, records=(record(namespace="elsewhere"),))) == []


@pytest.mark.parametrize(
    ("place", "why"),
    [
        ({"deleted_at": NOW}, "its retained database (oid 16500) is not on default any more"),
        ({"deleted_at": NOW, "server_name": "gone"}, "retained on HOADatabaseServer gone, which does not exist"),
        (None, "no data was ever placed for it"),
    ],
)
def test_rows_whose_data_is_gone(place: dict[str, Any] | None, why: str) -> None:
    kept = record(state="Deleted", place=place)
    found = look(records=(kept if place else replace(kept, placement=None),), tenants={})
    (orphan,) = find(found)
    assert (orphan.kind, why in orphan.why) == ("RegistryRow", True)
    assert f"DELETE FROM tenants WHERE tenant_id = $${ID}$$ AND state = $$Deleted$$" in orphan.todo


def test_retained_data_under_another_name_is_not_forgotten() -> None:
    kept = record(state="Deleted", place={"deleted_at": NOW})
    there = ServerLook("default", LOGIN, SYSTEM, (), (), {16500: 'sav"d', 5: "postgres"})
    (orphan,) = find(look(records=(kept,), tenants={}, servers=(there,)))
    assert orphan.kind == "RetainedDatabase"
    assert "is called 'sav\"d' on default, not hoa_connect_deleted_" in orphan.why
    command = shlex.split(orphan.todo.partition(", and it is")[0])
    assert command[-1] == f'ALTER DATABASE "sav""d" RENAME TO "{tombstone_name(ID)}"'
    assert "DELETE" not in orphan.todo


def test_what_another_postgres_has_under_the_same_oid_is_not_it() -> None:
    """Oids begin at the same number everywhere; a server that was replaced is none of the one on record."""
    kept = record(state="Deleted", place={"deleted_at": NOW})
    fresh = ServerLook(
        "default", LOGIN, "7", (database(name="x", tenant_id=None, identity=None),), (), {OID: "registry"}
    )
    (orphan,) = [item for item in find(look(records=(kept,), tenants={}, servers=(fresh,))) if item.kind != "Database"]
    assert (orphan.kind, orphan.name) == ("RegistryRow", "hoa-connect/seabreeze")
    assert orphan.why == f"its data is retained on Postgres {SYSTEM}, but default now answers as 7"
    assert orphan.todo.startswith("correct spec.endpoint of HOADatabaseServer default if the former is still there")


def test_nothing_on_another_postgres_is_dropped_while_the_one_on_record_was_not_seen() -> None:
    """A dump that was put into a new server has the same names."""
    fresh = ServerLook("default", LOGIN, "7", (database(),), (role(),))
    for orphan in find(look(servers=(fresh,))):
        assert "DROP" not in orphan.todo
        assert "was not seen. Find that first" in orphan.todo


def test_roles_of_retained_data_that_is_gone_go_too() -> None:
    kept = record(state="Deleted", place={"deleted_at": NOW})
    found = find(look(roles=(role(),), records=(kept,), tenants={}))
    assert [(item.kind, item.name) for item in found] == [
        ("RegistryRow", "hoa-connect/seabreeze"),
        ("Role", role_name(ID, "app")),
    ]


def test_objects_whose_owner_is_gone() -> None:
    gone, unowned, of_server = child("Secret", "gone"), child("Ingress"), child("Job", "server-default")
    of_server["metadata"]["labels"] = {names.LABEL_SERVER: "default"}
    shared = child("HorizontalPodAutoscaler", "deployment")
    shared["metadata"]["labels"] = {}
    found = find(look(database(), children=(gone, unowned, of_server, shared)))
    assert [(i.kind, i.why, i.todo) for i in found] == [
        (
            "Ingress",
            "made for seabreeze, but owned by nothing",
            "kubectl -n hoa-connect delete ingresses tenant-seabreeze-credentials",
        ),
        (
            "Secret",
            "made for seabreeze, which is gone",
            "kubectl -n hoa-connect delete secrets tenant-seabreeze-credentials",
        ),
    ]


def test_an_object_that_another_controller_holds() -> None:
    held = child("Ingress", "gone", deletionTimestamp="2026-11-23T12:00:00Z", finalizers=["a.example/b"])
    (orphan,) = find(look(database(), children=(held,)))
    assert "held by a.example/b" in orphan.why
    assert shlex.split(orphan.todo)[-1] == '{"metadata":{"finalizers":null}}'


def test_nothing_is_said_of_what_could_not_be_read() -> None:
    full: dict[str, Any] = {"roles": (role(),), "children": (child("Secret", "gone"),), "records": ()}
    assert lines(look(database(), **{**full, "tenants": None, "records": (record(),)})) == []
    unread = look(database(), **{**full, "records": None, "server_names": None})
    assert lines(unread) == []
    kept = record(state="Deleted", place={"deleted_at": NOW})
    assert lines(look(tenants={}, records=(kept,), servers=())) == []


# What is printed


def orphan(name: str = "a") -> Leftover:
    return Leftover("Secret", name, "hoa-connect", "its owner is gone", "kubectl delete", NOW, 3 * 2**20)


def test_the_list_is_one_line_each() -> None:
    assert as_text(look(), []) == "No orphans: everything was read, and everything has a living owner\n"
    head, first, second, last = as_text(look(), [orphan(), orphan("longer")]).splitlines()
    assert first.index("hoa-connect") == second.index("hoa-connect") == head.index("WHERE")
    assert "2026-11-23T12:00:00Z  3Mi" in first
    assert last == "2 found"


def test_none_is_never_said_of_what_could_not_be_read() -> None:
    blind = look(unread=("the registry: ServerUnreachable: x",))
    assert as_text(blind, []) == "0 found, but not everything could be read\n"
    said = json.loads(as_json(blind, [orphan()]))
    assert said["unread"] == ["the registry: ServerUnreachable: x"]
    assert said["orphans"][0] == {
        "kind": "Secret", "name": "a", "where": "hoa-connect", "since": "2026-11-23T12:00:00Z", "sizeBytes": 3 * 2**20,
        "why": "its owner is gone", "todo": "kubectl delete",
    }  # fmt: skip


def test_no_password_is_shown() -> None:
    found = look(database(), roles=(role(),), records=(), tenants={})
    assert "never shown" not in as_text(found, find(found)) + as_json(found, find(found)) + repr(found)


def test_the_command_knows_two_outputs() -> None:
    assert (parse([]), parse(["-o", "json"])) == ("text", "json")
    with pytest.raises(SystemExit) as wrong:
        parse(["-o", "yaml"])
    assert wrong.value.code == 2


@pytest.mark.parametrize("argv", [["frobnicate"], ["orphan"]])
def test_a_verb_that_nobody_knows_is_refused(
    argv: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["hoa_operator", *argv])
    assert main() == 2
    assert "python -m hoa_operator [orphans [-o json] | take-over CLUSTER]" in capsys.readouterr().err


def test_wrong_settings_are_no_orphans(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["hoa_operator", "orphans"])
    monkeypatch.delenv("HOA_NAMESPACE", raising=False)
    assert main() == 2
    assert "HOA_NAMESPACE: required" in capsys.readouterr().err

"""The pure half of the Postgres door: names, comments, wished-for settings, and errors turned into words."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hoa_operator.errors import OperatorError
from hoa_operator.postgres import (
    DatabaseIdentity,
    DatabaseSpec,
    ObservedDatabase,
    ObservedRole,
    ServerAddress,
    comments,
    database_name,
    desired,
    differences,
    names,
    role_name,
    tombstone_name,
)
from hoa_operator.postgres.failures import explain, explained

TENANT = UUID("12345678-1234-5678-1234-567812345678")
IDENTITY = DatabaseIdentity(TENANT, UUID(int=7), "here")
SPEC = DatabaseSpec(IDENTITY, connection_limit=10, statement_timeout_ms=30_000, app_password="a", migrator_password="m")


def test_names_are_the_contracts_and_fit() -> None:
    assert database_name(TENANT) == "hoa_connect_tenant_12345678123456781234567812345678"
    assert tombstone_name(TENANT) == "hoa_connect_deleted_12345678123456781234567812345678"
    assert role_name(TENANT, "migrator") == "hoa_connect_tenant_12345678123456781234567812345678_migrator"
    assert max(len(name) for name in (*names.role_names(TENANT).values(), tombstone_name(TENANT))) <= 63


@given(st.uuids())
def test_a_name_tells_its_tenant(tenant_id: UUID) -> None:
    assert names.tenant_id_of(database_name(tenant_id)) == tenant_id
    assert names.tenant_id_of(tombstone_name(tenant_id)) == tenant_id
    assert names.tenant_id_of(role_name(tenant_id, "app")) is None


@given(st.text(), st.text())
def test_lock_keys_fit_and_differ(one: str, other: str) -> None:
    assert -(2**63) <= names.lock_key("tenant", one) < 2**63
    assert (names.lock_key("tenant", one) == names.lock_key("tenant", other)) is (one == other)
    assert names.lock_key("tenant", one) != names.lock_key("template", one)


def test_comments_come_back_as_they_went() -> None:
    when = datetime(2031, 1, 2, tzinfo=UTC)
    text = comments.render(IDENTITY, extensions=("b", "a"), deleted_at=when)
    assert comments.identity(text) == IDENTITY
    assert comments.extensions(text) == ("a", "b")
    assert comments.deleted_at(text) == when


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "hello",
        "[]",
        "null",
        "7",
        "{}",
        '{"hoaconnect.com/tenant-id": 7}',
        '{"hoaconnect.com/tenant-id": "x"}',
    ],
)
def test_a_comment_of_another_kind_proves_nothing(text: str | None) -> None:
    assert comments.identity(text) is None
    assert comments.deleted_at(text) is None
    assert comments.extensions(text) == ()


@given(st.text())
def test_no_comment_breaks_the_reading(text: str) -> None:
    assert comments.identity(text) is None


def converged(spec: DatabaseSpec) -> ObservedDatabase:
    roles = {
        kind: ObservedRole(
            exists=True,
            identity=spec.identity,
            can_login=desired.can_login(spec, kind),
            connection_limit=desired.connection_limit(spec, kind),
            inherits=desired.inherits(kind),
            member_of=tuple(desired.memberships(spec, kind)),
            can_connect=kind in names.LOGINS,
            settings=desired.settings(spec, kind),
        )
        for kind in names.ROLE_KINDS
        if desired.is_wanted(spec, kind, ObservedRole(exists=False))
    }
    return ObservedDatabase(
        exists=True,
        system_identifier="1",
        name=spec.database,
        identity=spec.identity,
        allow_connections=True,
        roles=roles,
    )


def test_a_converged_database_differs_in_nothing() -> None:
    assert differences(SPEC, converged(SPEC)) == ()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"connection_limit": 3}, "attributes of role hoa_connect_tenant_12345678123456781234567812345678_app"),
        ({"statement_timeout_ms": 1}, "settings of role hoa_connect_tenant_12345678123456781234567812345678_app"),
        ({"suspended": True}, "attributes of role hoa_connect_tenant_12345678123456781234567812345678_app"),
        ({"extensions": ("citext",)}, "comment or extensions of database " + SPEC.database),
    ],
)
def test_each_wish_differs_in_one_thing(change: dict[str, object], words: str) -> None:
    assert differences(replace(SPEC, **change), converged(SPEC)) == (words,)  # type: ignore[arg-type]


def test_read_only_takes_the_right_to_write_and_says_so_to_each_session() -> None:
    app = "role hoa_connect_tenant_12345678123456781234567812345678_app"
    found = differences(replace(SPEC, read_only=True), converged(SPEC))
    assert found == (f"memberships of {app}", f"settings of {app}")


@pytest.mark.parametrize(
    ("gift", "words", "undo"),
    [
        ({"member_of": ("pg_monitor",)}, "memberships of role {app}", 'REVOKE "pg_monitor" FROM "{app}"'),
        ({"admin_of": ("g",)}, "memberships of role {app}", 'REVOKE ADMIN OPTION FOR "g" FROM "{app}"'),
        ({"trespasses": ("d",)}, "databases that let in role {app}: d", 'REVOKE ALL ON DATABASE "d" FROM "{app}"'),
    ],
)
def test_what_somebody_gave_a_role_is_seen_and_can_be_taken_back(
    gift: dict[str, object], words: str, undo: str
) -> None:
    app = names.role_name(SPEC.tenant_id, "app")
    spec, observed = replace(SPEC, read_only=True), converged(replace(SPEC, read_only=True))
    observed = replace(observed, roles={**observed.roles, "app": replace(observed.role("app"), **gift)})  # type: ignore[arg-type]
    assert differences(spec, observed) == (words.format(app=app),)
    assert [statement for _, _, statement in desired.excess(spec, observed)] == [undo.format(app=app)]


def test_nothing_there_differs_in_everything() -> None:
    found = differences(SPEC, ObservedDatabase(exists=False, system_identifier="1"))
    assert len(found) == 5
    assert all("is missing" in difference for difference in found)


def test_only_the_app_is_bound_by_the_tier() -> None:
    app = desired.settings(replace(SPEC, read_only=True), "app")
    assert app["statement_timeout"] == "30000"
    assert app["default_transaction_read_only"] == "on"
    assert "statement_timeout" not in desired.settings(SPEC, "migrator")
    assert desired.settings(SPEC, "owner") == {}


def test_what_the_login_may_not_set_is_no_difference() -> None:
    observed = converged(SPEC)
    app = observed.role("app")
    for found in ({}, {"app.current_tenant": "of another admin's time"}):
        settings = {name: value for name, value in app.settings.items() if name != "app.current_tenant"} | found
        roles = {**observed.roles, "app": replace(app, settings=settings)}
        assert differences(SPEC, replace(observed, roles=roles)) == (
            f"settings of role {names.role_names(TENANT)['app']}",
        )
        assert differences(SPEC, replace(observed, roles=roles, custom_settings_allowed=False)) == ()


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ('connection failed: FATAL:  password authentication failed for user "x"', "AdminLoginRefused"),
        ('connection failed: FATAL:  no pg_hba.conf entry for host "10.0.0.1"', "AdminLoginRefused"),
        ("connection failed: FATAL:  sorry, too many clients already", "TooManyConnections"),
        ("connection failed: FATAL:  remaining connection slots are reserved for roles", "TooManyConnections"),
        ("connection failed: FATAL:  the database system is starting up", "ServerRestarting"),
        ("connection failed: Connection refused", "ServerUnreachable"),
        ("[Errno -2] Name or service not known", "ServerNameUnknown"),
        ("connection failed: server does not support SSL, but SSL was required", "TlsFailed"),
        ("connection timeout expired", "ServerUnreachable"),
        ("something nobody has seen", "ServerUnreachable"),
    ],
)
def test_a_failed_connection_is_explained(words: str, reason: str) -> None:
    error = explain(psycopg.OperationalError(words), "db:5432")
    assert error.reason == reason
    assert "db:5432" in error.message
    assert ";" in error.message, "what to do comes after what is wrong"


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (psycopg.errors.DiskFull, "DiskFull"),
        (psycopg.errors.InsufficientPrivilege, "InsufficientPrivilege"),
        (psycopg.errors.LockNotAvailable, "Busy"),
        (psycopg.errors.AdminShutdown, "ServerRestarting"),
        (psycopg.errors.DeadlockDetected, "ConcurrentChange"),
        (psycopg.errors.QueryCanceled, "StatementTimeout"),
        (psycopg.errors.DependentObjectsStillExist, "ObjectsDependOnRole"),
        (psycopg.errors.OutOfMemory, "ServerShortOfResources"),
        (psycopg.errors.SyntaxError, "PostgresError42601"),
    ],
)
def test_a_refused_statement_is_explained(state: type[psycopg.Error], reason: str) -> None:
    error = explain(state("secret detail: PASSWORD 'SCRAM-SHA-256$4096:abc'"), "db:5432")
    assert error.reason == reason
    assert "SCRAM" not in error.message


@pytest.mark.parametrize(
    "raised", [TimeoutError(), OSError("no route"), psycopg.OperationalError("connection timeout expired")]
)
def test_a_server_behind_a_network_policy_is_told_as_one(raised: Exception) -> None:
    """A policy drops packets without a word, so whoever finds a server silent is pointed to it."""
    words = r"addresses are in the chart's networkPolicies\.postgresCIDRs"
    with pytest.raises(OperatorError, match=words), explained(ServerAddress("db"), "postgres"):
        raise raised


@pytest.mark.parametrize("raised", [TimeoutError(), OSError(111, "Connection refused"), psycopg.OperationalError("x")])
def test_nothing_but_operator_errors_comes_out(raised: Exception) -> None:
    with pytest.raises(OperatorError), explained(ServerAddress("db"), "postgres"):
        raise raised

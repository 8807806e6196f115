"""HOATenant parsed: defaults, and what only code can check."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hoa_operator.errors import UserError
from hoa_operator.target import check_hosts, passed_on
from hoa_operator.tenant import (
    Branding,
    Domain,
    Issuer,
    LimitOverrides,
    format_time,
    parse_disposal,
    parse_identity,
    parse_spec,
    parse_time,
)
from tests.unit.operator.samples import tenant_body


def test_defaults() -> None:
    spec = parse_spec(tenant_body())
    assert (spec.slug, spec.tier, spec.state, spec.policy, spec.placement) == (
        "seabreeze",
        "Auto",
        "Active",
        "Managed",
        "Shared",
    )
    assert (spec.time_zone, spec.region, spec.adoption) == ("America/New_York", None, "Never")
    assert (spec.domains, spec.limits, spec.branding) == ((), LimitOverrides(), Branding())


def test_everything_that_can_be_said() -> None:
    spec = parse_spec(
        tenant_body(
            slug="sea",
            domains=[
                {"host": "a.example", "tls": {"secretName": "s"}},
                {"host": "b.example", "tls": {"issuerRef": {"name": "i"}}},
            ],
            branding={"primaryColor": "#010203"},
            limits={"statementTimeout": "1m", "storage": "1Gi", "cpu": 2, "databaseConnections": 3},
            database={"extensions": ["pg_trgm", "citext"], "deletionPolicy": "Delete", "serverName": "x"},
        )
    )
    assert spec.domains == (Domain("a.example", "s"), Domain("b.example", None, Issuer("i", "ClusterIssuer")))
    assert spec.branding.to_json() == {"primaryColor": "#010203"}
    assert spec.limits == LimitOverrides(
        database_connections=3, statement_timeout_ms=60_000, storage_bytes=2**30, cpu_millicores=2000
    )
    assert spec.database.extensions == ("citext", "pg_trgm")
    assert spec.hosts("hoa.test") == ("sea.hoa.test", "a.example", "b.example")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"timeZone": "Mars/Olympus"}, "TimeZoneUnknown"),
        ({"timeZone": "../etc/passwd"}, "TimeZoneUnknown"),
        ({"limits": {"storage": "much"}}, "LimitInvalid"),
        ({"admin": {"name": "No Address"}}, "SpecInvalid"),
    ],
)
def test_what_only_code_can_check(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_spec(tenant_body(**change))
    assert caught.value.reason == reason


@pytest.mark.parametrize("host", ["hoa.test", "pinnacle.hoa.test", "a.b.hoa.test"])
def test_hosts_of_the_platform_are_not_given_away(host: str) -> None:
    spec = parse_spec(tenant_body(domains=[{"host": host}]))
    with pytest.raises(UserError, match="the platform's own domain"):
        check_hosts(spec, "hoa.test")


def test_the_own_host_may_be_named_again() -> None:
    spec = parse_spec(tenant_body(domains=[{"host": "seabreeze.hoa.test"}, {"host": "nothoa.test"}]))
    assert check_hosts(spec, "hoa.test") == ("seabreeze.hoa.test", "nothoa.test")


def test_identity() -> None:
    identity = parse_identity(tenant_body(finalizer=False, meta={"deletionTimestamp": "2026-11-23T12:00:00Z"}))
    assert (identity.deleting, identity.has_finalizer, identity.retry_requested) == (True, False, False)
    assert str(identity) == "hoa-connect/seabreeze"
    again = parse_identity(tenant_body(meta={"annotations": {"hoaconnect.com/retry": ""}}))
    assert again.retry_requested
    assert replace(identity, deleting=False) != identity


@given(st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)))  # noqa: DTZ001 - the zone is added below
def test_times_read_back(moment: datetime) -> None:
    whole = moment.replace(microsecond=0, tzinfo=UTC)
    assert parse_time(format_time(whole)) == whole


@pytest.mark.parametrize("hours", [-5, 0, 2, 14])
def test_times_are_written_in_utc(hours: int) -> None:
    moment = datetime(2026, 12, 1, 0, 30, tzinfo=timezone(timedelta(hours=hours)))
    assert format_time(moment) == format_time(moment.astimezone(UTC))
    assert parse_time(format_time(moment)) == moment
    assert format_time(datetime(1, 1, 1, tzinfo=UTC)) == "0001-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("database", "window"),
    [
        ({}, None),
        ({"deletionPolicy": "Retain", "undeleteWindow": "0s"}, None),
        ({"deletionPolicy": "Delete"}, timedelta(hours=168)),
        ({"deletionPolicy": "Delete", "undeleteWindow": "90m"}, timedelta(minutes=90)),
        ({"deletionPolicy": "Delete", "undeleteWindow": "0s"}, timedelta(0)),
        ({"deletionPolicy": "Delete", "undeleteWindow": "soon"}, None),
        ({"deletionPolicy": "delete", "undeleteWindow": "0s"}, None),
    ],
)
def test_data_is_kept_unless_it_is_surely_meant_to_go(database: dict[str, str], window: timedelta | None) -> None:
    disposal = parse_disposal(tenant_body(database=database))
    assert disposal.window == window
    assert disposal.at_once == (window == timedelta(0))


def test_a_host_is_passed_on_when_it_is_given_up_here_and_asked_for_there() -> None:
    base, own = "hoaconnect.test", "seabreeze.hoaconnect.test"
    asks = tenant_body("pinnacle", domains=[{"host": "b.example"}, {"host": "c.example"}])
    held = (own, "a.example", "b.example", "c.example")
    assert passed_on(held, (own, "c.example"), [tenant_body("other"), asks], base) == {"b.example"}
    assert passed_on(held, (own, "c.example"), [], base) == frozenset()
    assert passed_on(held, ("seabreeze.elsewhere.test",), [asks], base) == frozenset(), "the platform's domain changes"
    gone = {**asks, "metadata": {**asks["metadata"], "deletionTimestamp": "2026-11-23T12:00:00Z"}}
    assert passed_on(held, (own,), [gone], base) == frozenset()

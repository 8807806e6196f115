"""A leader that is stopped in the middle of something and wakes up late: its successor's work stays as it is.

SIGSTOP is what a frozen machine, a swapped-out process or a paused virtual machine does to the operator.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.cluster.operating import app_available, bring_up, is_ready, settled
from tests.cluster.platform import tenant
from tests.cluster.test_operator_deletion import REGISTRY
from tests.cluster.test_operator_lead import LEASE, holder, leads
from tests.cluster.wire import Wire
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cluster.platform import Operator, Platform

INGRESS = "tenant-seabreeze"
PORTAL = "portal.seabreeze.example"
#: What of Postgres the operator writes, and by which it can be told that somebody did.
WRITTEN = {
    REGISTRY: (
        "SELECT t::text FROM tenants t ORDER BY 1",
        "SELECT h::text FROM tenant_hosts h ORDER BY 1",
        "SELECT p::text FROM placements p ORDER BY 1",
        "SELECT e::text FROM operator_epoch e",
    ),
    "postgres": (
        "SELECT (oid, a)::text FROM pg_authid a WHERE rolname LIKE 'hoa_connect_tenant%' ORDER BY 1",
        "SELECT m::text FROM pg_auth_members m ORDER BY 1",
        "SELECT (oid, d)::text, shobj_description(oid, 'pg_database') FROM pg_database d ORDER BY 1",
    ),
}


def written(platform: Platform) -> list[Any]:
    """Return all that operators write in Postgres, and how often they wrote to the API, once nobody writes any more."""
    writes = settled(platform)
    found: list[Any] = []
    for dbname, queries in WRITTEN.items():
        with psycopg.connect(platform.postgres.dsn(dbname)) as connection:
            found += [connection.execute(query.encode()).fetchall() for query in queries]
    return [*found, writes]


def frozen_in(platform: Platform, operator: Operator, block: psycopg.Connection[Any]) -> None:
    """Wait until a session of the operator waits for what `block` holds, stop the operator, and let the session go on."""
    name = f"%/{operator.process.name}"
    waits = (
        "SELECT a.pid FROM pg_stat_activity a WHERE a.application_name LIKE %s AND a.wait_event_type = 'Lock'"
        " AND a.backend_xmin IS NOT NULL AND %s = ANY(pg_blocking_pids(a.pid))"
    )
    with psycopg.connect(platform.postgres.dsn(), autocommit=True) as look:
        (pid,) = until(
            lambda: look.execute(waits, [name, block.info.backend_pid]).fetchone(), "the operator to wait", 60
        )
        operator.pause()
        block.rollback()
        state = "SELECT state = 'idle in transaction' FROM pg_stat_activity WHERE pid = %s"
        until(lambda: look.execute(state, [pid]).fetchone() == (True,), "its transaction to be left open", 10)


@pytest.fixture
def first(own_platform: Platform) -> Iterator[Operator]:
    """An operator that leads, with the tenant seabreeze Ready."""
    app_available(own_platform.kubectl)
    operator = own_platform.operator("operator-0").start()
    bring_up(own_platform)
    settled(own_platform)
    yield operator
    operator.process.send(signal.SIGCONT)


@pytest.mark.parametrize(
    ("dbname", "lock"),
    [
        # With its number checked, in the transaction that claims hosts for the tenant.
        (REGISTRY, "LOCK TABLE tenant_hosts IN EXCLUSIVE MODE"),
        # Holding the tenant's advisory lock, in the transaction that makes its roles.
        ("postgres", "LOCK TABLE pg_authid IN SHARE MODE"),
    ],
)
def test_frozen_in_an_open_transaction(own_platform: Platform, first: Operator, dbname: str, lock: str) -> None:
    platform = own_platform
    with psycopg.connect(platform.postgres.dsn(dbname)) as block:
        block.execute(lock.encode())
        platform.kubectl.apply(tenant("pinnacle"))
        frozen_in(platform, first, block)
    second = platform.operator("operator-1").start()
    until(lambda: leads(second), "the standby to lead", 40)
    platform.kubectl.wait_for("hoatenant", "pinnacle", is_ready, 60)
    before, body = written(platform), platform.kubectl.get("hoatenant", "pinnacle")
    first.resume()
    assert first.process.wait(30) == 1
    assert written(platform) == before
    assert platform.kubectl.get("hoatenant", "pinnacle") == body
    assert holder(platform) == "operator-1"


@pytest.fixture
def wire(own_platform: Platform) -> Iterator[Wire]:
    """What the first operator reaches the API server by."""
    wire = Wire(own_platform.plane.port).start()
    yield wire
    wire.stop()


def test_frozen_while_a_write_is_on_its_way(own_platform: Platform, wire: Wire) -> None:
    platform = own_platform
    app_available(platform.kubectl)
    first = wire.operator(platform, "operator-0").start()
    bring_up(platform)
    settled(platform)
    applied = 'hoa_operator_api_writes_total{kind="Ingress",verb="apply"}'
    sent = first.metrics()[applied]
    wire.hold()
    platform.kubectl.apply(tenant("seabreeze", domains=[{"host": PORTAL}]))
    until(lambda: first.metrics()[applied] > sent, "the operator to send the Ingress", 10, 0.02)
    held = wire.held
    until(lambda: wire.held > held or "LeadUncertain" in first.log.read_text(), "it to be on its way", 10, 0.02)
    first.pause()
    second = platform.operator("operator-1").start()
    until(lambda: leads(second), "the standby to lead", 40)
    platform.kubectl.wait_for("ingress", INGRESS, lambda body: PORTAL in hosts(body), 30)
    platform.kubectl.apply(tenant("seabreeze"))
    platform.kubectl.wait_for("ingress", INGRESS, lambda body: PORTAL not in hosts(body), 30)
    before, ingress = written(platform), platform.kubectl.get("ingress", INGRESS)
    wire.release()
    until(lambda: late(platform), "the late write to arrive", 20)
    first.resume()
    assert first.process.wait(30) == 1
    assert late(platform) == [("patch", "409")]
    assert platform.kubectl.get("ingress", INGRESS) == ingress
    assert written(platform)[:-1] == before[:-1]
    assert [write for write in platform.operator_writes()[before[-1] :] if write["code"] != "409"] == []
    assert holder(platform) == "operator-1"
    assert platform.kubectl.get("lease", LEASE)["spec"]["leaseTransitions"] == 1


def hosts(ingress: dict[str, Any]) -> list[str]:
    """Return the hosts of an Ingress."""
    return [rule["host"] for rule in ingress["spec"]["rules"]]


def late(platform: Platform) -> list[tuple[str, str]]:
    """Return verb and answer of the writes to the Ingress that were refused."""
    writes = [write for write in platform.operator_writes() if write["resource"] == "ingresses"]
    return [(write["verb"], write["code"]) for write in writes if write["code"] == "409"]

"""The API server falls silent, goes away or comes back with its etcd: the leader pauses, goes on, and repairs nothing twice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.cluster.operating import app_available, bring_up, is_ready, settled
from tests.cluster.platform import tenant
from tests.cluster.test_operator_lead import LEASE, holder, leads
from tests.cluster.wire import Wire
from tests.programs import REPOSITORY
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cluster.fix_earlier import Site
    from tests.cluster.platform import Operator, Platform
    from tests.fix_postgres import PostgresServer


@pytest.fixture
def wire(own_platform: Platform) -> Iterator[Wire]:
    """What operators reach the API server by."""
    wire = Wire(own_platform.plane.port).start()
    yield wire
    wire.stop()


def term(platform: Platform) -> tuple[str, int]:
    """Return who leads, and in which term."""
    return holder(platform), platform.kubectl.get("lease", LEASE)["spec"]["leaseTransitions"]


def renamed(platform: Platform, name: str, seconds: float) -> None:
    """Change the tenant and wait until the operator has carried it out."""
    platform.kubectl.apply(tenant("seabreeze", displayName=name))
    platform.kubectl.wait_for("hoatenant", "seabreeze", is_ready, seconds)


def doubts(operator: Operator) -> int:
    """Return how often it failed to renew its lease while it was not sure any more that it led; it tries twice a second."""
    return operator.log.read_text().count('"sure": false')


def test_half_open_connections_cost_neither_the_lead_nor_a_change(own_platform: Platform, wire: Wire) -> None:
    platform = own_platform
    app_available(platform.kubectl)
    operator = wire.operator(platform, "operator-0").start()
    bring_up(platform)
    settled(platform)
    before = term(platform)
    wire.go_silent()
    # kopf gives a stream up that has said nothing for 70 s, not even a bookmark.
    renamed(platform, "Silent Management", 100)
    assert leads(operator)
    assert term(platform) == before


def test_while_the_api_server_is_away_the_leader_pauses_and_then_goes_on(own_platform: Platform, wire: Wire) -> None:
    platform = own_platform
    app_available(platform.kubectl)
    operator = wire.operator(platform, "operator-0").start()
    standby = wire.operator(platform, "operator-1").start()
    bring_up(platform)
    before, writes = term(platform), settled(platform)
    wire.cut()
    # Longer than a renewal holds: 6 s sure, and 4 s more.
    until(lambda: doubts(operator) >= 8, "the leader to doubt that it leads", 30)
    assert operator.answers("livez")
    wire.mend()
    renamed(platform, "Away Management", 60)
    assert term(platform) == before
    assert leads(operator)
    assert standby.answers("readyz")
    assert not leads(standby)
    assert [write["resource"] for write in platform.operator_writes()[writes:]] == ["hoatenants/status"]


def test_a_restart_of_the_api_server_and_of_etcd_changes_nothing(site: Site, own_postgres: PostgresServer) -> None:
    platform = site.install("restarts", own_postgres.access, REPOSITORY)
    app_available(platform.kubectl)
    operators = [platform.operator(f"operator-{number}").start() for number in (0, 1)]
    bring_up(platform)
    settled(platform)
    children = uids(platform)
    for name in ("kube-apiserver", "etcd"):
        site.plane.restart(name)
        until(lambda: any(leads(operator) for operator in operators if operator.process.running), "someone to lead", 30)
        renamed(platform, f"After {name}", 60)
    assert uids(platform) == children
    for operator in operators:
        assert "Traceback" not in operator.log.read_text()


def uids(platform: Platform) -> list[Any]:
    """Return the identity of every child."""
    kinds = ("secret", "ingress")
    found = (item for kind in kinds for item in platform.kubectl.list(kind, "-l", "hoaconnect.com/tenant=seabreeze"))
    return [(item["kind"], item["metadata"]["name"], item["metadata"]["uid"]) for item in found]

"""One operator at a time: standby, takeover, a frozen leader that wakes up late, and a graceful end."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tests.cluster.operating import app_available, bring_up, eventually, is_ready, settled
from tests.cluster.platform import tenant

if TYPE_CHECKING:
    from tests.cluster.platform import Operator, Platform

LEASE = "hoa-connect-operator"


def holder(platform: Platform) -> str:
    """Return who holds the lease."""
    found = platform.kubectl.find("lease", LEASE)
    return str(found["spec"].get("holderIdentity", "")) if found else ""


def leads(operator: Operator) -> bool:
    """Whether an operator says that it leads."""
    return operator.metrics().get("hoa_operator_leader") == 1.0


def test_a_standby_is_ready_but_idle_and_takes_over_when_the_leader_stops(own_platform: Platform) -> None:
    platform = own_platform
    app_available(platform.kubectl)
    first = platform.operator("operator-0").start()
    eventually(lambda: first.answers("readyz") and leads(first))
    second = platform.operator("operator-1").start()
    eventually(lambda: second.answers("readyz"))
    bring_up(platform)
    assert not leads(second)
    assert holder(platform) == "operator-0"
    began = time.monotonic()
    assert first.stop() == 0
    eventually(lambda: leads(second), 10)
    assert time.monotonic() - began < 10
    bring_up(platform, "pinnacle")
    assert holder(platform) == "operator-1"


def test_a_leader_that_was_frozen_finds_out_before_it_writes(own_platform: Platform) -> None:
    platform = own_platform
    app_available(platform.kubectl)
    first = platform.operator("operator-0").start()
    bring_up(platform)
    settled(platform)
    first.pause()
    second = platform.operator("operator-1").start()
    eventually(lambda: leads(second), 40)
    platform.kubectl.apply(tenant("pinnacle"))
    platform.kubectl.wait_for("hoatenant", "pinnacle", is_ready, 60)
    before = settled(platform)
    first.resume()
    assert first.process.wait(30) == 1
    assert settled(platform) == before
    assert holder(platform) == "operator-1"


def test_a_graceful_end_releases_the_lease(own_platform: Platform) -> None:
    platform = own_platform
    operator = platform.operator().start()
    eventually(lambda: operator.answers("readyz") and leads(operator))
    assert operator.stop() == 0
    assert holder(platform) == ""
    assert "Traceback" not in operator.log.read_text()

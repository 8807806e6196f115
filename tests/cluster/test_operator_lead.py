"""One operator at a time: standby, takeover from a leader that ends, dies or is frozen, and how long that takes."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from functools import partial
from typing import TYPE_CHECKING

import psycopg
import pytest

from tests.cluster.operating import app_available, bring_up, eventually, is_ready, settled
from tests.cluster.platform import tenant
from tests.cluster.test_operator_deletion import REGISTRY
from tests.figures import record
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cluster.platform import Operator, Platform

LEASE = "hoa-connect-operator"
FAILOVER_SECONDS = 15.0


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


@pytest.mark.figures
def test_a_killed_leader_is_followed_within_15_seconds_on_a_loaded_machine(own_platform: Platform) -> None:
    platform = own_platform
    app_available(platform.kubectl)
    leader = platform.operator("operator-0").start()
    bring_up(platform)
    took = []
    for number in (1, 2):
        standby = platform.operator(f"operator-{number}").start()
        standby.process.wait_until(partial(standby.answers, "readyz"))
        settled(platform)
        with busy():
            took.append(failover(platform, leader, standby, f"Seabreeze {number}"))
        leader = standby
    leading, done = (max(seconds) for seconds in zip(*took, strict=True))
    record("failover after SIGKILL, until the successor leads", leading, FAILOVER_SECONDS, "s")
    record("failover after SIGKILL, until a waiting change is carried out", done, FAILOVER_SECONDS, "s")
    assert max(leading, done) < FAILOVER_SECONDS


def failover(platform: Platform, leader: Operator, standby: Operator, name: str) -> tuple[float, float]:
    """Kill the leader right after it renewed its lease, change a tenant's name, and let its successor see to that.

    Return the seconds until the successor leads, and until the app is told the new name.
    """
    renewed = renewal(platform)
    until(lambda: renewal(platform) != renewed, "the leader to renew its lease", 10, 0.02)
    leader.kill()
    began = time.monotonic()
    platform.kubectl.patch("hoatenant", "seabreeze", {"spec": {"displayName": name}})
    until(lambda: leads(standby), "the standby to lead", 30, 0.05)
    leading = time.monotonic() - began
    platform.kubectl.wait_for("hoatenant", "seabreeze", is_ready, 30)
    assert [row[0] for row in rows(platform)] == [name]
    return leading, time.monotonic() - began


def renewal(platform: Platform) -> str:
    """Return when the lease was renewed last, as its holder wrote it."""
    return str(platform.kubectl.get("lease", LEASE)["spec"]["renewTime"])


def rows(platform: Platform) -> list[tuple[str]]:
    """Return the names that the app shows."""
    with psycopg.connect(platform.postgres.dsn(REGISTRY)) as connection:
        return connection.execute("SELECT display_name FROM tenants ORDER BY name").fetchall()


@contextlib.contextmanager
def busy() -> Iterator[None]:
    """Keep every processor of the machine busy twice over."""
    spin = [sys.executable, "-c", "while True: pass"]
    spinning = [subprocess.Popen(spin) for _ in range(2 * (os.cpu_count() or 1))]
    try:
        yield
    finally:
        for process in spinning:
            process.kill()
            process.wait()


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

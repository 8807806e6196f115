"""An operator that is started over many tenants that are as they should be: it looks at all of them and writes nothing.

`HOA_FLEET` says how many; `make figures` asks for 500.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.cluster.api import Api
from tests.cluster.operating import app_available, condition, is_ready, settled
from tests.cluster.platform import tenant
from tests.cluster.statements import Statements
from tests.figures import record
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cluster.platform import Operator, Platform
    from tests.fix_postgres import PostgresServer

COUNT = int(os.environ.get("HOA_FLEET", "40"))
MEBIBYTE = 1024 * 1024
#: What the chart gives an operator pod, and how long after its start it may not know yet what to repair.
MEMORY_MEBIBYTES, CAUGHT_UP_SECONDS = 256, 60


def tenants(platform: Platform) -> Callable[[], list[dict[str, Any]]]:
    """Return what lists the tenants without the cost of starting kubectl."""
    plane = platform.plane
    api = Api(plane.port, plane.authority.certificate, plane.admin_token, "fleet")
    path = f"/apis/hoaconnect.com/v1alpha1/namespaces/{platform.namespace}/hoatenants"

    def found() -> list[dict[str, Any]]:
        try:
            items: list[dict[str, Any]] = api.call("GET", path)["items"]
            return items
        finally:
            api.close()

    return found


def onboarded(platform: Platform) -> float:
    """Have all tenants made by an operator; return the seconds until the last is Ready."""
    kubectl = platform.kubectl
    app_available(kubectl)
    operator = platform.operator(
        "operator-0", HOA_JOB_CONCURRENCY="24", HOA_PROVISIONING_DEADLINE_SECONDS="1800"
    ).start()
    # From then on tenants are cloned.
    kubectl.wait_for("hoads", "default", lambda body: condition(body, "TemplateReady")["status"] == "True", 90)
    began, listed = time.monotonic(), tenants(platform)
    kubectl.apply(*(tenant(f"fleet-{number:03}") for number in range(COUNT)))

    def unready() -> list[str]:
        return [body["metadata"]["name"] for body in listed() if "status" not in body or not is_ready(body)]

    until(lambda: unready() == [], lambda: f"tenants that are not Ready: {unready()[:10]}", 120 + 2 * COUNT, 0.5)
    took = time.monotonic() - began
    settled(platform, quiet=4, timeout=120)
    assert operator.stop() == 0
    return took


def looks(operator: Operator) -> float:
    """Return how many looks at tenants it finished, whatever came of them."""
    names = (f'hoa_operator_reconciles_total{{kind="tenant",result="{result}"}}' for result in ("ok", "error"))
    known = operator.metrics()
    return sum(known.get(name, 0.0) for name in names)


@pytest.mark.figures
def test_a_restart_over_many_ready_tenants_writes_nothing(own_platform: Platform, own_postgres: PostgresServer) -> None:
    platform = own_platform
    statements = Statements.of(own_postgres)
    note = f"{COUNT} of them, {os.cpu_count()} processors for all"
    record("tenants made Ready by one operator", onboarded(platform), None, "s", note=note)
    mark, writes, began = statements.mark(), len(platform.operator_writes()), time.monotonic()
    operator = platform.operator("operator-1").start()
    until(lambda: looks(operator) >= COUNT, lambda: f"all to be looked at, of {COUNT}: {looks(operator)}", 120)
    caught_up = time.monotonic() - began
    settled(platform)
    known = operator.metrics()
    memory = known["process_resident_memory_bytes"] / MEBIBYTE
    written = platform.operator_writes()[writes:]
    told = statements.written(mark, "/operator-1")
    # The one write of a start is the registry's lease.
    epoch = [text for text in told if text.startswith("UPDATE operator_epoch")]
    note = f"with {COUNT} Ready tenants"
    record("API writes of a restart", len(written), 0, note=note)
    record("Postgres writes of a restart, its epoch left out", len(told) - len(epoch), 0, note=note)
    record("restart until every tenant was looked at", caught_up, CAUGHT_UP_SECONDS, "s", note=note)
    record("memory of the operator after a restart", memory, MEMORY_MEBIBYTES, "MiB", note=note)
    assert known.get('hoa_operator_reconciles_total{kind="tenant",result="error"}', 0.0) == 0
    assert written == []
    assert told == epoch
    assert len(epoch) == 1
    assert caught_up < CAUGHT_UP_SECONDS
    assert memory < MEMORY_MEBIBYTES

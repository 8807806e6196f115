"""What Prometheus reads of the operator: tenants by name, and only what is wrong with them."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client import generate_latest

from hoa_operator.cache import Cache
from hoa_operator.kinds import SERVER, TENANT
from hoa_operator.metrics import Metrics
from hoa_operator.watch import WatchHealth
from hoa_operator.workqueue import Limits, WorkQueue
from tests.unit.operator.samples import UID, server_body


async def idle(key: str) -> None:
    """Reconcile nothing."""


def scraped(*tenants: dict[str, Any], server: dict[str, Any] | None = None) -> list[str]:
    cache = Cache()
    if server is not None:
        cache.observe(SERVER, {**server_body(), "status": server})
    for number, status in enumerate(tenants):
        meta = {"name": f"tenant-{number}", "uid": f"uid-{number}", "resourceVersion": "1"}
        cache.observe(TENANT, {"kind": "HOATenant", "metadata": meta, "status": status})
    metrics = Metrics()
    queue = WorkQueue(idle, lambda key: "lane", Limits(1, 1))
    metrics.watch_state(cache, queue, WatchHealth(100.0), lambda: 130.0)
    return generate_latest(metrics.registry).decode().splitlines()


def test_what_is_put_back_is_counted_by_whose_it_is() -> None:
    metrics = Metrics()
    for owner in ("seabreeze", "seabreeze", "hoa-connect-app"):
        metrics.repaired(owner)
    lines = generate_latest(metrics.registry).decode().splitlines()
    assert 'hoa_operator_repairs_total{owner="seabreeze"} 2.0' in lines
    assert 'hoa_operator_repairs_total{owner="hoa-connect-app"} 1.0' in lines


def test_of_an_owner_that_is_gone_nothing_is_told() -> None:
    metrics = Metrics()
    metrics.repaired("seabreeze")
    metrics.repaired("harbor")
    for owner in ("seabreeze", "never-repaired"):
        metrics.forget(owner)
    told = [line for line in generate_latest(metrics.registry).decode().splitlines() if "repairs_total{" in line]
    assert told == ['hoa_operator_repairs_total{owner="harbor"} 1.0']


def condition(kind: str, status: str, reason: str) -> dict[str, str]:
    return {"type": kind, "status": status, "reason": reason}


def test_a_tenant_that_is_well_is_named_and_nothing_more() -> None:
    well = [condition("Ready", "True", "Serving"), condition("Stalled", "False", "Progressing")]
    lines = scraped({"phase": "Ready", "tier": "small", "tenantID": UID, "conditions": well})
    expected = f'hoa_operator_tenant_info{{phase="Ready",tenant="tenant-0",tenant_id="{UID}",tier="small"}} 1.0'
    assert expected in lines
    assert [line for line in lines if line.startswith("hoa_operator_tenant_unmet{")] == []


@pytest.mark.parametrize(
    ("kind", "status", "reason"),
    [
        ("Ready", "False", "DatabaseUnreachable"),
        ("DatabaseReady", "Unknown", "NotYetKnown"),
        ("Stalled", "True", "SlugTaken"),
        ("InSync", "False", "Differs"),
    ],
)
def test_what_is_wrong_has_a_series_that_says_with_whom_and_why(kind: str, status: str, reason: str) -> None:
    broken = {"phase": "Degraded", "conditions": [condition(kind, status, reason)]}
    lines = [line for line in scraped({}, broken) if line.startswith("hoa_operator_tenant_unmet{")]
    labels = f'condition="{kind}",phase="Degraded",reason="{reason}",tenant="tenant-1"'
    assert lines == [f"hoa_operator_tenant_unmet{{{labels}}} 1.0"]


def test_a_tenant_nobody_has_looked_at_yet_is_pending() -> None:
    assert 'hoa_operator_tenant_info{phase="Pending",tenant="tenant-0",tenant_id="",tier=""} 1.0' in scraped({})


def test_a_silent_watch_is_counted_in_seconds() -> None:
    assert 'hoa_operator_watch_silence_seconds{kind="HOATenant"} 30.0' in scraped()


def test_storage_is_told_by_what_takes_it() -> None:
    told = {"used": "3Mi", "database": "2Mi", "files": "1Mi", "limit": "10Mi", "percent": 30}
    lines = scraped({"phase": "Ready", "storage": told}, {"phase": "Pending"}, {"phase": "Ready", "storage": "3Mi"})
    assert [line for line in lines if line.startswith("hoa_operator_tenant_storage")] == [
        'hoa_operator_tenant_storage_bytes{part="database",tenant="tenant-0"} 2.097152e+06',
        'hoa_operator_tenant_storage_bytes{part="files",tenant="tenant-0"} 1.048576e+06',
        'hoa_operator_tenant_storage_limit_bytes{tenant="tenant-0"} 1.048576e+07',
    ]


@pytest.mark.parametrize(("kept", "problems"), [((), 0), (({"name": "a"}, {"name": "b", "problem": "x"}), 1)])
def test_what_is_kept_of_deleted_tenants_is_counted(kept: tuple[dict[str, str], ...], problems: int) -> None:
    lines = scraped(server={"retained": len(kept), "retainedDatabases": list(kept)} if kept else {})
    assert f'hoa_operator_retained_databases{{server="default"}} {len(kept)}.0' in lines
    assert f'hoa_operator_retained_problems{{server="default"}} {problems}.0' in lines

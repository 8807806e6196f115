"""What both programs really write out is what the reference and the rules go by, in a form Prometheus takes."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from hack.reference import metrics as reference
from hoa_app.metrics import Metrics as AppMetrics
from hoa_operator.cache import Cache
from hoa_operator.kinds import SERVER, TENANT
from hoa_operator.metrics import Metrics as OperatorMetrics
from hoa_operator.watch import WatchHealth
from hoa_operator.workqueue import Limits, WorkQueue

if TYPE_CHECKING:
    from collections.abc import Callable


async def idle(key: str) -> None:
    """Reconcile nothing."""


def of_operator() -> bytes:
    cache = Cache()
    metadata = {"name": "a", "uid": "u", "resourceVersion": "1"}
    conditions = [{"type": "Ready", "status": "False", "reason": "Away"}]
    status = {"conditions": conditions, "storage": {"database": "1Mi", "files": "1Mi", "limit": "1Gi"}}
    for kind in (TENANT, SERVER):
        cache.observe(kind, {"kind": kind.kind, "metadata": metadata, "status": status})
    metrics = OperatorMetrics()
    metrics.watch_state(cache, WorkQueue(idle, str, Limits(1, 1)), WatchHealth(0.0), lambda: 1.0)
    metrics.request("apply", "Ingress")
    metrics.request("list", "Ingress")
    metrics.repaired("a")
    metrics.reconciles.labels("tenant", "ok").inc()
    metrics.duration.labels("tenant").observe(0.1)
    return generate_latest(metrics.registry)


def of_app() -> bytes:
    metrics = AppMetrics()
    metrics.observe_request("GET", "/", 200, "t", 0.1)
    metrics.active_users.saw("t", "u")
    for counter in (metrics.rate_limited, metrics.isolation_refusals, metrics.pool_errors, metrics.sign_ins):
        counter.labels("a", "b").inc()
    metrics.outbox_done.labels("t", "mail", "done").inc()
    metrics.pool_events.labels("opened").inc()
    metrics.breaker_open.labels("mail").set(1)
    for gauge in (metrics.outbox_queued, metrics.outbox_dead, metrics.outbox_lag):
        gauge.labels("t").set(1)
    return generate_latest(metrics.registry)


PROGRAMS = {"operator": (of_operator, reference.of_operator), "app": (of_app, reference.of_app)}


@pytest.mark.parametrize(("write", "told"), PROGRAMS.values(), ids=PROGRAMS)
def test_each_series_has_the_name_and_labels_that_are_told(
    write: Callable[[], bytes], told: Callable[[], list[reference.Family]]
) -> None:
    found = {
        sample.name: set(sample.labels) - {"le"}
        for family in text_string_to_metric_families(write().decode())
        for sample in family.samples
    }
    assert found == {name: set(family.labels) for family in told() for name in family.series}


@pytest.mark.parametrize("write", [of_operator, of_app], ids=PROGRAMS)
def test_promtool_finds_nothing_to_say(write: Callable[[], bytes]) -> None:
    done = subprocess.run(["promtool", "check", "metrics"], input=write(), capture_output=True, check=False)
    assert (done.returncode, done.stdout.decode(), done.stderr.decode()) == (0, "", "")

"""Every setting that a program reads has a value in the chart, and the chart sets nothing that no program reads."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from hoa_app.settings import Settings as AppSettings
from hoa_operator.keyring import Pace
from hoa_operator.settings import Settings as OperatorSettings
from tests.chart.conftest import COMBINATIONS, DOMAIN
from tests.chart.pods import environment
from tests.cluster.helm import Helm, one

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.chart.conftest import Rendered

OPERATOR, APP, WORKER = "hoa-connect-operator", "hoa-connect-app", "hoa-connect-worker"
READERS: dict[str, Callable[[Mapping[str, str]], object]] = {
    OPERATOR: OperatorSettings.from_env,
    APP: AppSettings.from_env,
    WORKER: AppSettings.from_env,
}
#: Read, but not for the chart to set: the operator gives it to the pods of a tenant with capacity of its own.
SET_BY_THE_OPERATOR = {"HOA_ONLY_TENANT"}


class Read(dict[str, str]):
    """An environment that remembers which of its names were asked for."""

    def __init__(self, known: Mapping[str, str]) -> None:
        super().__init__(known)
        self.asked: set[str] = set()

    def get(self, key: str, default: Any = None) -> Any:
        self.asked.add(key)
        return super().get(key, default)


def set_and_read(combinations: dict[str, Rendered], deployments: tuple[str, ...]) -> tuple[set[str], set[str]]:
    """Return the names that some choice of values sets, and those that the programs ask for."""
    given: set[str] = set()
    asked: set[str] = set()
    for name in COMBINATIONS:
        for deployment in deployments:
            read = Read(environment(combinations[name], deployment))
            READERS[deployment](read)
            given |= set(read)
            asked |= read.asked
    return {name for name in given if name.startswith("HOA_")}, asked


@pytest.mark.parametrize("deployments", [(OPERATOR,), (APP, WORKER)], ids=["operator", "app and worker"])
def test_the_chart_sets_what_the_programs_read_and_nothing_else(
    combinations: dict[str, Rendered], deployments: tuple[str, ...]
) -> None:
    given, asked = set_and_read(combinations, deployments)
    assert len(asked) > 20
    assert given == asked - SET_BY_THE_OPERATOR


CHANGED: dict[str, Any] = {
    "bindAddress": "::",
    "ingress": {
        **DOMAIN["ingress"],
        "certificates": {"perHour": 7},
        "externalDNS": {"enabled": True, "target": "lb.hoa.example"},
    },
    "operator": {
        "jobConcurrency": 3,
        "jobTtlSeconds": 60,
        "credentialsOverlapSeconds": 150,
        "clusterNamespace": "hoa-connect",
    },
    "sealing": {"rotationInterval": "8760h", "propagationSeconds": 90},
    "app": {"pool": {"maxTotal": 50, "tenantShare": 0.25}, "maxBodyBytes": 104857600, "shutdownSeconds": 40},
    "worker": {"sweepSeconds": 7, "shutdownSeconds": 90, "concurrency": 4},
    "mail": {"smtpUrl": "smtp://mail.example", "timeoutSeconds": 5},
}


def test_values_reach_the_programs(renderer: Helm) -> None:
    objects = renderer.render({**DOMAIN, **CHANGED})
    operator = OperatorSettings.from_env(environment(objects, OPERATOR))
    app, worker = (AppSettings.from_env(environment(objects, name)) for name in (APP, WORKER))
    assert (operator.bind_address, operator.timing.job_concurrency, operator.timing.job_ttl) == ("::", 3, 60)
    assert operator.timing.credentials_overlap == 150
    assert operator.cluster_namespace == "hoa-connect"
    assert not [item for item in objects if item["metadata"]["name"] == "hoa-connect-hoa-connect-operator"]
    assert operator.sealing.secret == "hoa-connect-sealing-keys"
    assert operator.sealing.pace == Pace(timedelta(days=365), timedelta(seconds=90))
    assert operator.route.certificates_per_hour == 7
    assert operator.route.external_dns is not None
    assert operator.route.external_dns.target == "lb.hoa.example"
    assert (app.host, app.pool_max_total, app.pool_tenant_share) == ("::", 50, 0.25)
    assert (app.max_body_bytes, app.shutdown_seconds, app.mail.timeout_seconds) == (104857600, 40, 5.0)
    assert (worker.host, worker.worker_concurrency) == ("::", 4)
    assert (worker.worker_sweep_seconds, worker.shutdown_seconds) == (7.0, 90)


def test_sealing_keys_of_somebody_else_are_left_alone(combinations: dict[str, Rendered]) -> None:
    assert "HOA_SEALING_SECRET" not in environment(combinations["external everything"], OPERATOR)


@pytest.mark.parametrize("deployment", [APP, WORKER])
def test_a_pod_is_given_more_time_than_its_program_takes(renderer: Helm, deployment: str) -> None:
    for values in (DOMAIN, {**DOMAIN, **CHANGED}):
        objects = renderer.render(values)
        pod = one(objects, "Deployment", deployment)["spec"]["template"]["spec"]
        takes = AppSettings.from_env(environment(objects, deployment)).shutdown_seconds
        paused = pod["containers"][0].get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        assert pod["terminationGracePeriodSeconds"] >= paused + takes + 10

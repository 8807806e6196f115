"""What the operator tells Prometheus about itself and its tenants."""

from __future__ import annotations

from collections import Counter as Tally
from typing import TYPE_CHECKING, Any, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from hoa_operator.kinds import LEASE, SERVER, TENANT, name_of
from hoa_operator.steps import STALLED
from hoa_operator.storage import from_status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from hoa_operator.cache import Cache
    from hoa_operator.watch import WatchHealth
    from hoa_operator.workqueue import WorkQueue

_WRITES: Final = frozenset({"apply", "create", "patch", "delete"})


class Metrics:
    """Counters that code moves; what can be read off the state is collected when asked for."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self.reconciles = Counter(
            "hoa_operator_reconciles", "Reconciles by kind and result.", ["kind", "result"], registry=self.registry
        )
        self.duration = Histogram(
            "hoa_operator_reconcile_duration_seconds",
            "Duration of reconciles.",
            ["kind"],
            buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120),
            registry=self.registry,
        )
        self._writes = Counter(
            "hoa_operator_api_writes", "Writes to the Kubernetes API.", ["verb", "kind"], registry=self.registry
        )
        self._reads = Counter(
            "hoa_operator_api_reads", "Reads from the Kubernetes API, watches left out.", ["verb", "kind"],
            registry=self.registry,
        )  # fmt: skip
        self._repairs = Counter(
            "hoa_operator_repairs",
            "Looks at which the operator put back what somebody had changed, by the HOATenant or Deployment it belongs to.",
            ["owner"],
            registry=self.registry,
        )
        self.unopened = Gauge(
            "hoa_operator_sealed_rows_unreadable",
            "Rows of the registry that no sealing key opens, as far as a rotation of the keys has found; it waits for them.",
            registry=self.registry,
        )
        self.leader = Gauge("hoa_operator_leader", "Whether this instance leads.", registry=self.registry)

    def request(self, verb: str, kind: str) -> None:
        """Count a request to the API; the lease's renewals are not work and not counted."""
        if kind == LEASE.kind:
            return
        (self._writes if verb in _WRITES else self._reads).labels(verb, kind).inc()

    def repaired(self, owner: str) -> None:
        """Count a look that put something back; `owner` names the HOATenant, or the shared app's Deployment."""
        self._repairs.labels(owner).inc()

    def forget(self, owner: str) -> None:
        """Let go of the counts of an owner that is gone."""
        self._repairs.remove(owner)

    def watch_state(self, cache: Cache, queue: WorkQueue[Any], health: WatchHealth, clock: Callable[[], float]) -> None:
        """Collect the state of cache, queue and watches from now on."""
        self.registry.register(_State(cache, queue, health, clock))


class _State(Collector):
    def __init__(self, cache: Cache, queue: WorkQueue[Any], health: WatchHealth, clock: Callable[[], float]) -> None:
        self._cache = cache
        self._queue = queue
        self._health = health
        self._clock = clock

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Read the state."""
        depth = GaugeMetricFamily("hoa_operator_queue_depth", "Keys that wait for a worker.")
        depth.add_metric([], self._queue.depth)
        yield depth
        running = GaugeMetricFamily("hoa_operator_reconciles_running", "Reconciles at work.")
        running.add_metric([], self._queue.running)
        yield running
        silent = GaugeMetricFamily(
            "hoa_operator_watch_silence_seconds", "Seconds since a watch was last known to be alive.", labels=["kind"]
        )
        for kind, seconds in self._health.silence(self._clock()).items():
            silent.add_metric([kind], seconds)
        yield silent
        yield from self._tenants()
        yield from self._each_tenant()
        yield from self._storage()
        yield self._servers()
        yield from self._retained()

    def _tenants(self) -> Iterable[GaugeMetricFamily]:
        phases: Tally[str] = Tally()
        conditions: Tally[tuple[str, str]] = Tally()
        for body in self._cache.all(TENANT):
            status = body.get("status") or {}
            phases[status.get("phase") or "Pending"] += 1
            for condition in status.get("conditions") or ():
                conditions[(condition["type"], condition["status"])] += 1
        by_phase = GaugeMetricFamily("hoa_operator_tenants", "Tenants by phase.", labels=["phase"])
        for phase, count in sorted(phases.items()):
            by_phase.add_metric([phase], count)
        yield by_phase
        by_condition = GaugeMetricFamily(
            "hoa_operator_tenant_conditions", "Tenants by condition and its status.", labels=["condition", "status"]
        )
        for (name, state), count in sorted(conditions.items()):
            by_condition.add_metric([name, state], count)
        yield by_condition

    def _each_tenant(self) -> Iterable[GaugeMetricFamily]:
        """Who is who, and what is wrong with whom: what is well has no series, so that 500 tenants stay cheap."""
        info = GaugeMetricFamily(
            "hoa_operator_tenant_info", "Always 1: a tenant's names.", labels=["tenant", "tenant_id", "tier", "phase"]
        )
        unmet = GaugeMetricFamily(
            "hoa_operator_tenant_unmet",
            "1 for each condition of a tenant that is not as it should be.",
            labels=["tenant", "phase", "condition", "reason"],
        )
        for body in self._cache.all(TENANT):
            name, status = name_of(body), body.get("status") or {}
            phase = status.get("phase") or "Pending"
            info.add_metric([name, status.get("tenantID") or "", status.get("tier") or "", phase], 1)
            for condition in status.get("conditions") or ():
                if condition["status"] != ("False" if condition["type"] == STALLED else "True"):
                    unmet.add_metric([name, phase, condition["type"], condition["reason"]], 1)
        yield info
        yield unmet

    def _storage(self) -> Iterable[GaugeMetricFamily]:
        used = GaugeMetricFamily(
            "hoa_operator_tenant_storage_bytes",
            "Bytes a tenant takes, by what takes them: database or files.",
            labels=["tenant", "part"],
        )
        limit = GaugeMetricFamily(
            "hoa_operator_tenant_storage_limit_bytes", "Bytes a tenant may take in all.", labels=["tenant"]
        )
        for body in self._cache.all(TENANT):
            told = from_status((body.get("status") or {}).get("storage"))
            if told is not None:
                used.add_metric([name_of(body), "database"], told.database)
                used.add_metric([name_of(body), "files"], told.files)
                limit.add_metric([name_of(body)], told.limit)
        yield used
        yield limit

    def _retained(self) -> Iterable[GaugeMetricFamily]:
        kept = GaugeMetricFamily(
            "hoa_operator_retained_databases",
            "Databases on a server that are kept of deleted tenants.",
            labels=["server"],
        )
        problems = GaugeMetricFamily(
            "hoa_operator_retained_problems",
            "Databases kept of deleted tenants that were not dropped although their time has come.",
            labels=["server"],
        )
        for body in self._cache.all(SERVER):
            status = body.get("status") or {}
            kept.add_metric([name_of(body)], int(status.get("retained") or 0))
            entries = status.get("retainedDatabases") or ()
            problems.add_metric([name_of(body)], sum("problem" in entry for entry in entries))
        yield kept
        yield problems

    def _servers(self) -> GaugeMetricFamily:
        family = GaugeMetricFamily("hoa_operator_database_server_ready", "Whether a server answers.", labels=["server"])
        for body in self._cache.all(SERVER):
            conditions = (body.get("status") or {}).get("conditions") or ()
            ready = any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
            family.add_metric([body["metadata"]["name"]], float(ready))
        return family

"""What the process counts, under one registry that is handed around; labels carry tenants and routes, never URLs."""

from __future__ import annotations

import time
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.5, 5.0, 10.0)
ACTIVE_SECONDS = 300.0


class ActiveUsers(Collector):
    """`tenant_active_users`: how many different people made a request in the last five minutes, as this process saw."""

    def __init__(self) -> None:
        self._seen: dict[str, dict[object, float]] = {}

    def saw(self, tenant_id: str, user_id: object) -> None:
        """Note a request of `user_id`."""
        users = self._seen.get(tenant_id)
        if users is None:
            users = self._seen[tenant_id] = {}
        users[user_id] = time.monotonic()

    def count(self, tenant_id: str) -> int:
        """The figure for one tenant; forgets those who left."""
        horizon = time.monotonic() - ACTIVE_SECONDS
        users = {user: at for user, at in self._seen.get(tenant_id, {}).items() if at > horizon}
        self._seen[tenant_id] = users
        return len(users)

    def collect(self) -> Iterable[Metric]:
        """For the scrape."""
        family = GaugeMetricFamily(
            "tenant_active_users", "People active in the last five minutes", labels=["tenant_id"]
        )
        for tenant_id in list(self._seen):
            family.add_metric([tenant_id], self.count(tenant_id))
        yield family


class Metrics:
    """Every figure of the app and the worker."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=registry)
        self.active_users = ActiveUsers()
        registry.register(self.active_users)
        self.requests = Histogram(
            "http_request_duration_seconds",
            "Duration of HTTP requests in seconds",
            ["method", "route", "status_code", "tenant_id"],
            buckets=BUCKETS,
            registry=registry,
        )
        self._children: dict[tuple[str, str, int, str], Histogram] = {}
        self.in_flight = Gauge("hoa_requests_in_flight", "Requests being answered", registry=registry)
        self.rate_limited = Counter(
            "hoa_requests_refused", "Requests over a tenant's limits", ["tenant_id", "limit"], registry=registry
        )
        self.in_line = Histogram(
            "hoa_request_line_seconds",
            "Seconds that requests waited behind others of their tenant; those that did not wait are left out",
            buckets=BUCKETS,
            registry=registry,
        )
        self.isolation_refusals = Counter(
            "hoa_isolation_refusals",
            "Attempts to cross from one tenant to another; of these a cookie is most often one that a browser kept of the"
            " company that had the domain before",
            ["lock", "tenant_id"],
            registry=registry,
        )
        self.unknown_hosts = Counter("hoa_unknown_host_requests", "Requests for hosts nobody owns", registry=registry)
        self.pools = Gauge("hoa_db_pools", "Open database pools", registry=registry)
        self.pool_capacity = Gauge("hoa_db_pool_capacity", "Connections the open pools may use", registry=registry)
        self.pool_events = Counter("hoa_db_pool_events", "What became of database pools", ["event"], registry=registry)
        self.pool_errors = Counter(
            "hoa_db_pool_errors", "Connections that could not be had", ["tenant_id", "reason"], registry=registry
        )
        self.registry_up = Gauge(
            "hoa_registry_up", "1 while the registry's notifications are followed", registry=registry
        )
        self.registry_tenants = Gauge("hoa_registry_tenants", "Tenants known from the registry", registry=registry)
        self.outbox_done = Counter(
            "hoa_outbox_rows", "Outbox rows by outcome", ["tenant_id", "kind", "outcome"], registry=registry
        )
        self.worker_swept = Gauge(
            "hoa_worker_swept_timestamp_seconds",
            "Unix time of the last sweep over all outboxes; 0 where no worker runs",
            registry=registry,
        )
        self.outbox_queued = Gauge(
            "hoa_outbox_queued", "Rows waiting at the last sweep", ["tenant_id"], registry=registry
        )
        self.outbox_dead = Gauge("hoa_outbox_dead", "Rows given up, to be looked at", ["tenant_id"], registry=registry)
        self.outbox_lag = Gauge(
            "hoa_outbox_oldest_due_seconds",
            "Age of the oldest due row at the last sweep",
            ["tenant_id"],
            registry=registry,
        )
        self.breaker_open = Gauge(
            "hoa_breaker_open", "1 while a dependency is not tried", ["dependency"], registry=registry
        )
        self.dropped_files = Counter(
            "hoa_dropped_tenant_files", "Files removed of tenants whose database was dropped", registry=registry
        )
        self.sign_ins = Counter("hoa_sign_ins", "Sign-ins by outcome", ["tenant_id", "outcome"], registry=registry)

    def observe_request(self, method: str, route: str, status: int, tenant_id: str, seconds: float) -> None:
        """One finished request; the labelled child is kept, since looking it up costs more than the observation."""
        key = (method, route, status, tenant_id)
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = self.requests.labels(method, route, str(status), tenant_id)
        child.observe(seconds)

    def forget_tenant(self, tenant_id: str) -> None:
        """Drop the series of a tenant that is gone."""
        for key in [key for key in self._children if key[3] == tenant_id]:
            self.requests.remove(key[0], key[1], str(key[2]), key[3])
            del self._children[key]

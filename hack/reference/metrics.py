"""The page of metrics: what operator and app export is asked of themselves."""

from collections.abc import Iterator
from dataclasses import dataclass

from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.registry import Collector

HEAD = """\
# Metrics

Written by `make reference` from the code; a test compares. Prometheus reads them from port 9090 of each pod, at `/metrics`.
Scraping adds `namespace`, `pod`, `job` and `instance`. `tenant_id` is `status.tenantID` of the HOATenant;
`hoa_operator_tenant_info` leads from it to the name. A counter ends in `_total`; a histogram has `_bucket`, `_sum` and `_count`.
Beside each stands one in `_created`, the time at which its series began, in seconds since 1970: alerts tell by it a new series
from an old one that is read again after a gap. Keep it when you choose what Prometheus keeps.
Which alerts stand on them: [operations](../operations/README.md).
"""
OWN = ("hoa_", "http_", "tenant_")


@dataclass(frozen=True)
class Family:
    """One metric as it is exported; `dated` tells whether each series comes with the time at which it began."""

    name: str
    kind: str
    labels: tuple[str, ...]
    meaning: str
    dated: bool = False

    @property
    def series(self) -> tuple[str, ...]:
        """The names by which a query finds it."""
        endings = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}
        dated = ("_created",) if self.dated else ()
        return tuple(self.name + ending for ending in (*endings.get(self.kind, ("",)), *dated))


def families(registry: CollectorRegistry) -> Iterator[Family]:
    """Every metric of a registry, whether or not it has been moved yet."""
    for collector in list(registry._collector_to_names):
        if isinstance(collector, MetricWrapperBase):
            kind = str(collector._type)
            dated = kind in ("counter", "histogram")
            yield Family(collector._name, kind, tuple(collector._labelnames), collector._documentation, dated)
        else:
            yield from _collected(collector)


def _collected(collector: Collector) -> Iterator[Family]:
    for metric in collector.collect():
        yield Family(metric.name, metric.type, tuple(getattr(metric, "_labelnames", ())), metric.documentation)


def of_operator() -> list[Family]:
    """What the operator exports while it leads."""
    from hoa_operator.cache import Cache
    from hoa_operator.metrics import Metrics
    from hoa_operator.watch import WatchHealth
    from hoa_operator.workqueue import Limits, WorkQueue

    async def idle(_key: str) -> None:
        """Reconcile nothing."""

    metrics = Metrics()
    metrics.watch_state(Cache(), WorkQueue(idle, str, Limits(1, 1)), WatchHealth(0.0), lambda: 0.0)
    return sorted(families(metrics.registry), key=lambda family: family.name)


def of_app() -> list[Family]:
    """What the app and the worker export; each moves its own part."""
    from hoa_app.metrics import Metrics

    return sorted(families(Metrics().registry), key=lambda family: family.name)


def page() -> str:
    """The whole page."""
    parts = [HEAD]
    for title, found in (("The operator", of_operator()), ("The app and the worker", of_app())):
        rows = [_row(family) for family in found if family.name.startswith(OWN)]
        parts.append(
            f"## {title}\n\n| metric | kind | labels | meaning |\n|---|---|---|---|\n" + "\n".join(rows) + "\n"
        )
    others = sorted({family.name for family in of_operator() + of_app() if not family.name.startswith(OWN)})
    parts.append("Besides, what every Python process tells of itself: " + ", ".join(f"`{n}`" for n in others) + ".\n")
    return "\n".join(parts)


def _row(family: Family) -> str:
    name = family.series[0] if family.kind == "counter" else family.name
    labels = ", ".join(f"`{label}`" for label in family.labels) or "none"
    return f"| `{name}` | {family.kind} | {labels} | {family.meaning.rstrip('.')} |"

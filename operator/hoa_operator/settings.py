"""What the installation fixes for the operator: read once from the environment, checked, then never again.

Secrets are not here: settings name the folders and files that hold them.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from hoa_operator import quantities
from hoa_operator.keyring import Pace

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

T = TypeVar("T")


class SettingsError(ValueError):
    """One or more settings are missing or malformed; the text lists all of them."""


@dataclass(frozen=True)
class AppSettings:
    """The app's image and what is deployed of it, as the chart installed it."""

    image: str
    image_pull_policy: str
    image_pull_secrets: tuple[str, ...]
    version: str
    schema_revision: str
    deployment: str
    service: str


@dataclass(frozen=True)
class ExternalDns:
    """external-dns keeps the records of tenants' hosts; `target` is what they point at, None as the Ingress says."""

    target: str | None


@dataclass(frozen=True)
class RouteSettings:
    """How people reach tenants: `<scheme>://<slug>.<base_domain>[:port]` through one ingress class."""

    base_domain: str
    url_scheme: str
    url_port: int | None
    ingress_class: str
    tls_secret: str | None
    certificates_per_hour: int
    external_dns: ExternalDns | None

    @property
    def https(self) -> bool:
        """Tell whether hosts are served with certificates."""
        return self.url_scheme == "https"

    def url(self, host: str) -> str:
        """Return the address a person types to reach `host`."""
        default = {"http": 80, "https": 443}[self.url_scheme]
        port = "" if self.url_port in (None, default) else f":{self.url_port}"
        return f"{self.url_scheme}://{host}{port}"


@dataclass(frozen=True)
class CapacitySettings:
    """Bounds of the shared app's HPA, and how much of all tiers' cpu is asked for at one time."""

    minimum: int
    maximum: int
    cpu_overcommit: float


@dataclass(frozen=True)
class Timing:
    """Seconds, and how many tenants are worked on at once."""

    provisioning_deadline: float
    job_deadline: int
    job_ttl: int
    job_concurrency: int
    resync: float
    concurrency: int
    credentials_overlap: float


@dataclass(frozen=True)
class SealingSettings:
    """The Secret of the sealing keys, if the operator rotates them, and how; empty where somebody else looks after it."""

    secret: str
    pace: Pace


@dataclass(frozen=True)
class Settings:
    """Everything the environment says."""

    namespace: str
    pod_name: str
    release: str
    registry_dir: Path
    registry_reader_dir: Path
    sealing_keys_file: Path
    app: AppSettings
    route: RouteSettings
    capacity: CapacitySettings
    timing: Timing
    sealing: SealingSettings
    lease_name: str
    cluster_namespace: str
    log_level: str
    metrics_port: int
    probe_port: int
    bind_address: str

    @property
    def installation(self) -> str:
        """Name this installation where several may share a Postgres server."""
        return f"{self.namespace}/{self.release}"

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """Read the settings; raise `SettingsError` that names every one that is wrong."""
        read = _Reader(os.environ if environ is None else environ)
        release = read.text("HOA_RELEASE", "hoa-connect")
        settings = cls(
            namespace=read.text("HOA_NAMESPACE"),
            pod_name=read.text("HOA_POD_NAME"),
            release=release,
            registry_dir=read.value("HOA_REGISTRY_DIR", Path),
            registry_reader_dir=read.value("HOA_REGISTRY_READER_DIR", Path),
            sealing_keys_file=read.value("HOA_SEALING_KEYS_FILE", Path),
            app=_app(read, release),
            route=_route(read),
            capacity=_capacity(read),
            timing=_timing(read),
            sealing=_sealing(read),
            lease_name=read.text("HOA_LEASE_NAME", f"{release}-operator"),
            cluster_namespace=read.text("HOA_CLUSTER_NAMESPACE", "kube-system"),
            log_level=read.choice("HOA_LOG_LEVEL", ("debug", "info", "warning", "error"), "info", str.lower),
            metrics_port=read.value("HOA_METRICS_PORT", _port, 9090),
            probe_port=read.value("HOA_PROBE_PORT", _port, 8080),
            bind_address=read.text("HOA_BIND_ADDRESS", "0.0.0.0"),  # noqa: S104 - probes and scrapes come from outside the pod
        )
        read.finish()
        return settings


def _app(read: _Reader, release: str) -> AppSettings:
    return AppSettings(
        image=read.text("HOA_APP_IMAGE"),
        image_pull_policy=read.choice("HOA_APP_IMAGE_PULL_POLICY", ("Always", "IfNotPresent", "Never"), "IfNotPresent"),
        image_pull_secrets=read.value("HOA_IMAGE_PULL_SECRETS", _names, ()),
        version=read.text("HOA_APP_VERSION"),
        schema_revision=read.text("HOA_APP_SCHEMA_REVISION"),
        deployment=read.text("HOA_APP_DEPLOYMENT", f"{release}-app"),
        service=read.text("HOA_APP_SERVICE", f"{release}-app"),
    )


def _route(read: _Reader) -> RouteSettings:
    external_dns = read.choice("HOA_EXTERNAL_DNS", ("true", "false"), "false") == "true"
    return RouteSettings(
        base_domain=read.text("HOA_BASE_DOMAIN").lower().strip("."),
        url_scheme=read.choice("HOA_URL_SCHEME", ("http", "https"), "https"),
        url_port=read.value("HOA_URL_PORT", _port, None),
        ingress_class=read.text("HOA_INGRESS_CLASS", ""),
        tls_secret=read.text("HOA_INGRESS_TLS_SECRET", "") or None,
        certificates_per_hour=read.value("HOA_CERTIFICATES_PER_HOUR", _positive, 50),
        external_dns=ExternalDns(read.text("HOA_EXTERNAL_DNS_TARGET", "") or None) if external_dns else None,
    )


def _capacity(read: _Reader) -> CapacitySettings:
    capacity = CapacitySettings(
        minimum=read.value("HOA_HPA_MIN", _positive, 2),
        maximum=read.value("HOA_HPA_MAX", _positive, 20),
        cpu_overcommit=read.value("HOA_CPU_OVERCOMMIT", _positive_float, 0.5),
    )
    if capacity.minimum > capacity.maximum:
        read.refuse(f"HOA_HPA_MIN: {capacity.minimum} is above HOA_HPA_MAX, {capacity.maximum}")
    return capacity


def _sealing(read: _Reader) -> SealingSettings:
    interval = read.value("HOA_SEALING_ROTATION_INTERVAL", _duration, None)
    propagation = read.value("HOA_SEALING_PROPAGATION_SECONDS", _positive_float, 180.0)
    return SealingSettings(read.text("HOA_SEALING_SECRET", ""), Pace(interval, timedelta(seconds=propagation)))


def _timing(read: _Reader) -> Timing:
    timing = Timing(
        provisioning_deadline=read.value("HOA_PROVISIONING_DEADLINE_SECONDS", _positive_float, 600.0),
        job_deadline=read.value("HOA_JOB_DEADLINE_SECONDS", _positive, 300),
        job_ttl=read.value("HOA_JOB_TTL_SECONDS", _positive, 3600),
        job_concurrency=read.value("HOA_JOB_CONCURRENCY", _positive, 12),
        resync=read.value("HOA_RESYNC_SECONDS", _positive_float, 300.0),
        concurrency=read.value("HOA_CONCURRENCY", _positive, 16),
        credentials_overlap=read.value("HOA_CREDENTIALS_OVERLAP_SECONDS", _positive_float, 120.0),
    )
    if timing.job_deadline > timing.provisioning_deadline:
        read.refuse(
            f"HOA_JOB_DEADLINE_SECONDS: {timing.job_deadline} is above HOA_PROVISIONING_DEADLINE_SECONDS,"
            f" {timing.provisioning_deadline:.0f}: a new tenant would be rolled back while its migration still runs"
        )
    return timing


class _Reader:
    """Collects what is wrong instead of stopping at the first."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._wrong: list[str] = []

    def text(self, name: str, default: str | None = None) -> str:
        return self.value(name, str, default if default is None else str(default)) or ""

    def choice(self, name: str, allowed: tuple[str, ...], default: str, spelling: Callable[[str], str] = str) -> str:
        found = spelling(self._environ.get(name) or default)
        if found not in allowed:
            self._wrong.append(f"{name}: {found!r} is not one of {', '.join(allowed)}")
        return found

    def value(self, name: str, parse: Callable[[str], T], default: T | _Required | None = None) -> T:
        raw = self._environ.get(name)
        if raw:
            try:
                return parse(raw)
            except ValueError as error:
                self._wrong.append(f"{name}: {error}")
        elif name in _REQUIRED:
            self._wrong.append(f"{name}: required, but not set")
        return default  # type: ignore[return-value]  # unusable only if finish() raises

    def refuse(self, what: str) -> None:
        self._wrong.append(what)

    def finish(self) -> None:
        if self._wrong:
            raise SettingsError("wrong settings: " + "; ".join(self._wrong))


class _Required:
    """Marks the absence of a default."""


_REQUIRED = frozenset(
    {
        "HOA_NAMESPACE",
        "HOA_POD_NAME",
        "HOA_REGISTRY_DIR",
        "HOA_REGISTRY_READER_DIR",
        "HOA_SEALING_KEYS_FILE",
        "HOA_APP_IMAGE",
        "HOA_APP_VERSION",
        "HOA_APP_SCHEMA_REVISION",
        "HOA_BASE_DOMAIN",
    }
)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(f"{text!r} is not a positive whole number")
    return number


def _duration(text: str) -> timedelta:
    found = timedelta(milliseconds=quantities.milliseconds(text))
    if not found:
        raise ValueError(f"{text!r} is no time")
    return found


def _positive_float(text: str) -> float:
    number = float(text)
    if not 0 < number < float("inf"):
        raise ValueError(f"{text!r} is not a positive number")
    return number


def _port(text: str) -> int:
    number = int(text)
    if not 0 <= number <= 65535:
        raise ValueError(f"{text!r} is not a port")
    return number


def _names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())

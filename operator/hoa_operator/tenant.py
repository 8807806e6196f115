"""What a person asked for: HOATenant parsed once into frozen dataclasses, so that nobody further in reads a raw dict.

The CRD's schema has checked almost everything; what it cannot check raises `UserError` here.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Literal
from uuid import UUID
from zoneinfo import ZoneInfo

from hoa_operator import names, quantities
from hoa_operator.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping

State = Literal["Active", "ReadOnly", "Suspended"]
ManagementPolicy = Literal["Managed", "Paused", "ObserveOnly"]
Placement = Literal["Shared", "Dedicated"]
AdoptionPolicy = Literal["Never", "IfUnclaimed"]
AUTO_TIER = "Auto"


@dataclass(frozen=True)
class Admin:
    """The first owner, who is invited."""

    email: str
    name: str


@dataclass(frozen=True, order=True)
class Issuer:
    """A cert-manager issuer."""

    name: str
    kind: str


@dataclass(frozen=True)
class Domain:
    """A further host of the tenant; without secret and issuer the ingress controller's certificate serves it."""

    host: str
    secret_name: str | None = None
    issuer: Issuer | None = None


@dataclass(frozen=True)
class Branding:
    """Looks; None leaves the app's own."""

    primary_color: str | None = None
    logo_url: str | None = None
    support_email: str | None = None

    def to_json(self) -> dict[str, str]:
        """Return the registry's column `branding` (contract section 1)."""
        pairs = (("primaryColor", self.primary_color), ("logoURL", self.logo_url), ("supportEmail", self.support_email))
        return {key: value for key, value in pairs if value is not None}


@dataclass(frozen=True)
class DatabaseWish:
    """Where the data shall lie; `server_name` None lets the operator choose."""

    server_name: str | None
    extensions: tuple[str, ...]


@dataclass(frozen=True)
class Disposal:
    """What becomes of the data of a tenant that is deleted: kept for `window`, without one until a person acts; a window of
    no length drops it at once."""

    window: timedelta | None = None

    @property
    def at_once(self) -> bool:
        """Tell whether nothing is kept."""
        return self.window is not None and self.window <= timedelta(0)


@dataclass(frozen=True)
class LimitOverrides:
    """What the tenant has instead of its tier's limit; None takes the tier's. cpu in millicores, sizes in bytes."""

    requests_per_second: int | None = None
    concurrent_requests: int | None = None
    database_connections: int | None = None
    statement_timeout_ms: int | None = None
    storage_bytes: int | None = None
    cpu_millicores: int | None = None
    memory_bytes: int | None = None


@dataclass(frozen=True)
class CredentialsWish:
    """When the tenant's credentials shall be rotated: by themselves, and once for a time that a person names."""

    rotation_interval: timedelta | None = None
    rotate_requested_at: datetime | None = None


@dataclass(frozen=True)
class TenantSpec:
    """`spec`, with every default applied; `backup` tells whether it speaks of backups, which nothing carries out yet."""

    slug: str
    display_name: str
    admin: Admin
    homeowners: int
    tier: str
    state: State
    policy: ManagementPolicy
    adoption: AdoptionPolicy
    region: str | None
    placement: Placement
    time_zone: str
    database: DatabaseWish
    domains: tuple[Domain, ...]
    branding: Branding
    limits: LimitOverrides
    credentials: CredentialsWish
    backup: bool = False

    def hosts(self, base_domain: str) -> tuple[str, ...]:
        """Return every host that reaches the tenant, the canonical one first."""
        own = f"{self.slug}.{base_domain}"
        return (own, *(domain.host for domain in self.domains if domain.host != own))


@dataclass(frozen=True)
class Identity:
    """Which object this is."""

    namespace: str
    name: str
    uid: UUID
    generation: int
    resource_version: str
    created_at: datetime
    deleting: bool
    has_finalizer: bool
    retry_requested: bool
    abandoned_server: str | None = None
    adopts: str | None = None

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


def asked_hosts(body: Mapping[str, Any], base_domain: str) -> frozenset[str]:
    """Return every host that a HOATenant asks for, however wrong the rest of its spec is; none once it is deleted."""
    if "deletionTimestamp" in body["metadata"]:
        return frozenset()
    spec = body["spec"]
    own = f"{spec.get('slug') or body['metadata']['name']}.{base_domain}"
    return frozenset([own, *(domain["host"] for domain in spec.get("domains") or ())])


def parse_identity(body: Mapping[str, Any]) -> Identity:
    """Read `metadata`, which is always well formed."""
    meta = body["metadata"]
    return Identity(
        namespace=meta["namespace"],
        name=meta["name"],
        uid=UUID(meta["uid"]),
        generation=meta.get("generation", 1),
        resource_version=meta["resourceVersion"],
        created_at=parse_time(meta["creationTimestamp"]),
        deleting="deletionTimestamp" in meta,
        has_finalizer=names.FINALIZER in meta.get("finalizers", ()),
        retry_requested=names.ANNOTATION_RETRY in (meta.get("annotations") or {}),
        abandoned_server=(meta.get("annotations") or {}).get(names.ANNOTATION_ABANDON),
        adopts=(meta.get("annotations") or {}).get(names.ANNOTATION_ADOPT),
    )


def parse_spec(body: Mapping[str, Any]) -> TenantSpec:
    """Read `spec`; raise `UserError` for what only code can check."""
    spec = body["spec"]
    try:
        return TenantSpec(
            slug=spec.get("slug") or body["metadata"]["name"],
            display_name=spec["displayName"],
            admin=Admin(email=spec["admin"]["email"], name=spec["admin"]["name"]),
            homeowners=int(spec.get("homeowners", 0)),
            tier=spec.get("tier", AUTO_TIER),
            state=spec.get("state", "Active"),
            policy=spec.get("managementPolicy", "Managed"),
            adoption=spec.get("adoptionPolicy", "Never"),
            region=spec.get("region"),
            placement=spec.get("placement", "Shared"),
            time_zone=_time_zone(spec.get("timeZone", "America/New_York")),
            database=_database(spec.get("database") or {}),
            domains=tuple(parse_domain(entry) for entry in spec.get("domains") or ()),
            branding=_branding(spec.get("branding") or {}),
            limits=_limits(spec.get("limits") or {}),
            credentials=_credentials(spec.get("credentials") or {}),
            backup=spec.get("backup") is not None,
        )
    except KeyError as missing:
        raise UserError("SpecInvalid", f"spec.{missing.args[0]} is missing; add it") from missing


def parse_disposal(body: Mapping[str, Any]) -> Disposal:
    """Read what shall become of the data; any doubt keeps it until a person acts."""
    database = (body.get("spec") or {}).get("database") or {}
    if database.get("deletionPolicy") != "Delete":
        return Disposal()
    try:
        return Disposal(timedelta(milliseconds=quantities.milliseconds(database.get("undeleteWindow", "168h"))))
    except ValueError:
        return Disposal()


#: The clocks of two pods, or of one before and after a leader died, differ by less; beyond, one of them jumped.
CLOCKS_DIFFER: Final = timedelta(minutes=5)


def parse_time(text: str) -> datetime:
    """Read an RFC 3339 time as the API server writes it."""
    return datetime.fromisoformat(text)


def format_time(moment: datetime) -> str:
    """Write a time, of whatever offset, as the API server does: UTC, whole seconds."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds") + "Z"


def _time_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ValueError, OSError, KeyError) as unknown:  # ZoneInfoNotFoundError is a KeyError
        raise UserError(
            "TimeZoneUnknown",
            f"spec.timeZone {name!r} is not an IANA time zone; use one such as America/New_York or UTC",
        ) from unknown
    return name


def _database(raw: Mapping[str, Any]) -> DatabaseWish:
    return DatabaseWish(
        server_name=raw.get("serverName"),
        extensions=tuple(sorted(raw.get("extensions") or ())),
    )


def parse_domain(raw: Mapping[str, Any]) -> Domain:
    """Parse one of `spec.domains`."""
    tls = raw.get("tls") or {}
    issuer = tls.get("issuerRef")
    return Domain(
        host=raw["host"].lower(),
        secret_name=tls.get("secretName"),
        issuer=Issuer(issuer["name"], issuer.get("kind", "ClusterIssuer")) if issuer else None,
    )


def _branding(raw: Mapping[str, Any]) -> Branding:
    return Branding(raw.get("primaryColor"), raw.get("logoURL"), raw.get("supportEmail"))


def _credentials(raw: Mapping[str, Any]) -> CredentialsWish:
    interval, requested = raw.get("rotationInterval"), raw.get("rotateRequestedAt")
    try:
        return CredentialsWish(
            timedelta(milliseconds=quantities.milliseconds(interval)) if interval else None,
            parse_time(requested).astimezone(UTC) if requested else None,
        )
    except OverflowError as error:  # such as 0001-01-01T00:00:00+14:00, which is in no year in UTC
        raise UserError(
            "RotationInvalid",
            f"spec.credentials.rotateRequestedAt: {requested} is out of range; set it to the time now",
        ) from error
    except ValueError as error:
        raise UserError("RotationInvalid", f"spec.credentials: {error}; correct it") from error


def _limits(raw: Mapping[str, Any]) -> LimitOverrides:
    try:
        return LimitOverrides(
            requests_per_second=raw.get("requestsPerSecond"),
            concurrent_requests=raw.get("concurrentRequests"),
            database_connections=raw.get("databaseConnections"),
            statement_timeout_ms=_optional(raw.get("statementTimeout"), quantities.milliseconds),
            storage_bytes=_optional(raw.get("storage"), quantities.count_bytes),
            cpu_millicores=_optional(raw.get("cpu"), quantities.millicores),
            memory_bytes=_optional(raw.get("memory"), quantities.count_bytes),
        )
    except ValueError as error:
        raise UserError("LimitInvalid", f"spec.limits: {error}; correct it") from error


def _optional(value: Any, parse: Any) -> int | None:
    return None if value is None else int(parse(value))

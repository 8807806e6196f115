"""What a size of tenant gets: HOATier parsed, `Auto` resolved with hysteresis, the shared app sized: pure.

The thresholds come from the tiers themselves; the chart ships small (<100), medium (<500), large (<2000) and
enterprise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from hoa_operator import quantities
from hoa_operator.errors import UserError
from hoa_operator.tenant import AUTO_TIER, LimitOverrides

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

#: A tenant leaves its tier downwards only this far under the tier's minimum, so that 499/501 does not flap.
HYSTERESIS: Final = 0.05


@dataclass(frozen=True)
class Autoscaling:
    """HPA bounds of a tenant with Dedicated placement."""

    min_replicas: int
    max_replicas: int
    target_cpu_percent: int


@dataclass(frozen=True)
class Limits:
    """What holds for one tenant: the tier's figures with the tenant's overrides. cpu in millicores, sizes in bytes."""

    requests_per_second: int
    concurrent_requests: int
    database_connections: int
    statement_timeout_ms: int
    storage_bytes: int
    cpu_millicores: int
    memory_bytes: int
    homeowners_max: int | None

    def overridden(self, overrides: LimitOverrides) -> Limits:
        """Return these limits with the tenant's own where it has any."""
        own = {name: value for name, value in vars(overrides).items() if value is not None}
        return replace(self, **own)

    def to_json(self) -> dict[str, int | None]:
        """Return the registry's column `limits` (contract section 1)."""
        return {
            "requestsPerSecond": self.requests_per_second,
            "concurrentRequests": self.concurrent_requests,
            "databaseConnections": self.database_connections,
            "statementTimeoutMs": self.statement_timeout_ms,
            "storageBytes": self.storage_bytes,
            "homeownersMax": self.homeowners_max,
        }


@dataclass(frozen=True)
class Tier:
    """One HOATier. The range of homeowners includes both ends; `homeowners_max` None has no end. One that is `gone` is known by
    what the registry has of it: limits without cpu and memory, no autoscaling."""

    name: str
    homeowners_min: int
    homeowners_max: int | None
    limits: Limits
    autoscaling: Autoscaling
    gone: bool = False


def remembered(name: str, limits: Mapping[str, Any]) -> Tier:
    """Return a tier that is gone, by the limits that the registry has of a tenant in it."""
    known = Limits(
        requests_per_second=limits["requestsPerSecond"],
        concurrent_requests=limits["concurrentRequests"],
        database_connections=limits["databaseConnections"],
        statement_timeout_ms=limits["statementTimeoutMs"],
        storage_bytes=limits["storageBytes"],
        cpu_millicores=0,
        memory_bytes=0,
        homeowners_max=limits.get("homeownersMax"),
    )
    return Tier(name, 0, known.homeowners_max, known, Autoscaling(0, 0, 0), gone=True)


def parse_tier(body: Mapping[str, Any]) -> Tier:
    """Read a HOATier, whose schema the API server has checked."""
    spec = body["spec"]
    scaling = spec.get("autoscaling") or {}
    maximum = spec["homeowners"].get("max")
    return Tier(
        name=body["metadata"]["name"],
        homeowners_min=spec["homeowners"]["min"],
        homeowners_max=maximum,
        limits=Limits(
            requests_per_second=spec["requestsPerSecond"],
            concurrent_requests=spec["concurrentRequests"],
            database_connections=spec["databaseConnections"],
            statement_timeout_ms=quantities.milliseconds(spec.get("statementTimeout", "30s")),
            storage_bytes=quantities.count_bytes(spec["storage"]),
            cpu_millicores=quantities.millicores(spec["cpu"]),
            memory_bytes=quantities.count_bytes(spec["memory"]),
            homeowners_max=maximum,
        ),
        autoscaling=Autoscaling(
            min_replicas=scaling.get("minReplicas", 2),
            max_replicas=scaling.get("maxReplicas", 20),
            target_cpu_percent=scaling.get("targetCPUUtilizationPercentage", 70),
        ),
    )


def resolve(wanted: str, homeowners: int, current: str | None, tiers: Iterable[Tier]) -> Tier:
    """Return the tier that holds: the named one, or for `Auto` the one whose range has `homeowners`.

    `current` is the tier that `Auto` gave last: a tier that a person named has no margin to keep. Growth moves up at once;
    shrinking moves down only once it is clear of the boundary.
    """
    ordered = sorted(tiers, key=lambda tier: (tier.homeowners_min, tier.name))
    if not ordered:
        raise UserError("TierUnknown", "this namespace has no HOATier; install the chart's tiers or apply your own")
    if wanted != AUTO_TIER:
        return _named(wanted, ordered)
    fitting = _fitting(homeowners, ordered)
    held = next((tier for tier in ordered if tier.name == current), None)
    if held is not None and _still_held(held, fitting, homeowners):
        return held
    return fitting


def last_given(said: str | None, wanted: str, in_force: str | None) -> str | None:
    """Return the tier that `Auto` gave last, whatever was named since: what the status said, or, before it said so, what is in
    force of a tenant that leaves it to `Auto`."""
    return said or (in_force if wanted == AUTO_TIER else None)


def automatic(homeowners: int, given: str | None, tiers: tuple[Tier, ...]) -> str | None:
    """Return what `Auto` gives now, in force or not; where there are no tiers to choose from, what it gave last."""
    return resolve(AUTO_TIER, homeowners, given, tiers).name if tiers else given


@dataclass(frozen=True)
class Pending:
    """The tier a tenant would move down to, and the number of homeowners under which it does."""

    name: str
    below: int

    def describe(self) -> str:
        """Return it for people."""
        return f"moves to tier {self.name} once there are fewer than {self.below} homeowners"


def pending(wanted: str, homeowners: int, held: Tier, tiers: Iterable[Tier]) -> Pending | None:
    """Return the move that hysteresis holds back, told without any figure that changes from day to day."""
    ordered = sorted(tiers, key=lambda tier: (tier.homeowners_min, tier.name))
    if wanted != AUTO_TIER or _fitting(homeowners, ordered).homeowners_min >= held.homeowners_min:
        return None
    below = _lowest_held(held)
    return Pending(_fitting(below - 1, ordered).name, below)


def _named(wanted: str, ordered: list[Tier]) -> Tier:
    for tier in ordered:
        if tier.name == wanted:
            return tier
    known = ", ".join(tier.name for tier in ordered)
    raise UserError("TierUnknown", f"spec.tier {wanted!r} is no HOATier of this namespace; use Auto or one of: {known}")


def _fitting(homeowners: int, ordered: list[Tier]) -> Tier:
    """Return the highest tier whose minimum is reached; under all of them, the lowest. `max` is for people to read."""
    reached = [tier for tier in ordered if tier.homeowners_min <= homeowners]
    return reached[-1] if reached else ordered[0]


def _still_held(held: Tier, fitting: Tier, homeowners: int) -> bool:
    if fitting.homeowners_min >= held.homeowners_min:
        return False
    return homeowners >= _lowest_held(held)


def _lowest_held(held: Tier) -> int:
    """Return the smallest number of homeowners with which a tenant keeps the tier it has."""
    return held.homeowners_min - max(1, math.ceil(held.homeowners_min * HYSTERESIS))


@dataclass(frozen=True)
class Replicas:
    """Bounds of an HPA."""

    minimum: int
    maximum: int


def shared_replicas(
    demand_millicores: int, pod_millicores: int, overcommit: float, floor: int, ceiling: int
) -> Replicas:
    """Size the shared app: tiers' cpu times overcommit by a pod's cpu, between the installation's floor and ceiling.

    One pod more than the floor is always allowed, so that the smallest installation can still absorb a burst.
    """
    wanted = math.ceil(demand_millicores * overcommit / max(pod_millicores, 1))
    top = max(ceiling, floor)
    return Replicas(minimum=floor, maximum=min(max(wanted, floor + 1), top))

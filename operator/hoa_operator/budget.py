"""How many certificates may be asked for: so many an hour, first come, first served, and none is ever taken back. Pure, but
for the memory of what was granted a moment ago.

Certificate authorities bound what one account may order: Let's Encrypt takes 300 new orders in 3 hours, and 50
certificates for one registered domain in a week (https://letsencrypt.org/docs/rate-limits/). When a fleet adds its domains
on one day, whoever asks beyond that is refused for hours, renewals among them. What was asked for when stands in an
annotation of each Ingress, so a restart forgets nothing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from hoa_operator import names
from hoa_operator.kinds import annotations_of, tenants_of
from hoa_operator.tenant import format_time, parse_time

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from hoa_operator.kinds import Object

WINDOW: Final = timedelta(hours=1)
WAITS: Final = "WaitsForCertificateBudget"
_DOMAINS: Final = "DomainsReady"
_NEVER: Final = "9999"
_SOON: Final = 60.0
#: Conditions of a tenant whose reconcile fails, as type -> status: it may not come as far as its Ingress.
_USELESS: Final = {"SpecAccepted": "False", "Stalled": "True"}

#: A tenant's name as its label spells it, and a host.
Claim = tuple[str, str]


@dataclass(frozen=True)
class Ledger:
    """What was asked for and when, and who waits to ask, in order."""

    limit: int
    asked: Mapping[Claim, datetime]
    line: tuple[Claim, ...]
    now: datetime


@dataclass(frozen=True)
class Verdict:
    """For one tenant: hosts whose certificate is, or may now be, asked for, and when; the turns of those that wait; and the
    seconds until it is the first one's."""

    asked: Mapping[str, datetime] = field(default_factory=dict)
    turns: Mapping[str, int] = field(default_factory=dict)
    wait: float | None = None


def decide(ledger: Ledger, tenant: str, hosts: Iterable[str]) -> Verdict:
    """Return which of the tenant's hosts may have their certificates asked for."""
    recent = sorted(at for at in ledger.asked.values() if at > ledger.now - WINDOW)
    free = max(0, ledger.limit - len(recent))
    asked: dict[str, datetime] = {}
    turns: dict[str, int] = {}
    for host in hosts:
        if (tenant, host) in ledger.asked:
            asked[host] = ledger.asked[tenant, host]
            continue
        place = ledger.line.index((tenant, host)) if (tenant, host) in ledger.line else len(ledger.line)
        if place < free:
            asked[host] = ledger.now
        else:
            turns[host] = place - free + 1
    return Verdict(asked, turns, _wait(recent, min(turns.values()), ledger.now) if turns else None)


def _wait(recent: list[datetime], turn: int, now: datetime) -> float:
    """Return the seconds until so many of the recent ones have left the window; who only waits for those before it in the
    line looks again soon."""
    if turn > len(recent):
        return _SOON
    return max(1.0, (recent[turn - 1] + WINDOW - now).total_seconds())


def asked_on(ingresses: Iterable[Object], now: datetime) -> dict[Claim, datetime]:
    """Return what Ingresses say was asked for. One that says nothing was made before there was a budget; one that names a
    time to come says nothing."""
    found: dict[Claim, datetime] = {}
    for item in ingresses:
        if not any(key.startswith("cert-manager.io/") for key in annotations_of(item)):
            continue
        told = _told(annotations_of(item).get(names.ANNOTATION_CERTIFICATES), now)
        made = min(parse_time(item["metadata"]["creationTimestamp"]), now)
        for host in (host for entry in item["spec"].get("tls") or () for host in entry.get("hosts") or ()):
            found |= {(tenant, host): told.get(host, made) for tenant in tenants_of(item) or ("",)}
    return found


def _told(text: str | None, now: datetime) -> dict[str, datetime]:
    try:
        said = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return {}
    if not isinstance(said, dict):
        return {}
    return {host: at for host, at in ((host, _moment(at)) for host, at in said.items()) if at is not None and at <= now}


def _moment(text: object) -> datetime | None:
    """Read a time that anybody may have written; None if it is none, or does not say its zone."""
    try:
        moment = parse_time(str(text))
        return moment.astimezone(UTC) if moment.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None


def spelled(asked: Mapping[str, datetime]) -> str:
    """Return the annotation of an Ingress with these hosts."""
    return json.dumps({host: format_time(asked[host]) for host in sorted(asked)}, separators=(",", ":"))


def line(tenants: Iterable[Object], asked: Mapping[Claim, datetime]) -> tuple[Claim, ...]:
    """Return who waits, longest first. Who could not use a turn, being paused, refused, stalled or in trouble, holds up
    nobody."""
    waiting: list[tuple[str, Claim]] = []
    for body in tenants:
        spec, name = body["spec"], names.bounded(body["metadata"]["name"])
        if not spec.get("domains") or not _could_use_a_turn(body):
            continue
        for domain in spec["domains"]:
            claim = (name, domain["host"].lower())
            if (domain.get("tls") or {}).get("issuerRef") and claim not in asked:
                waiting.append((_since(body), claim))
    return tuple(claim for _, claim in sorted(waiting))


def _could_use_a_turn(body: Object) -> bool:
    status = body.get("status") or {}
    failed = any(_USELESS.get(c["type"]) == c["status"] for c in status.get("conditions") or ())
    managed = body["spec"].get("managementPolicy", "Managed") == "Managed"
    return managed and "deletionTimestamp" not in body["metadata"] and "retry" not in status and not failed


def _since(body: Object) -> str:
    for condition in (body.get("status") or {}).get("conditions") or ():
        if condition["type"] == _DOMAINS and condition["reason"] == WAITS:
            return str(condition["lastTransitionTime"])
    return _NEVER


@dataclass(frozen=True)
class Scene:
    """All Ingresses and HOATenants there are, and the certificates that may be asked for in an hour."""

    ingresses: Iterable[Object]
    tenants: Sequence[Object]
    limit: int


class Budget:
    """The ledger of one installation. What was granted counts for the window, whether its Ingress can be seen yet, still or
    again: a domain that is taken out frees no turn."""

    def __init__(self) -> None:
        self._given: dict[Claim, tuple[datetime, datetime]] = {}  # as claim -> (asked for, granted)

    @staticmethod
    def look(scene: Scene, tenant: str, now: datetime) -> Verdict:
        """Return what was asked for a tenant that is only looked at: it takes no turn."""
        name = names.bounded(tenant)
        return Verdict({host: at for (owner, host), at in asked_on(scene.ingresses, now).items() if owner == name})

    def ask(self, scene: Scene, tenant: str, hosts: Mapping[str, datetime | None], now: datetime) -> Verdict:
        """Decide for a tenant's hosts; one that comes with a time has a certificate since then, and needs no turn."""
        seen = asked_on(scene.ingresses, now)
        self._given = _still_counted(self._given, now)
        name, asked = names.bounded(tenant), {**seen, **{c: at for c, (at, _) in self._given.items()}}
        asked |= {(name, host): at for host, at in hosts.items() if at is not None and (name, host) not in asked}
        verdict = decide(Ledger(scene.limit, asked, line(scene.tenants, asked), now), name, hosts)
        for host, at in verdict.asked.items():
            if (name, host) not in seen:
                self._given.setdefault((name, host), (at, now))
        return verdict


def _still_counted(
    given: Mapping[Claim, tuple[datetime, datetime]], now: datetime
) -> dict[Claim, tuple[datetime, datetime]]:
    """Leave out what was granted before the window. After a clock was put back nothing was granted later than now."""
    clamped = {claim: (min(asked, now), min(granted, now)) for claim, (asked, granted) in given.items()}
    return {claim: times for claim, times in clamped.items() if times[1] > now - WINDOW}

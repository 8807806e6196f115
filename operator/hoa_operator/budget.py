"""How many certificates may be asked for: so many an hour, first come, first served, and none is ever taken back. Pure, but
for the memory of what was granted a moment ago.

Certificate authorities bound what one account may order: Let's Encrypt takes 300 new orders in 3 hours, and 50
certificates for one registered domain in a week (https://letsencrypt.org/docs/rate-limits/). When a fleet adds its domains
on one day, whoever asks beyond that is refused for hours, renewals among them. What was asked for when stands in an
annotation of each Ingress, beside cert-manager's that names the issuer, so a restart forgets nothing; since when a host
waits stands in its tenant's status.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

from hoa_operator import names
from hoa_operator.kinds import annotations_of, tenants_of
from hoa_operator.tenant import Issuer, format_time, parse_domain, parse_time

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from hoa_operator.kinds import Object

WINDOW: Final = timedelta(hours=1)
WAITS: Final = "WaitsForCertificateBudget"
#: Where a status notes since when hosts wait for a certificate's turn.
AWAITED: Final = "certificatesAwaited"
_NEVER: Final = "9999"
_SOON: Final = 60.0
#: Conditions of a tenant whose reconcile fails, as type -> status: it may not come as far as its Ingress.
_USELESS: Final = {"SpecAccepted": "False", "Stalled": "True"}


class Claim(NamedTuple):
    """A tenant's name as its label spells it, a host, and who shall make, or makes, its certificate: another issuer is asked
    for another one. None where an Ingress names none."""

    tenant: str
    host: str
    issuer: Issuer | None


@dataclass(frozen=True)
class Ledger:
    """What was asked for and when, and who waits to ask, in order."""

    limit: int
    asked: Mapping[Claim, datetime]
    line: tuple[Claim, ...]
    now: datetime


@dataclass(frozen=True)
class Verdict:
    """For one tenant: hosts whose certificate is, or may now be, asked for, and when; the turns of those that wait; the issuer
    before of those that wait for another one, which serves them on; and the seconds until it is the first one's turn."""

    asked: Mapping[str, datetime] = field(default_factory=dict)
    turns: Mapping[str, int] = field(default_factory=dict)
    kept: Mapping[str, Issuer] = field(default_factory=dict)
    wait: float | None = None


def decide(ledger: Ledger, claims: Iterable[Claim]) -> Verdict:
    """Return which of a tenant's claims may be asked for."""
    recent = sorted(at for at in ledger.asked.values() if at > ledger.now - WINDOW)
    free = max(0, ledger.limit - len(recent))
    asked: dict[str, datetime] = {}
    turns: dict[str, int] = {}
    kept: dict[str, Issuer] = {}
    for claim in claims:
        if claim in ledger.asked:
            asked[claim.host] = ledger.asked[claim]
        elif (place := _place(ledger, claim)) < free:
            asked[claim.host] = ledger.now
        else:
            turns[claim.host] = place - free + 1
            if (before := _before(ledger, claim)) is not None:
                asked[claim.host], kept[claim.host] = before
    return Verdict(asked, turns, kept, _wait(recent, min(turns.values()), ledger.now) if turns else None)


def _place(ledger: Ledger, claim: Claim) -> int:
    return ledger.line.index(claim) if claim in ledger.line else len(ledger.line)


def _before(ledger: Ledger, claim: Claim) -> tuple[datetime, Issuer] | None:
    """Return when a certificate for the claim's host was last asked for of another issuer, and of which."""
    same = ((at, c.issuer) for c, at in ledger.asked.items() if c[:2] == claim[:2])
    return max(((at, issuer) for at, issuer in same if issuer is not None), default=None)


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
        made, issuer = min(parse_time(item["metadata"]["creationTimestamp"]), now), _issuer(item)
        for host in (host for entry in item["spec"].get("tls") or () for host in entry.get("hosts") or ()):
            found |= {Claim(tenant, host, issuer): told.get(host, made) for tenant in tenants_of(item) or ("",)}
    return found


def _issuer(item: Object) -> Issuer | None:
    named = ((kind, annotations_of(item).get(key)) for kind, key in names.ISSUER_ANNOTATIONS.items())
    return next((Issuer(name, kind) for kind, name in named if name), None)


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
    """Return who waits, the host that waits longest first. Who could not use a turn, being paused, refused, stalled or in
    trouble, holds up nobody."""
    waiting: list[tuple[str, Claim]] = []
    for body in tenants:
        if not body["spec"].get("domains") or not _could_use_a_turn(body):
            continue
        name, since = names.bounded(body["metadata"]["name"]), (body.get("status") or {}).get(AWAITED) or {}
        for domain in map(parse_domain, body["spec"]["domains"]):
            claim = Claim(name, domain.host, domain.issuer)
            if domain.issuer is not None and claim not in asked:
                waiting.append((since.get(domain.host, _NEVER), claim))
    return tuple(claim for _, claim in sorted(waiting))


def _could_use_a_turn(body: Object) -> bool:
    status = body.get("status") or {}
    failed = any(_USELESS.get(c["type"]) == c["status"] for c in status.get("conditions") or ())
    managed = body["spec"].get("managementPolicy", "Managed") == "Managed"
    return managed and "deletionTimestamp" not in body["metadata"] and "retry" not in status and not failed


def awaited(before: Mapping[str, str], verdict: Verdict, now: datetime) -> dict[str, str]:
    """Return since when each host waits that does, given what was noted before: another trouble of its tenant, and another
    host's waiting, change nothing of it."""
    return {host: before.get(host, format_time(now)) for host in verdict.turns}


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
    def look(scene: Scene, claims: Iterable[Claim], now: datetime) -> Verdict:
        """Return what was asked for a tenant that is only looked at: it takes no turn."""
        seen = asked_on(scene.ingresses, now)
        return Verdict({claim.host: seen[claim] for claim in claims if claim in seen})

    def ask(self, scene: Scene, claims: Mapping[Claim, datetime | None], now: datetime) -> Verdict:
        """Decide for a tenant's claims; one that comes with a time has its certificate since then, and needs no turn."""
        seen = asked_on(scene.ingresses, now)
        self._given = _still_counted(self._given, now)
        asked = {**seen, **{c: at for c, (at, _) in self._given.items()}}
        asked |= {claim: at for claim, at in claims.items() if at is not None and claim not in asked}
        verdict = decide(Ledger(scene.limit, asked, line(scene.tenants, asked), now), claims)
        for claim in claims:
            if claim not in seen and claim.host not in verdict.turns:
                self._given.setdefault(claim, (verdict.asked[claim.host], now))
        return verdict


def _still_counted(
    given: Mapping[Claim, tuple[datetime, datetime]], now: datetime
) -> dict[Claim, tuple[datetime, datetime]]:
    """Leave out what was granted before the window. After a clock was put back nothing was granted later than now."""
    clamped = {claim: (min(asked, now), min(granted, now)) for claim, (asked, granted) in given.items()}
    return {claim: times for claim, times in clamped.items() if times[1] > now - WINDOW}

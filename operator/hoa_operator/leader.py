"""One operator at a time, by a Lease; and certainty, by this process's own clock, that the lead is still ours.

No lock is trusted alone. Before every write `check` asks whether the lease we last renewed can have run out: then
nothing is written until the API server has said again that nobody else led since. A process that was stopped and woke
up late finds out before it writes, and the registry's epoch refuses it even if it did not.

How the terms fit together. A successor sees a renewal at most `poll` late, waits for its whole `duration`, and asks
again within `poll`: 10 s after the leader's death at the latest it leads, which leaves it 5 of the promised 15 s to
read the cluster and to do what waits. Of a renewal's 8 s the leader trusts 6. It renews every 2 s, gives the API server
2 s for an answer and asks again on a connection that is not the one that fell silent: one answer that is slow or lost
costs nothing. While the API server is away nobody's time runs, so that its restart is no change of leader.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, TypeVar

import structlog

from hoa_operator import names
from hoa_operator.errors import Fenced, OperatorError, WorldError
from hoa_operator.kinds import LEASE, Object
from hoa_operator.kube import Conflict

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from hoa_operator.kube import Kube

log = structlog.get_logger()

T = TypeVar("T")
_LASTS: Final = "should it last, check that the API server is well and the operator reaches it"
_MICROSECONDS: Final = "%Y-%m-%dT%H:%M:%S.%fZ"


@dataclass(frozen=True)
class LeaseTerms:
    """Seconds: how long a renewal holds; how long before its end it is not trusted; how often it is renewed, and asked
    for; how long an answer may take, and the pause before it is asked for again."""

    duration: float = 8.0
    margin: float = 2.0
    renew: float = 2.0
    poll: float = 1.0
    patience: float = 2.0
    retry: float = 0.5


class Leadership:
    """The lease as this process sees it. `clock` runs on while the process stands still.

    A term begins with a new `leaseTransitions`, also where the holder's name stays the same: whoever finds another
    number there knows that somebody led since.
    """

    def __init__(self, name: str, identity: str, terms: LeaseTerms, clock: Callable[[], float]) -> None:
        self.name = name
        self.identity = identity
        self.terms = terms
        self._clock = clock
        self._renewed_at: float | None = None
        self._term = 0
        self._seen: tuple[Any, ...] | None = None
        self._seen_at = 0.0
        self._answered_at = 0.0
        self._silent = False

    @property
    def leading(self) -> bool:
        """Tell whether the lease is surely ours now."""
        renewed = self._renewed_at
        return renewed is not None and self._clock() < renewed + self.terms.duration - self.terms.margin

    def check(self) -> None:
        """Raise `Fenced` if the lead is lost, and a WorldError while nobody can say whether it is."""
        if self._renewed_at is None:
            raise Fenced("the lease is not ours; another operator may lead")
        if not self.leading:
            silent = self._clock() - self._renewed_at
            raise WorldError(
                "LeadUncertain",
                f"the API server has not confirmed lease {self.name} for {silent:.0f} s; nothing is written until it does; "
                f"{_LASTS}",
                retry_after=self.terms.renew,
            )

    async def acquire(self, kube: Kube) -> None:
        """Wait until the lease is ours."""
        while True:
            try:
                if await self._patiently(self._take(kube), 0):
                    log.info("lead taken", lease=self.name, identity=self.identity, term=self._term)
                    return
            except OperatorError as error:
                self._silent = True
                log.warning("lease not read or written", reason=error.reason, message=error.message)
            await asyncio.sleep(self.terms.poll)

    async def keep(self, kube: Kube) -> None:
        """Renew the lease for as long as it is ours; then raise `Fenced`."""
        failures = 0
        while True:
            await asyncio.sleep(self.terms.retry if failures else self.terms.renew)
            try:
                await self._patiently(self._renew(kube), failures)
            except Fenced:
                self._renewed_at = None
                raise
            except OperatorError as error:
                failures += 1
                log.warning("lease not renewed", reason=error.reason, message=error.message, sure=self.leading)
            else:
                failures = 0

    async def release(self, kube: Kube) -> None:
        """Give the lease up, so that a standby need not wait for it to run out."""
        if self._renewed_at is None:
            return
        self._renewed_at = None
        try:
            lease = await self._patiently(kube.get(LEASE, self.name), 0)
            if lease is not None and self._is_ours(lease):
                await self._patiently(self._write(kube, lease, holder=""), 0)
        except OperatorError as error:
            log.warning("lease not released", reason=error.reason, message=error.message)

    async def _patiently(self, asking: Awaitable[T], failures: int) -> T:
        """Wait for an answer, longer the more often there was none: an API server may be slow for everyone."""
        patience = self.terms.patience * (1 + failures)
        try:
            async with asyncio.timeout(patience):
                return await asking
        except TimeoutError as error:
            silence = (
                f"lease {self.name}: the API server did not answer within {patience:.0f} s; it is asked again; {_LASTS}"
            )
            raise WorldError("ApiServerSilent", silence) from error

    async def _renew(self, kube: Kube) -> None:
        asked_at = self._clock()
        lease = await kube.get(LEASE, self.name)
        if lease is None:
            raise Fenced(f"lease {self.name} is gone; another operator may lead")
        if not self._is_ours(lease):
            holder = lease["spec"].get("holderIdentity") or "nobody"
            raise Fenced(f"lease {self.name} is held by {holder} now; another operator may have led")
        await self._write(kube, lease, holder=self.identity)
        self._renewed_at = asked_at

    async def _take(self, kube: Kube) -> bool:
        asked_at = self._clock()
        lease = await kube.get(LEASE, self.name)
        self._answered()
        try:
            if lease is None:
                written = await kube.create(self._manifest(kube.namespace))
            elif self._may_take(lease):
                written = await self._write(kube, lease, holder=self.identity, begins=True)
            else:
                return False
        except Conflict:
            return False
        self._term = _term_of(written)
        self._renewed_at = asked_at
        return True

    def _answered(self) -> None:
        """Leave out of the holder's time what passed while the API server answered nobody."""
        now = self._clock()
        if self._silent:
            self._seen_at += now - self._answered_at
        self._answered_at, self._silent = now, False

    def _is_ours(self, lease: Object) -> bool:
        return lease["spec"].get("holderIdentity") == self.identity and _term_of(lease) == self._term

    def _may_take(self, lease: Object) -> bool:
        spec = lease["spec"]
        holder = spec.get("holderIdentity")
        if not holder or holder == self.identity:
            return True
        record = (holder, spec.get("renewTime"), spec.get("leaseTransitions"))
        if record != self._seen:
            self._seen, self._seen_at = record, self._clock()
        # Only our own clock counts: the holder's may be wrong. A record unchanged for its whole term has run out.
        return self._clock() >= self._seen_at + float(spec.get("leaseDurationSeconds") or self.terms.duration)

    async def _write(self, kube: Kube, lease: Object, holder: str, *, begins: bool = False) -> dict[str, Any]:
        now = _now()
        changed: dict[str, Any] = {
            "holderIdentity": holder,
            "renewTime": now,
            "leaseDurationSeconds": int(self.terms.duration) if holder else 1,
        }
        if begins:
            changed |= {"acquireTime": now, "leaseTransitions": _term_of(lease) + 1}
        body = {"metadata": {"resourceVersion": lease["metadata"]["resourceVersion"]}, "spec": changed}
        return await kube.patch(LEASE, self.name, body)

    def _manifest(self, namespace: str) -> dict[str, Any]:
        now = _now()
        return {
            "apiVersion": LEASE.api_version,
            "kind": LEASE.kind,
            "metadata": {
                "name": self.name,
                "namespace": namespace,
                "labels": {names.LABEL_MANAGED_BY: names.MANAGED_BY},
            },
            "spec": {
                "holderIdentity": self.identity,
                "leaseDurationSeconds": int(self.terms.duration),
                "acquireTime": now,
                "renewTime": now,
                "leaseTransitions": 0,
            },
        }


def _term_of(lease: Object) -> int:
    return int(lease["spec"].get("leaseTransitions") or 0)


def _now() -> str:
    return datetime.now(UTC).strftime(_MICROSECONDS)

"""One operator at a time, by a Lease; and certainty, by this process's own clock, that the lead is still ours.

No lock is trusted alone. Before every write `check` asks whether the lease we last renewed can have run out; a
process that was stopped and woke up late finds that out before it writes, and the registry's epoch refuses it even if
it did not.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import structlog

from hoa_operator import names
from hoa_operator.errors import Fenced, OperatorError, WorldError
from hoa_operator.kinds import LEASE, Object
from hoa_operator.kube import Conflict

if TYPE_CHECKING:
    from collections.abc import Callable

    from hoa_operator.kube import Kube

log = structlog.get_logger()

_MICROSECONDS: Final = "%Y-%m-%dT%H:%M:%S.%fZ"


@dataclass(frozen=True)
class LeaseTerms:
    """Seconds: how long a renewal holds, how often it is renewed or asked for, and how long before its end it is not
    trusted."""

    duration: float = 15.0
    renew: float = 5.0
    poll: float = 2.0
    margin: float = 3.0


class Leadership:
    """The lease as this process sees it; `clock` is monotonic."""

    def __init__(self, name: str, identity: str, terms: LeaseTerms, clock: Callable[[], float]) -> None:
        self.name = name
        self.identity = identity
        self.terms = terms
        self._clock = clock
        self._renewed_at: float | None = None
        self._seen: tuple[Any, ...] | None = None
        self._seen_at = 0.0

    @property
    def leading(self) -> bool:
        """Tell whether the lease is surely ours now."""
        renewed = self._renewed_at
        return renewed is not None and self._clock() < renewed + self.terms.duration - self.terms.margin

    def check(self) -> None:
        """Raise `Fenced` unless the lease is surely ours now."""
        if not self.leading:
            raise Fenced("the lease is no longer surely ours; another operator may lead")

    async def acquire(self, kube: Kube) -> None:
        """Wait until the lease is ours."""
        while True:
            try:
                if await self._try(kube):
                    log.info("lead taken", lease=self.name, identity=self.identity)
                    return
            except OperatorError as error:
                log.warning("lease not read or written", reason=error.reason, message=error.message)
            await asyncio.sleep(self.terms.poll)

    async def keep(self, kube: Kube) -> None:
        """Renew until it fails for too long; then raise `Fenced`."""
        while True:
            await asyncio.sleep(self.terms.renew)
            try:
                if not await self._try(kube):
                    self._renewed_at = None
            except OperatorError as error:
                log.warning("lease not renewed", reason=error.reason, message=error.message)
            self.check()

    async def release(self, kube: Kube) -> None:
        """Give the lease up, so that a standby need not wait for it to run out."""
        if not self.leading:
            return
        self._renewed_at = None
        try:
            lease = await kube.get(LEASE, self.name)
            if lease is not None and lease["spec"].get("holderIdentity") == self.identity:
                await self._write(kube, lease, holder="")
        except OperatorError as error:
            log.warning("lease not released", reason=error.reason, message=error.message)

    async def _try(self, kube: Kube) -> bool:
        try:
            async with asyncio.timeout(self.terms.renew):
                return await self._ask(kube)
        except TimeoutError as error:
            raise WorldError(
                "ApiServerSilent", f"lease {self.name}: no answer within {self.terms.renew:.0f} s"
            ) from error

    async def _ask(self, kube: Kube) -> bool:
        asked_at = self._clock()
        lease = await kube.get(LEASE, self.name)
        try:
            if lease is None:
                await kube.create(self._manifest(kube.namespace))
            elif self._may_take(lease):
                await self._write(kube, lease, holder=self.identity)
            else:
                return False
        except Conflict:
            return False
        self._renewed_at = asked_at
        return True

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

    async def _write(self, kube: Kube, lease: Object, holder: str) -> None:
        spec = lease["spec"]
        now = _now()
        changed: dict[str, Any] = {
            "holderIdentity": holder,
            "renewTime": now,
            "leaseDurationSeconds": int(self.terms.duration) if holder else 1,
        }
        if holder and spec.get("holderIdentity") != holder:
            changed |= {"acquireTime": now, "leaseTransitions": int(spec.get("leaseTransitions") or 0) + 1}
        body = {"metadata": {"resourceVersion": lease["metadata"]["resourceVersion"]}, "spec": changed}
        await kube.patch(LEASE, self.name, body)

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


def _now() -> str:
    return datetime.now(UTC).strftime(_MICROSECONDS)

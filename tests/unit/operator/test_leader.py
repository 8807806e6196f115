"""The lease: who may take it, and that nobody writes who is not sure to hold it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from hoa_operator.errors import Fenced, WorldError
from hoa_operator.kinds import Kind
from hoa_operator.kube import Conflict
from hoa_operator.leader import Leadership, LeaseTerms

Json = dict[str, Any]
TERMS = LeaseTerms(duration=15.0, renew=0.01, poll=0.001, margin=3.0)


class Clock:
    """A monotonic clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Leases:
    """The API server's lease, with version checks; `away` lets every request fail."""

    namespace = "hoa-connect"

    def __init__(self) -> None:
        self.lease: Json | None = None
        self.away = False

    async def get(self, kind: Kind, name: str) -> Json | None:
        self._fail_if_away()
        return (
            None if self.lease is None else {"metadata": dict(self.lease["metadata"]), "spec": dict(self.lease["spec"])}
        )

    async def create(self, manifest: Json) -> Json:
        self._fail_if_away()
        if self.lease is not None:
            raise Conflict("exists")
        self.lease = {"metadata": {"resourceVersion": "1"}, "spec": dict(manifest["spec"])}
        return self.lease

    async def patch(self, kind: Kind, name: str, body: Json) -> Json:
        self._fail_if_away()
        assert self.lease is not None
        if body["metadata"]["resourceVersion"] != self.lease["metadata"]["resourceVersion"]:
            raise Conflict("changed")
        version = str(int(self.lease["metadata"]["resourceVersion"]) + 1)
        self.lease = {"metadata": {"resourceVersion": version}, "spec": {**self.lease["spec"], **body["spec"]}}
        return self.lease

    def _fail_if_away(self) -> None:
        if self.away:
            raise WorldError("ApiServerUnreachable", "away")


def leadership(clock: Clock, identity: str = "a") -> Leadership:
    return Leadership("lease", identity, TERMS, clock)


async def acquire(lead: Leadership, leases: Leases) -> None:
    async with asyncio.timeout(2):
        await lead.acquire(leases)  # type: ignore[arg-type]


async def test_a_free_lease_is_taken_and_given_up() -> None:
    clock, leases = Clock(), Leases()
    lead = leadership(clock)
    with pytest.raises(Fenced):
        lead.check()
    await acquire(lead, leases)
    lead.check()
    assert leases.lease is not None
    assert leases.lease["spec"]["holderIdentity"] == "a"
    await lead.release(leases)  # type: ignore[arg-type]
    assert leases.lease["spec"]["holderIdentity"] == ""
    assert not lead.leading
    await acquire(leadership(clock, "b"), leases)
    assert leases.lease["spec"]["leaseTransitions"] == 1


async def test_a_held_lease_is_taken_only_after_its_term_by_our_own_clock() -> None:
    clock, leases = Clock(), Leases()
    await acquire(leadership(clock, "a"), leases)
    other = leadership(clock, "b")
    waiting = asyncio.create_task(other.acquire(leases))  # type: ignore[arg-type]
    await asyncio.sleep(0.02)
    assert not waiting.done()
    clock.now += 14.9
    await asyncio.sleep(0.02)
    assert not waiting.done()
    clock.now += 0.2
    async with asyncio.timeout(2):
        await waiting
    assert leases.lease is not None
    assert leases.lease["spec"]["holderIdentity"] == "b"


async def test_a_renewed_lease_is_not_taken() -> None:
    clock, leases = Clock(), Leases()
    first = leadership(clock, "a")
    await acquire(first, leases)
    waiting = asyncio.create_task(leadership(clock, "b").acquire(leases))  # type: ignore[arg-type]
    for number in range(5):
        clock.now += 10.0
        assert leases.lease is not None
        leases.lease["spec"]["renewTime"] = f"renewed-{number}"
        await asyncio.sleep(0.01)
    assert not waiting.done()
    waiting.cancel()
    await asyncio.wait({waiting})


async def test_certainty_ends_before_the_term_does() -> None:
    clock, leases = Clock(), Leases()
    lead = leadership(clock)
    await acquire(lead, leases)
    clock.now += 11.9
    lead.check()
    clock.now += 0.2
    with pytest.raises(Fenced):
        lead.check()


async def test_the_lead_is_kept_by_renewing_and_lost_when_another_takes_it() -> None:
    clock, leases = Clock(), Leases()
    lead = leadership(clock)
    await acquire(lead, leases)
    keeping = asyncio.create_task(lead.keep(leases))  # type: ignore[arg-type]
    for _ in range(4):
        clock.now += 8.0
        await asyncio.sleep(0.03)
        lead.check()
    assert leases.lease is not None
    leases.lease["spec"]["holderIdentity"] = "b"
    leases.lease["spec"]["renewTime"] = "other"
    with pytest.raises(Fenced):
        async with asyncio.timeout(2):
            await keeping


async def test_a_short_absence_of_the_api_server_is_survived_and_a_long_one_is_not() -> None:
    clock, leases = Clock(), Leases()
    lead = leadership(clock)
    await acquire(lead, leases)
    keeping = asyncio.create_task(lead.keep(leases))  # type: ignore[arg-type]
    leases.away = True
    clock.now += 8.0
    await asyncio.sleep(0.03)
    lead.check()
    leases.away = False
    await asyncio.sleep(0.03)
    leases.away = True
    clock.now += 12.5
    with pytest.raises(Fenced):
        async with asyncio.timeout(2):
            await keeping

"""The lease: who may take it, and that nobody writes who is not sure to hold it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from hoa_operator.errors import Fenced, WorldError
from hoa_operator.kinds import Kind
from hoa_operator.kube import Conflict
from hoa_operator.leader import Leadership, LeaseTerms

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

Json = dict[str, Any]
TERMS = LeaseTerms(duration=15.0, margin=3.0, renew=0.01, poll=0.001, patience=2.0, retry=0.001)


class Clock:
    """A monotonic clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Leases:
    """The API server's lease, with version checks; `away` lets every request fail, `deaf` lets none be answered."""

    namespace = "hoa-connect"

    def __init__(self) -> None:
        self.lease: Json | None = None
        self.away = False
        self.deaf = False
        self.read = asyncio.Event()

    async def get(self, kind: Kind, name: str) -> Json | None:
        self.read.set()
        self._fail_if_away()
        if self.deaf:
            await asyncio.Event().wait()
        return (
            None if self.lease is None else {"metadata": dict(self.lease["metadata"]), "spec": dict(self.lease["spec"])}
        )

    async def next_read(self) -> None:
        """Wait until the lease has been asked for twice more: the first may have begun before."""
        for _ in range(2):
            self.read.clear()
            async with asyncio.timeout(2):
                await self.read.wait()
        await asyncio.sleep(0)

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
    with pytest.raises(WorldError, match="has not confirmed lease lease for 12 s"):
        lead.check()
    assert not lead.leading


@pytest.fixture
async def kept() -> AsyncIterator[tuple[Clock, Leases, Leadership, asyncio.Task[None]]]:
    """A lead that is being kept."""
    clock, leases = Clock(), Leases()
    lead = leadership(clock)
    await acquire(lead, leases)
    keeping = asyncio.create_task(lead.keep(leases))  # type: ignore[arg-type]
    yield clock, leases, lead, keeping
    keeping.cancel()
    await asyncio.wait({keeping})


Kept = tuple[Clock, Leases, Leadership, "asyncio.Task[None]"]


async def is_fenced(keeping: asyncio.Task[None], lead: Leadership, words: str) -> None:
    with pytest.raises(Fenced, match=words):
        async with asyncio.timeout(2):
            await keeping
    with pytest.raises(Fenced):
        lead.check()


async def test_the_lead_is_kept_by_renewing_and_lost_when_another_takes_it(kept: Kept) -> None:
    clock, leases, lead, keeping = kept
    for _ in range(4):
        clock.now += 8.0
        await leases.next_read()
        lead.check()
    assert leases.lease is not None
    assert leases.lease["spec"]["leaseTransitions"] == 0
    leases.lease["spec"] |= {"holderIdentity": "b", "leaseTransitions": 1}
    await is_fenced(keeping, lead, "held by b now")


@pytest.mark.parametrize("holder", ["", "a"])
async def test_a_lease_that_somebody_held_meanwhile_is_lost_whoever_it_names_now(kept: Kept, holder: str) -> None:
    clock, leases, lead, keeping = kept
    assert leases.lease is not None
    clock.now += 60.0
    leases.lease["spec"] |= {"holderIdentity": holder, "leaseTransitions": 2}
    await is_fenced(keeping, lead, f"held by {holder or 'nobody'} now; another operator may have led")


async def test_a_lease_that_is_gone_is_lost(kept: Kept) -> None:
    _, leases, lead, keeping = kept
    leases.lease = None
    await is_fenced(keeping, lead, "lease lease is gone")


async def test_while_the_api_server_is_away_nothing_is_written_and_the_lead_is_not_lost(kept: Kept) -> None:
    clock, leases, lead, keeping = kept
    leases.away = True
    clock.now += 8.0
    await leases.next_read()
    lead.check()
    clock.now += 8.0
    await leases.next_read()
    with pytest.raises(WorldError, match="LeadUncertain"):
        lead.check()
    leases.away = False
    await leases.next_read()
    lead.check()
    assert not keeping.done()


async def test_a_renewal_that_another_write_crossed_is_tried_again(kept: Kept) -> None:
    clock, leases, lead, keeping = kept
    patch = leases.patch
    crossed: list[bool] = []

    async def crossing(kind: Kind, name: str, body: Json) -> Json:
        if not crossed:
            crossed.append(True)
            raise Conflict("our own earlier renewal, whose answer was lost, came through")
        return await patch(kind, name, body)

    leases.patch = crossing  # type: ignore[method-assign]
    clock.now += 11.0
    await leases.next_read()
    await leases.next_read()
    lead.check()
    assert crossed
    assert not keeping.done()


async def test_a_silent_api_server_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, leases = Clock(), Leases()
    lead = Leadership("lease", "a", replace(TERMS, patience=0.02), clock)
    await acquire(lead, leases)
    keeping = asyncio.create_task(lead.keep(leases))  # type: ignore[arg-type]
    leases.deaf = True
    await leases.next_read()
    leases.deaf = False
    clock.now += 11.0
    await leases.next_read()
    lead.check()
    keeping.cancel()
    await asyncio.wait({keeping})


async def test_the_time_of_an_api_server_that_is_away_is_nobodys() -> None:
    clock, leases = Clock(), Leases()
    await acquire(leadership(clock, "a"), leases)
    waiting = asyncio.create_task(leadership(clock, "b").acquire(leases))  # type: ignore[arg-type]
    await leases.next_read()
    leases.away = True
    clock.now += 60.0
    await leases.next_read()
    leases.away = False
    await leases.next_read()
    clock.now += 14.0
    await leases.next_read()
    assert not waiting.done()
    clock.now += 2.0
    async with asyncio.timeout(2):
        await waiting


async def test_every_term_has_a_number_of_its_own() -> None:
    clock, leases = Clock(), Leases()
    frozen = leadership(clock, "a")
    await acquire(frozen, leases)
    await acquire(leadership(clock, "a"), leases)  # the same pod's next process
    assert leases.lease is not None
    assert leases.lease["spec"]["leaseTransitions"] == 1
    with pytest.raises(Fenced):
        async with asyncio.timeout(2):
            await frozen.keep(leases)  # type: ignore[arg-type]
    assert leases.lease["spec"]["holderIdentity"] == "a"


def test_a_killed_leader_is_followed_well_within_15_seconds() -> None:
    terms = LeaseTerms()
    assert terms.poll + terms.duration + terms.poll <= 10.0
    # One answer that never comes, and the next one as slow as may be, still renew in time.
    assert terms.renew + terms.patience + terms.retry < terms.duration - terms.margin

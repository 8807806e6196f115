"""The work queue: one at a time per key, nobody held up by another's lane, nothing lost, everything retried in time."""

from __future__ import annotations

import asyncio
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hoa_operator.workqueue import Limits, WorkQueue, backoff


class Bench:
    """Work that waits until it is let go, and a record of it."""

    def __init__(self, total: int = 4, per_lane: int = 2) -> None:
        self.begun: list[str] = []
        self.gates: dict[str, asyncio.Event] = {}
        self.at_work: set[str] = set()
        self.started = asyncio.Event()
        self.queue: WorkQueue[str] = WorkQueue(self.work, lambda key: key.split("/")[0], Limits(total, per_lane))

    async def work(self, key: str) -> None:
        assert key not in self.at_work
        self.at_work.add(key)
        self.begun.append(key)
        self.started.set()
        gate = self.gates.setdefault(key, asyncio.Event())
        await gate.wait()
        gate.clear()
        self.at_work.discard(key)

    async def settle(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)

    async def let_go(self, key: str) -> None:
        self.gates.setdefault(key, asyncio.Event()).set()
        await self.settle()


async def test_nothing_begins_before_the_start() -> None:
    bench = Bench()
    bench.queue.add("a/1")
    await bench.settle()
    assert (bench.begun, bench.queue.depth) == ([], 1)
    bench.queue.start()
    await bench.settle()
    assert bench.begun == ["a/1"]
    await bench.let_go("a/1")


async def test_a_key_added_many_times_runs_once() -> None:
    bench = Bench()
    for _ in range(5):
        bench.queue.add("a/1")
    bench.queue.start()
    await bench.settle()
    await bench.let_go("a/1")
    assert bench.begun == ["a/1"]


async def test_a_key_added_while_at_work_runs_once_more_and_never_twice_at_once() -> None:
    bench = Bench()
    bench.queue.start()
    bench.queue.add("a/1")
    await bench.settle()
    bench.queue.add("a/1")
    bench.queue.add("a/1", urgent=False)
    await bench.settle()
    assert bench.begun == ["a/1"]
    await bench.let_go("a/1")
    assert bench.begun == ["a/1", "a/1"]
    await bench.let_go("a/1")
    assert (bench.queue.depth, bench.queue.running) == (0, 0)


async def test_a_hung_lane_holds_up_nobody() -> None:
    bench = Bench(total=2, per_lane=2)
    bench.queue.start()
    for key in ("hung/1", "hung/2", "hung/3", "fine/1"):
        bench.queue.add(key)
    await bench.settle()
    assert bench.begun == ["hung/1", "hung/2", "fine/1"]
    for key in ("fine/1", "hung/1", "hung/2", "hung/3"):
        await bench.let_go(key)
    assert bench.begun[-1] == "hung/3"


async def test_of_all_lanes_who_came_first_is_next() -> None:
    bench = Bench(total=2, per_lane=2)
    bench.queue.start()
    for key in ("a/0", "b/1", "a/2", "b/3"):
        bench.queue.add(key)
    await bench.settle()
    for key in ("b/1", "a/0", "a/2", "b/3"):
        await bench.let_go(key)
    assert bench.begun == ["a/0", "b/1", "a/2", "b/3"]


async def test_those_who_wait_in_a_full_lane_are_not_asked_again() -> None:
    asked: list[str] = []
    gate = asyncio.Event()

    async def work(_: str) -> None:
        await gate.wait()

    def lane(key: str) -> str:
        asked.append(key)
        return "a"

    queue: WorkQueue[str] = WorkQueue(work, lane, Limits(2, 2))
    queue.start()
    for number in range(100):
        queue.add(f"a/{number}")
    await asyncio.sleep(0)
    assert (queue.running, queue.depth, len(asked)) == (2, 98, 100)
    gate.set()
    assert await queue.drain(5.0)
    assert len(asked) == 100


async def test_the_total_bounds_what_shares_lanes() -> None:
    bench = Bench(total=3, per_lane=3)
    bench.queue.start()
    for number in range(6):
        bench.queue.add(f"a/{number}")
    await bench.settle()
    assert bench.queue.running == 3
    for number in range(6):
        await bench.let_go(f"a/{number}")
    assert len(bench.begun) == 6


async def test_a_persons_change_goes_before_routine() -> None:
    bench = Bench(total=1, per_lane=1)
    bench.queue.start()
    bench.queue.add("a/0")
    await bench.settle()
    for number in range(1, 4):
        bench.queue.add(f"a/{number}", urgent=False)
    bench.queue.add("a/9")
    bench.queue.add("a/3")
    for key in ("a/0", "a/9", "a/3", "a/1", "a/2"):
        await bench.let_go(key)
    assert bench.begun == ["a/0", "a/9", "a/3", "a/1", "a/2"]


async def test_a_delayed_key_comes_in_its_time_and_the_earliest_holds() -> None:
    bench = Bench()
    bench.queue.start()
    bench.queue.add_after("a/1", 60.0)
    bench.queue.add_after("a/1", 0.01)
    bench.queue.add_after("a/1", 60.0)
    async with asyncio.timeout(2):
        await bench.started.wait()
    await bench.let_go("a/1")
    assert bench.queue.depth == 0


async def test_adding_at_once_takes_the_place_of_a_delay() -> None:
    bench = Bench()
    bench.queue.start()
    bench.queue.add_after("a/1", 0.02)
    bench.queue.add("a/1")
    await bench.settle()
    await bench.let_go("a/1")
    await asyncio.sleep(0.05)
    assert bench.begun == ["a/1"]


async def test_times_that_are_out_of_date_are_not_kept() -> None:
    """A key is worked on again and again, and each time set for long after: of thousands that are gone nothing is left."""
    bench = Bench()
    bench.queue.add_after("a/1", 0.02)
    for number in range(3000):
        bench.queue.add_after(f"b/{number % 100}", 3600.0)
        bench.queue.forget(f"b/{number % 100}")
    bench.queue.add_after("a/2", 3600.0)
    assert len(bench.queue._delayed) < 200
    bench.queue.start()
    async with asyncio.timeout(2):
        await bench.started.wait()
    assert bench.begun == ["a/1"]
    await bench.let_go("a/1")


async def test_drain_lets_work_finish_and_starts_no_more() -> None:
    bench = Bench(total=1, per_lane=1)
    bench.queue.start()
    bench.queue.add("a/1")
    bench.queue.add("a/2")
    await bench.settle()
    drained = asyncio.create_task(bench.queue.drain(2.0))
    await bench.settle()
    await bench.let_go("a/1")
    assert await drained
    assert bench.begun == ["a/1"]


async def test_drain_gives_up_on_what_hangs() -> None:
    bench = Bench()
    bench.queue.start()
    bench.queue.add("a/1")
    await bench.settle()
    assert not await bench.queue.drain(0.01)
    assert bench.queue.running == 0


async def test_work_that_raises_frees_its_place(caplog: pytest.LogCaptureFixture) -> None:
    async def broken(_: str) -> None:
        raise RuntimeError("broken")

    queue: WorkQueue[str] = WorkQueue(broken, str, Limits(1, 1))
    failures: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))
    queue.start()
    queue.add("a")
    for _ in range(5):
        await asyncio.sleep(0)
    assert queue.running == 0
    asyncio.get_running_loop().set_exception_handler(None)


@given(st.integers(0, 100), st.floats(1.0, 1000.0), st.integers())
def test_backoff_grows_is_capped_and_spread(failures: int, limit: float, seed: int) -> None:
    delay = backoff(failures, limit, Random(seed))
    ceiling = min(limit, 0.5 * 2.0 ** min(failures, 32))
    assert ceiling / 2 <= delay <= ceiling

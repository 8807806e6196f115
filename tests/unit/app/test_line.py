"""A rush of one tenant stands in line behind itself; who takes long, or goes away, holds nobody up."""

from __future__ import annotations

import asyncio

import pytest

from hoa_app.tenancy import line
from hoa_app.tenancy.line import ALONE, AMONG_OTHERS, Lines

GRANTED = 20
WAITED: list[float] = []


class Busy(Exception):
    """What is answered where there is no place."""


class Crowd:
    """Requests of one tenant that are begun together, and end as they are told to."""

    def __init__(self, lines: Lines, key: str, number: int) -> None:
        self.begun: list[int] = []
        self.all_begun = asyncio.Event()
        self.ends = [asyncio.Event() for _ in range(number)]
        self.tasks = [asyncio.create_task(self._request(lines, key, place)) for place in range(number)]

    async def _request(self, lines: Lines, key: str, place: int) -> None:
        async with lines.place(key, GRANTED, Busy):
            self.begun.append(place)
            if len(self.begun) == len(self.ends):
                self.all_begun.set()
            await self.ends[place].wait()

    async def end(self, *places: int) -> None:
        for place in places:
            self.ends[place].set()
            await self.tasks[place]
            await turns()

    async def leave(self, place: int) -> None:
        self.tasks[place].cancel()
        with pytest.raises(asyncio.CancelledError):
            await self.tasks[place]
        await turns()


async def turns() -> None:
    """Let everything run that can."""
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.fixture(autouse=True)
def long_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing takes long here, and what is shared stays so, however slow the machine is."""
    monkeypatch.setattr(line, "LONG_SECONDS", 60.0)
    monkeypatch.setattr(line, "SHARED_SECONDS", 60.0)
    monkeypatch.setattr(line, "PATIENCE", 60.0)


async def shared() -> Lines:
    """A process in which two tenants have been."""
    lines = Lines(WAITED.append)
    for key in ("one", "other"):
        async with lines.place(key, GRANTED, Busy):
            pass
    return lines


async def test_among_others_a_few_at_a_time_and_first_come_first_served() -> None:
    lines = await shared()
    crowd, other = Crowd(lines, "rush", 5), Crowd(lines, "other", 1)
    await turns()
    assert crowd.begun == [0, 1]
    assert other.begun == [0], "another tenant does not stand in this line"
    await crowd.end(1)
    assert crowd.begun == [0, 1, 2]
    await crowd.end(0, 2, 3, 4)
    await other.end(0)
    assert crowd.begun == list(range(5))
    assert not lines._lines, "nothing is kept of tenants who ask for nothing"


async def test_a_tenant_that_is_alone_has_the_process_until_another_comes() -> None:
    lines = Lines(WAITED.append)
    crowd = Crowd(lines, "rush", ALONE + 3)
    await turns()
    assert crowd.begun == list(range(ALONE))
    await crowd.end(0)
    assert crowd.begun == list(range(ALONE + 1))
    other = Crowd(lines, "other", 1)
    await turns()
    await crowd.end(*range(1, ALONE - 1))
    assert crowd.begun == list(range(ALONE + 1)), "now it may have a few, which are the last of those that were begun"
    await crowd.end(ALONE - 1)
    assert crowd.begun == list(range(ALONE + 2))
    await other.end(0)
    await crowd.end(*range(ALONE, ALONE + 3))
    assert not lines._lines


async def test_a_tenant_that_is_alone_again_has_it_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line, "SHARED_SECONDS", 0.0)
    crowd = Crowd(await shared(), "rush", ALONE)
    await turns()
    assert crowd.begun == list(range(ALONE))
    await crowd.end(*range(ALONE))


async def test_who_came_first_goes_first_when_there_is_more_room() -> None:
    lines = await shared()
    crowd = Crowd(lines, "rush", 5)
    await turns()
    assert crowd.begun == [0, 1]
    lines._shared_until = 0.0  # as when a second has passed
    newcomer = Crowd(lines, "rush", 1)
    await turns()
    assert crowd.begun == list(range(5))
    assert newcomer.begun == [0]
    await crowd.end(*range(5))
    await newcomer.end(0)


async def test_the_largest_have_more_abreast() -> None:
    lines = await shared()
    ends = asyncio.Event()
    begun = []

    async def request(place: int) -> None:
        async with lines.place("large", 80, Busy):
            begun.append(place)
            await ends.wait()

    tasks = [asyncio.create_task(request(place)) for place in range(9)]
    await turns()
    assert begun == list(range(4))
    assert len(lines._lines["large"].waiting) == 5
    WAITED.clear()
    ends.set()
    await asyncio.gather(*tasks)
    assert len(WAITED) == 5
    assert min(WAITED) > 0
    assert not lines._lines


async def test_who_takes_long_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line, "LONG_SECONDS", 0.01)
    lines = await shared()
    crowd = Crowd(lines, "slow", 2 * AMONG_OTHERS + 1)
    # The last is let in when one of those before it has taken too long: none has ended.
    async with asyncio.timeout(10):
        await crowd.all_begun.wait()
    await crowd.end(*range(2 * AMONG_OTHERS + 1))
    assert not lines._lines


async def test_a_burst_of_the_smallest_waits_although_it_is_alone() -> None:
    lines, begun, ends = Lines(WAITED.append), [], asyncio.Event()

    async def photo(place: int) -> None:
        async with lines.place("small", 10, Busy):
            begun.append(place)
            await ends.wait()

    photos = [asyncio.create_task(photo(place)) for place in range(20)]
    await turns()
    assert begun == list(range(10)), "no more than are granted, although sixteen may be abreast"
    ends.set()
    await asyncio.gather(*photos)
    assert begun == list(range(20))
    assert not lines._lines


async def test_more_than_may_wait_are_refused() -> None:
    lines = await shared()
    crowd = Crowd(lines, "rush", AMONG_OTHERS + GRANTED)
    await turns()
    with pytest.raises(Busy):
        async with lines.place("rush", GRANTED, Busy):
            pytest.fail("there is no place")
    await crowd.end(*range(AMONG_OTHERS + GRANTED))
    assert not lines._lines


async def test_who_has_waited_in_vain_is_refused_and_takes_no_place_along(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line, "LONG_SECONDS", 0.01)
    monkeypatch.setattr(line, "PATIENCE", 0.1)
    lines = await shared()
    crowd = Crowd(lines, "slow", GRANTED)
    async with asyncio.timeout(10):
        await crowd.all_begun.wait()  # all of them are long
    with pytest.raises(Busy):
        async with lines.place("slow", GRANTED, Busy):
            pytest.fail("all that are granted are inside")
    await crowd.end(0)
    async with lines.place("slow", GRANTED, Busy):
        pass
    await crowd.end(*range(1, GRANTED))
    assert not lines._lines


async def test_who_leaves_while_waiting_takes_no_place_along() -> None:
    lines = await shared()
    crowd = Crowd(lines, "rush", 5)
    await turns()
    await crowd.leave(2)
    await crowd.end(0)
    assert crowd.begun == [0, 1, 3]
    # One that is let in and leaves before it runs hands its place on.
    crowd.ends[1].set()
    await asyncio.sleep(0)
    await crowd.leave(4)
    newcomer = Crowd(lines, "rush", 1)
    await turns()
    assert newcomer.begun == [0]
    await crowd.end(3)
    await newcomer.end(0)
    assert not lines._lines

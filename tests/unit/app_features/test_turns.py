"""Who waits for whom, when much heavy work comes at once."""

from __future__ import annotations

import asyncio
import threading
from uuid import uuid4

from hoa_app.features.kit.turns import Turns


async def test_one_company_with_much_work_is_passed_by_one_with_little() -> None:
    turns, done, go = Turns("test"), [], threading.Event()
    much, little = uuid4(), uuid4()

    def work(name: str) -> None:
        assert go.wait(10)
        done.append(name)

    tasks = [asyncio.create_task(turns.run(much, work, f"much {n}")) for n in range(5)]
    await asyncio.sleep(0)
    tasks.append(asyncio.create_task(turns.run(little, work, "little")))
    await asyncio.sleep(0)
    go.set()
    await asyncio.gather(*tasks)
    assert done == ["much 0", "little", "much 1", "much 2", "much 3", "much 4"]


async def test_only_one_piece_is_worked_on_at_a_time_and_failures_hold_up_nobody() -> None:
    turns, running, most = Turns("test"), 0, 0
    lock = threading.Lock()

    def work(number: int) -> int:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        with lock:
            running -= 1
        if number % 3 == 0:
            raise ValueError(number)
        return number

    found = await asyncio.gather(*(turns.run(uuid4(), work, n) for n in range(12)), return_exceptions=True)
    assert [one for one in found if isinstance(one, int)] == [n for n in range(12) if n % 3]
    assert most == 1

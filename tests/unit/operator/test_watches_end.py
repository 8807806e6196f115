"""A leader whose watches end by themselves says so and ends; one that is told to stop just ends."""

from __future__ import annotations

import asyncio
import signal
from random import Random
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from hoa_operator import leading
from hoa_operator.errors import WorldError
from hoa_operator.leading import Leader

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest_asyncio.fixture(autouse=True)
async def signals() -> AsyncIterator[None]:
    """Give back the signals that a leader takes."""
    yield
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().remove_signal_handler(number)


async def forever(*_: object) -> None:
    await asyncio.Event().wait()


async def drained(_: float) -> bool:
    return True


def leader() -> Leader:
    """Return one with nothing to do."""
    made: Any = object.__new__(Leader)
    nothing = lambda *_, **__: None  # noqa: E731
    made._cache = SimpleNamespace(all=lambda _: [])
    made._metrics = SimpleNamespace(watch_state=nothing)
    made.queue = SimpleNamespace(add=nothing, start=nothing, drain=drained)
    made._auditor, made._term = SimpleNamespace(run=forever), SimpleNamespace(lost=lambda: False)
    made._sources = SimpleNamespace(usage=SimpleNamespace(put_off=nothing))
    made._settings, made.health, made._random = None, None, Random(7)
    leader: Leader = made
    return leader


def watches(monkeypatch: pytest.MonkeyPatch, error: Exception | None) -> None:
    """Let kopf end at once, or, without an error, when it is told to; it cancels what it does not know, and takes a moment."""

    async def watch(*_: object) -> Any:
        flag, known = asyncio.Event(), asyncio.all_tasks()

        async def run() -> None:
            if error is None:
                await flag.wait()
                return
            await asyncio.sleep(0.01)  # until the others have begun
            for task in asyncio.all_tasks() - known - {asyncio.current_task()}:
                task.cancel()
            await asyncio.sleep(0.01)  # what it cancels ends first
            raise error

        return SimpleNamespace(task=asyncio.create_task(run()), flag=flag)

    monkeypatch.setattr(leading, "_watch", watch)


async def test_watches_that_end_by_themselves_end_the_leader_with_their_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    watches(monkeypatch, ValueError("410 Gone"))
    with pytest.raises(WorldError, match="410 Gone") as ended:
        await leader().run({}, asyncio.Event())
    assert ended.value.reason == "WatchesEnded"


async def test_a_leader_that_is_told_to_stop_ends_without_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    watches(monkeypatch, None)
    stop = asyncio.Event()
    asyncio.get_running_loop().call_later(0.01, stop.set)
    await leader().run({}, stop)

"""Who keeps working while the platform is changed: reads and writes count apart, and nothing that goes wrong is lost."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.e2e.visitor import COMMUNITIES, WRITES_EVERY, Visitor
from tests.waiting import until


def answering(status: dict[str, int]) -> Visitor:
    """Somebody whose requests are answered with a status by their method; without one there is no answer."""

    def send(method: str, path: str, **_: Any) -> httpx.Response:
        assert path == COMMUNITIES
        if method not in status:
            raise httpx.ConnectError("nobody is there")
        return httpx.Response(status[method], text="said")

    return Visitor(send)


def rounds(visitor: Visitor, count: int = WRITES_EVERY) -> Visitor:
    for _ in range(count):
        visitor.go_round()
    return visitor


def test_reads_and_writes_are_counted_apart() -> None:
    visitor = rounds(answering({"GET": 200, "POST": 201}), 2 * WRITES_EVERY)
    assert (visitor.reads, visitor.writes) == (2 * WRITES_EVERY - 2, 2)
    assert visitor.failures == []


@pytest.mark.parametrize(
    ("status", "failure"),
    [({"GET": 200}, "POST: ConnectError('nobody is there')"), ({"GET": 200, "POST": 503}, "POST: 503 said")],
)
def test_a_write_that_fails_is_a_failure(status: dict[str, int], failure: str) -> None:
    assert rounds(answering(status)).failures == [failure]


def test_a_read_that_fails_is_one() -> None:
    visitor = rounds(answering({"GET": 401, "POST": 201}))
    assert visitor.failures == ["GET: 401 said"] * (WRITES_EVERY - 1)


def test_whatever_ends_the_thread_fails_the_block() -> None:
    def send(*_: Any, **__: Any) -> httpx.Response:
        raise RuntimeError("out of words")

    def block() -> None:
        with Visitor(send) as visitor:
            until(lambda: visitor.error, "the thread to end", 10)

    with pytest.raises(RuntimeError, match="out of words"):
        block()

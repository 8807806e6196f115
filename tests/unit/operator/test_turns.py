"""Who may start a migration Job: never too many, no server left without, tenants never served first."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from hoa_operator.turns import Track, Turns, Wish, grants

if TYPE_CHECKING:
    from collections.abc import Iterator


def track(limit: int, servers: str, **under_way: str) -> Track:
    return Track(limit, list(servers), under_way)


def new(tenant: str, server: str = "a") -> Wish:
    return Wish(tenant, server, served=False)


def started(limit: int, servers: str, *line: Wish) -> Counter[str]:
    """Return how many Jobs each server has when everybody who may start did."""
    going = grants(track(limit, servers), line)
    return Counter(wish.server for wish in line if wish.tenant in going)


def test_one_server_may_have_them_all() -> None:
    assert started(12, "a", *(new(f"t{n}") for n in range(20))) == {"a": 12}


def test_jobs_that_hang_on_one_server_leave_room_for_the_others() -> None:
    hung = [new(f"hung-{n}") for n in range(40)]
    assert started(12, "ab", *hung) == {"a": 9}
    assert started(12, "ab", *hung, *(new(f"fine-{n}", "b") for n in range(9))) == {"a": 9, "b": 3}
    assert started(4, "ab", *hung, new("fine", "b")) == {"a": 3, "b": 1}


def test_many_servers_keep_at_most_half() -> None:
    assert started(12, "abcdefghijklmnopqrstuvwxyz", *(new(f"t{n}") for n in range(40))) == {"a": 6}


def test_tenants_never_served_go_before_upgrades() -> None:
    turns, old = Turns(), Wish("old", "a", served=True)
    turns.settle("old", old)
    turns.settle("new", new("new"))
    assert turns.due(track(1, "a")) == ["new"]
    assert turns.due(track(2, "a")) == ["new", "old"]
    assert (turns.may_start(old, track(1, "a")), turns.may_start(old, track(2, "a"))) == (False, True)
    assert turns.may_start(new("newer"), track(2, "a")), "it goes before an upgrade, although it comes last"
    assert not turns.may_start(new("newer"), track(1, "a"))
    turns.settle("new", Wish("new", "a", served=True))
    assert turns.due(track(2, "a")) == ["old", "new"], "who was served meanwhile stands with its like"
    assert turns.waiting == 2


def test_a_long_line_is_read_no_further_than_there_is_room() -> None:
    read = []

    def line() -> Iterator[Wish]:
        for number in range(1_000):
            read.append(number)
            yield new(f"t{number}")

    assert grants(track(2, "a", one="a", two="a"), line()) == []
    assert not read
    assert grants(track(3, "a", one="a", two="a"), line()) == ["t0"]
    assert read == [0]


@given(
    st.integers(1, 14),
    st.integers(1, 6),
    st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=40),
    st.integers(0, 14),
)
def test_the_limit_holds_and_nobody_waits_for_nothing(
    limit: int, servers: int, wishes: list[tuple[int, bool]], running: int
) -> None:
    line = [Wish(f"t{n}", str(server % servers), served) for n, (server, served) in enumerate(wishes)]
    under_way = {f"r{n}": "0" for n in range(running)}
    going = grants(Track(limit, [str(n) for n in range(servers)], under_way), line)
    assert len(going) <= max(0, limit - running)
    if line and running == 0:
        assert going


def test_a_turn_that_was_given_counts_before_its_job_is_seen() -> None:
    turns = Turns()
    assert turns.may_start(new("one"), track(1, "a"))
    turns.give(new("one"))
    assert not turns.may_start(new("two"), track(1, "a"))
    turns.settle("one", None)
    assert not turns.may_start(new("two"), track(1, "a", one="a"))
    assert turns.may_start(new("two"), track(1, "a"))


def test_the_line_keeps_its_order_and_whoever_is_next_is_due() -> None:
    turns, full, free = Turns(), track(1, "a", busy="a"), track(1, "a")
    for name in ("first", "second"):
        assert not turns.may_start(new(name), full)
        turns.settle(name, new(name))
    turns.settle("first", new("first"))
    assert turns.due(full) == []
    assert turns.due(free) == ["first"]
    assert not turns.may_start(new("second"), free)
    turns.settle("first", None)
    assert turns.due(free) == ["second"]
    turns.give(new("second"))
    assert turns.waiting == 0

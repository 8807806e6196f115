"""CI's share of all breaks: evenly spread, the same for one seed, and all of them in turn."""

from __future__ import annotations

import pytest

from tests.faults.breaks import all_breaks, percentile, spread
from tests.faults.entries import Entry, Recording

RECORDING = Recording(tuple(Entry("api", f"apply jobs {number}", 1) for number in range(10)), 0, 0)
ALL = all_breaks(RECORDING)


def test_every_entry_is_broken_in_both_ways() -> None:
    assert len(ALL) == 20
    assert {broken.mode for broken in ALL} == {"kill", "reply lost"}


def test_a_share_is_spread_evenly_and_moves_with_the_seed() -> None:
    assert [ALL.index(broken) for broken in spread(ALL, "4", 0)] == [0, 5, 10, 15]
    assert [ALL.index(broken) for broken in spread(ALL, "4", 3)] == [3, 8, 13, 18]
    assert {broken for seed in range(5) for broken in spread(ALL, "4", seed)} == set(ALL)


def test_all_is_all() -> None:
    assert spread(ALL, "all", 7) == ALL
    assert spread(ALL, "50", 7) == ALL


def test_breaks_are_chosen_by_how_their_names_begin() -> None:
    chosen = spread(ALL, "kill after api apply jobs 3; reply lost after api apply jobs 4", 7)
    assert [str(broken) for broken in chosen] == [
        "kill after api apply jobs 3 #1",
        "reply lost after api apply jobs 4 #1",
    ]
    with pytest.raises(LookupError, match="no break is named 'kill after lunch'"):
        spread(ALL, "kill after lunch", 7)


def test_percentiles_are_values_that_occurred() -> None:
    values = [float(number) for number in range(1, 101)]
    assert (percentile(values, 0.5), percentile(values, 0.99), percentile([4.0], 0.99)) == (50.0, 99.0, 4.0)

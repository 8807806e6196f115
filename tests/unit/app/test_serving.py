"""Which schemas this app serves, and which apps may serve its own."""

from __future__ import annotations

import pytest

from hoa_app.migrations import serving


def test_the_oldest_schema_served_is_a_revision_of_the_one_line() -> None:
    known = serving.known_revisions()
    assert known == [f"{place:04d}" for place in range(1, len(known) + 1)]
    assert serving.OLDEST_SERVED in known
    assert serving.head() == known[-1]


@pytest.mark.parametrize(
    ("revision", "old"), [(None, False), ("0001", True), (serving.OLDEST_SERVED, False), ("9999", False)]
)
def test_what_came_before_the_oldest_is_too_old(revision: str | None, old: bool) -> None:
    assert serving.is_too_old(revision) is old


@pytest.mark.parametrize(
    ("comment", "new"),
    [
        (None, False),
        ("", False),
        ("somebody's own words", False),
        (serving.note(), False),
        (f"served by apps from revision {serving.head()} on", False),
        ("served by apps from revision 9999 on", True),
    ],
)
def test_only_what_the_database_says_makes_it_too_new(comment: str | None, new: bool) -> None:
    assert serving.is_too_new(comment) is new

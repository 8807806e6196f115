"""Whose files the worker looks for: everyone's on record, again a day after none were left."""

from __future__ import annotations

from uuid import uuid4

from hoa_app.jobs.dropped import AGAIN_SECONDS, due


def test_everyone_on_record_is_looked_for_once_a_day() -> None:
    new, done, again = uuid4(), uuid4(), uuid4()
    cleared = {done: 1000.0, again: 999.0, uuid4(): 0.0}
    assert due([new, done, again], cleared, 999.0 + AGAIN_SECONDS) == [new, again]


def test_nobody_is_looked_for_who_is_not_on_record() -> None:
    assert due([], {uuid4(): 0.0}, 10 * AGAIN_SECONDS) == []

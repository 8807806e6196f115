"""An operator that ended by itself must have lost its lead, and have said so."""

from __future__ import annotations

import pytest

from tests.faults.ends import unexplained

LOST = '{"message": "lease hoa-connect is held by operator-1 now", "event": "lead lost", "level": "error"}'
AFTER = '{"finished": true, "event": "queue drained", "level": "info"}'
CRASH = 'Traceback (most recent call last):\n  File "leading.py", line 1\nRuntimeError: the watches ended by themselves'


def test_one_that_lost_its_lead_may_end() -> None:
    assert unexplained(1, f"not JSON\n17\n{LOST}\n{AFTER}\n") == ""


@pytest.mark.parametrize(
    ("code", "log", "why"),
    [
        (1, f"{LOST}\n{CRASH}", "an error that nothing handled"),
        (1, AFTER, "did not say 'lead lost'"),
        (0, AFTER, "did not say 'lead lost'"),
        (0, LOST, "not with the 1"),
        (-11, "", "did not say 'lead lost'"),
    ],
    ids=["crashed", "no reason", "silently well", "well", "by a signal"],
)
def test_any_other_end_is_told_with_the_end_of_the_log(code: int, log: str, why: str) -> None:
    told = unexplained(code, log)
    assert f"ended by itself with {code}, " in told
    assert why in told
    assert told.endswith(log)

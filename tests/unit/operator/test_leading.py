"""A new leader looks at once at what waits, and at what is settled in a while."""

from __future__ import annotations

import pytest

from hoa_operator.leading import is_settled

READY = {"metadata": {"generation": 3}, "status": {"observedGeneration": 3, "phase": "Ready"}}


def test_a_tenant_that_was_ready_as_it_is_now_can_wait() -> None:
    assert is_settled(READY)


@pytest.mark.parametrize(
    "change",
    [
        {"metadata": {"generation": 4}},
        {"metadata": {"generation": 3, "deletionTimestamp": "2026-01-01T00:00:00Z"}},
        {"status": {"observedGeneration": 3, "phase": "Degraded"}},
        {"status": None},
    ],
)
def test_what_somebody_changed_or_deleted_meanwhile_cannot(change: dict[str, object]) -> None:
    assert not is_settled({**READY, **change})

"""A new leader looks at once at what waits, at what is settled in a while, and inside it later still."""

from __future__ import annotations

from random import Random
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import MagicMock

import pytest
from structlog.testing import capture_logs

from hoa_operator.dispatch import Key
from hoa_operator.errors import WorldError
from hoa_operator.leading import Leader
from hoa_operator.usage import is_settled, was_well_inside

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


def conditions(**changed: tuple[str, str]) -> list[dict[str, str]]:
    known = {"DatabaseReady": ("True", "Provisioned"), "WelcomeMailSent": ("True", "Sent"), **changed}
    return [{"type": kind, "status": status, "reason": reason} for kind, (status, reason) in known.items()]


def with_conditions(found: list[dict[str, str]]) -> dict[str, object]:
    return {**READY, "status": {"observedGeneration": 3, "phase": "Ready", "conditions": found}}


def test_a_database_that_had_nothing_left_to_tell_can_wait_longer() -> None:
    assert was_well_inside(with_conditions(conditions()))
    assert was_well_inside(with_conditions(conditions(WelcomeMailSent=("True", "IsOwner"))))


@pytest.mark.parametrize(
    "changed",
    [
        {"DatabaseReady": ("True", "UsageUnreadable")},
        {"WelcomeMailSent": ("False", "Queued")},
        {"WelcomeMailSent": ("Unknown", "UsageUnreadable")},
    ],
)
def test_one_that_had_something_to_tell_cannot(changed: dict[str, tuple[str, str]]) -> None:
    assert is_settled(with_conditions(conditions(**changed)))
    assert not was_well_inside(with_conditions(conditions(**changed)))


def test_nor_one_of_which_nothing_is_known_or_that_was_changed() -> None:
    assert not was_well_inside(READY)
    assert not was_well_inside({**with_conditions(conditions()), "metadata": {"generation": 4}})


async def reconciled(error: Exception) -> tuple[list[Any], list[str]]:
    """Return when it is tried again, and what was logged, if a reconcile ends so."""

    async def fail(_: str) -> None:
        raise error

    leader = MagicMock(
        _work={"server": fail}, _random=Random(1), _settings=SimpleNamespace(timing=SimpleNamespace(resync=300.0))
    )
    with capture_logs() as logs:
        await Leader._reconcile(cast("Leader", leader), Key("server", "default"))
    return [call.args[1] for call in leader.queue.add_after.call_args_list], [entry["event"] for entry in logs]


async def test_what_could_not_be_said_in_a_status_is_tried_again_and_breaks_nothing() -> None:
    times, logged = await reconciled(WorldError("LeadUncertain", "nothing is written until it is certain"))
    assert logged == ["reconcile failed"]
    assert times[0] < 10, "soon, and not only when it would have been looked at anyway"


async def test_what_nobody_thought_of_is_logged_whole_and_tried_again_later() -> None:
    times, logged = await reconciled(KeyError("surprise"))
    assert logged == ["reconcile broke"]
    assert 10 < times[0] <= 60

"""What a person reads: a tenant's pending condition, aligned tables, the closing summary."""

from typing import Any

import pytest

from hack.cluster import chart, report, shell
from hack.testing import levels, summary


def tenant(conditions: list[dict[str, str]], generation: int = 1) -> dict[str, Any]:
    status = {"observedGeneration": 1, "conditions": conditions}
    return {"metadata": {"name": "seabreeze", "generation": generation}, "status": status}


def condition(name: str, status: str, reason: str = "R", message: str = "m") -> dict[str, str]:
    return {"type": name, "status": status, "reason": reason, "message": message}


def test_a_ready_tenant_waits_for_nothing() -> None:
    assert chart.pending(tenant([condition("Ready", "True"), condition("WelcomeMailSent", "False")])) == ""


def test_ready_for_an_older_spec_is_not_ready() -> None:
    assert chart.pending(tenant([condition("Ready", "True")], generation=2)) == "Ready: R: m"


def test_the_first_thing_that_is_missing_is_named() -> None:
    told = chart.pending(
        tenant([condition("Ready", "False"), condition("DatabaseReady", "True"), condition("SchemaCurrent", "False")])
    )
    assert told == "SchemaCurrent: R: m"


def test_a_stalled_tenant_tells_why_it_is_not_ready() -> None:
    conditions = [
        condition("Ready", "False", "TierUnknown", "There is no HOATier gold"),
        condition("Stalled", "True"),
        condition("RouteReady", "Unknown"),
    ]
    assert chart.pending(tenant(conditions)) == "Ready: TierUnknown: There is no HOATier gold"


def test_a_tenant_nobody_has_seen() -> None:
    assert chart.pending({"metadata": {"generation": 1}}) == "the operator has not looked at it yet"


def test_columns_are_aligned() -> None:
    assert report.table([("A", "B"), ("long", "x")]) == ["A      B", "long   x"]


@pytest.mark.parametrize(("seconds", "text"), [(0.04, "0.0s"), (59.4, "59.4s"), (60, "1m00s"), (671, "11m11s")])
def test_durations(seconds: float, text: str) -> None:
    assert shell.duration(seconds) == text


def test_the_summary_ends_in_pytests_words() -> None:
    results = [
        ("check", "", 12.0),
        ("unit", "=== 200 passed, 2 warnings in 3.50s ===", 4.0),
        ("e2e", "=== 1 failed, 9 passed in 75.25s (0:01:15) ===", 200.0),
    ]
    assert summary.lines(results) == [
        "",
        "Summary",
        "  check         12.0s   well",
        "  unit           4.0s   200 passed, 2 warnings in 3.50s",
        "  e2e           3m20s   1 failed, 9 passed in 75.25s (0:01:15)",
        "==================== 209 passed, 2 warnings, 1 failed in 78.75s ====================",
    ]


@pytest.mark.parametrize(
    ("output", "line"),
    [
        ("a.py ..\n=== 2 passed in 0.10s ===\n", "=== 2 passed in 0.10s ==="),
        ("=== 1 passed in 75.25s (0:01:15) ===\nafterwards\n", "=== 1 passed in 75.25s (0:01:15) ==="),
        ("=== test session starts ===\nINTERNALERROR\n", ""),
    ],
)
def test_pytests_closing_line_is_found(output: str, line: str) -> None:
    assert levels.last_line(output) == line

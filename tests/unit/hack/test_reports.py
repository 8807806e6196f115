"""What a person reads: a tenant's pending condition, aligned tables, the closing summary."""

from typing import Any

import pytest

from hack.cluster import chart, report, shell
from hack.cluster.paths import Paths
from hack.testing import __main__ as verbs
from hack.testing import checks, install, levels, summary
from hack.testing.summary import Failure, Result


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
        Result("check", "", 12.0),
        Result("unit", "=== 200 passed, 2 warnings in 3.50s ===", 4.0),
        Result("e2e", "=== 1 failed, 9 passed in 75.25s (0:01:15) ===", 200.0),
    ]
    assert summary.lines(results) == [
        "",
        "Summary",
        "  check         12.0s   well",
        "  unit           4.0s   200 passed, 2 warnings in 3.50s",
        "  e2e           3m20s   1 failed, 9 passed in 75.25s (0:01:15)",
        "==================== 209 passed, 2 warnings, 1 failed in 78.75s ====================",
    ]


def test_the_summary_tells_of_unsteady_tests_why_they_failed() -> None:
    text = "=== 1 failed, 9 passed in 2.00s === / second try: === 1 passed, 9 deselected in 1.00s ==="
    failure = Failure("tests/faults/test_a.py::test_a", "AssertionError: waited 20 s\nassert 1 == 2\n" + "more\n" * 100)
    steady, unsteady = Result("unit", "=== 200 passed in 3.50s ===", 4.0), Result("faults", text, 4.0, (failure,))
    told = summary.lines([steady, unsteady, Result("e2e", text, 4.0, (failure,))])
    (line,) = [place for place, line in enumerate(told) if "UNSTEADY" in line]
    assert "faults 1, e2e 1." in told[line]
    assert told[line + 1] == "    tests/faults/test_a.py::test_a"
    assert told[line + 2].startswith("      AssertionError: waited 20 s\n      assert 1 == 2\n      more")
    assert told[line + 2].count("\n") < 20, "the whole is told above"
    assert len(told) == line + 6, "beside the last line, where everybody looks"


def tries(monkeypatch: pytest.MonkeyPatch, *outcomes: levels.Ended) -> None:
    """Let pytest end so, one time after another."""
    left = iter(outcomes)
    monkeypatch.setattr(levels, "_run_pytest", lambda *_: next(left))


def test_a_test_that_passes_at_the_second_try_is_unsteady(monkeypatch: pytest.MonkeyPatch) -> None:
    failures = tuple(Failure(f"tests/faults/test_a.py::test_{each}", "assert 40 < 40") for each in "ab")
    first = levels.Ended(1, "=== 2 failed in 1.00s ===", failures)
    tries(monkeypatch, first, levels.Ended(0, "=== 2 passed in 1.00s ==="))
    passed = levels._pytest(levels.Level("faults"), Paths.from_env(), {})
    assert passed.unsteady == failures
    assert "second try: === 2 passed in 1.00s" in passed.last


def test_a_test_that_fails_twice_fails_the_level(monkeypatch: pytest.MonkeyPatch) -> None:
    failed = levels.Ended(1, "=== 1 failed ===", (Failure("tests/faults/test_a.py::test_a", "assert 40 < 40"),))
    tries(monkeypatch, failed, failed)
    with pytest.raises(shell.ClusterError, match="faults failed") as refused:
        levels._pytest(levels.Level("faults"), Paths.from_env(), {})
    assert "test_a.py::test_a\n      assert 40 < 40" in refused.value.hint


def test_what_must_never_happen_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "tests/faults/test_a.py::test_a[tombstone, and back]"
    failed = tuple(map(Failure, (name, "tests/faults/test_a.py::test_b")))
    first = levels.Ended(1, "=== 2 failed ===", failed, (name,))
    tries(monkeypatch, first, levels.Ended(0, "=== 2 passed ==="))
    with pytest.raises(shell.ClusterError, match="faults failed, and are not tried again: === 2 failed") as refused:
        levels._pytest(levels.Level("faults"), Paths.from_env(), {})
    assert name in refused.value.hint


def test_what_must_never_happen_is_read_from_pytests_summary() -> None:
    output = """
E   AssertionError: a run within this one said
NEVER: whatever a program under test may print
E   NEVER: tests/unit/test_x.py::test_quoted
=========================== short test summary info ============================
NEVER: tests/faults/test_a.py::test_a[tombstone, and back]
FAILED tests/faults/test_a.py::test_a[tombstone, and back] - tests.never.Never
=== 1 failed, 2 passed in 2.00s ===
"""
    found = levels.ended(1, output)
    assert found.never == ("tests/faults/test_a.py::test_a[tombstone, and back]",)
    assert (found.code, found.last) == (1, "=== 1 failed, 2 passed in 2.00s ===")


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


def test_a_level_that_fails_does_not_keep_the_next_from_running(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(level: levels.Level, *_: object) -> levels.Passed:
        if level.name == "contract":
            raise shell.ClusterError(
                "Tests of the level contract failed: === 1 failed in 2.00s ===", "Run them again: pytest"
            )
        return levels.Passed("=== 3 passed in 1.00s ===")

    monkeypatch.setattr(levels, "run", run)
    monkeypatch.setattr(install, "ensure_venv", lambda _: None)
    monkeypatch.setattr(checks, "run_all", lambda _: None)
    assert verbs.main(["all"]) == 1
    told = capsys.readouterr().out
    assert "FAILED: Tests of the level contract failed" in told
    assert "Run them again: pytest" in told
    assert told.count("3 passed in 1.00s") == len(levels.LEVELS) - 1

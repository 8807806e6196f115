"""Names, in pytest's summary, the tests that found what must not happen even once (tests/never.py)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.never import happened

if TYPE_CHECKING:
    from collections.abc import Generator


NEVER = "never"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Mark the tests that failed by what must not happen even once; the mark travels with the report between processes."""
    report = yield
    if report.failed and call.excinfo is not None and happened(call.excinfo.value):
        report.user_properties.append((NEVER, report.when))
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name them, a line each: hack/testing/levels.py tries none of them again."""
    for outcome in ("failed", "error"):
        for report in terminalreporter.stats.get(outcome, []):
            if any(name == NEVER and when == report.when for name, when in getattr(report, "user_properties", ())):
                terminalreporter.write_line(f"NEVER: {report.nodeid}")

"""Fixture: what a test has to say besides passing or failing, shown as soon as it has ended, whichever process ran it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

_TOLD = "told"


@pytest.fixture
def told(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Say a line; it travels with the test's report between processes."""
    return partial(record_property, _TOLD)


class _Teller:
    def __init__(self, reporter: pytest.TerminalReporter) -> None:
        self._reporter = reporter

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Show what the test said."""
        for name, line in report.user_properties if report.when == "call" else ():
            if name == _TOLD:
                self._reporter.write(f"\n{line}\n")


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Tell where there is a terminal: not in those among whom the first process shares the tests."""
    reporter = config.pluginmanager.getplugin("terminalreporter")
    if reporter is not None and not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Teller(reporter))

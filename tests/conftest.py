"""What more than one level uses: the run's options, the real Postgres and the real Kubernetes API."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler.loadscope import LoadScopeScheduling

#: Where a run notes the tests that failed and why, a line of JSON each, when it is asked to.
FAILED = "HOA_TESTS_FAILED"

pytest_plugins = [
    "tests.fix_never",
    "tests.fix_told",
    "tests.fix_postgres",
    "tests.cluster.fix_api",
    "tests.cluster.fix_platform",
    "tests.cluster.fix_earlier",
    "tests.faults.fix_grounds",
]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options that more than one level reads."""
    parser.addoption(
        "--kubernetes-bin",
        default=None,
        help="folder of kube-apiserver, kube-controller-manager, kubectl and helm, instead of those hack/ builds",
    )


class ByServer(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    """Where two processes share a level's tests: those of a file stay together, and those of one kind of server, which are
    made once for all."""

    def _split_scope(self, nodeid: str) -> str:
        kind = re.search(r"\[(?:.*-)?(superuser|limited)(?:-.*)?\]$", nodeid)
        return kind[1] if kind else nodeid.partition("::")[0]


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByServer:
    """Distribute tests so, whatever is asked for."""
    return ByServer(config, log)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note what failed, and its own short words on why."""
    path = os.environ.get(FAILED)
    if report.failed and path and not os.environ.get("PYTEST_XDIST_WORKER"):
        with Path(path).open("a") as lines:
            crash = getattr(report.longrepr, "reprcrash", None)
            why = crash.message if crash is not None else report.longreprtext
            lines.write(json.dumps({"name": report.nodeid, "why": why}) + "\n")

"""What more than one level uses: the run's options, the real Postgres and the real Kubernetes API."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

#: Where a run notes the tests that failed, a line each, when it is asked to.
FAILED = "HOA_TESTS_FAILED"

pytest_plugins = [
    "tests.fix_never",
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


def pytest_itemcollected(item: pytest.Item) -> None:
    """Where several processes share a level's tests, those of one file stay together, and those of one kind of server."""
    kind = (
        item.callspec.params.get("server") if isinstance(item, pytest.Function) and hasattr(item, "callspec") else None
    )
    item.add_marker(pytest.mark.xdist_group(str(kind or item.path.name)))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note what failed; the group behind a name is of that run only."""
    path = os.environ.get(FAILED)
    if report.failed and path and not os.environ.get("PYTEST_XDIST_WORKER"):
        with Path(path).open("a") as lines:
            lines.write(report.nodeid.rpartition("@")[0] or report.nodeid)
            lines.write("\n")

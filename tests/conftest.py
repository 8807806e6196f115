"""What more than one level uses: the run's options, the real Postgres and the real Kubernetes API."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

pytest_plugins = [
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

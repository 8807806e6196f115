"""What every level shares: the run's options and the real Postgres."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

pytest_plugins = ["tests.fix_postgres"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options that more than one level reads."""
    parser.addoption(
        "--kubernetes-bin",
        default=None,
        help="folder of kube-apiserver, kube-controller-manager, kubectl and helm, instead of those hack/ builds",
    )

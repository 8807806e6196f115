"""Whom a pod asks for a connection: those that hold what its tenant may have, and nobody where the server itself is full."""

from __future__ import annotations

import time
from typing import Any

import psycopg
import pytest

from hoa_app.db import proof
from hoa_app.db.session import TenantConnection
from hoa_app.problems import Problem


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ('FATAL:  too many connections for role "x_app"', True),
        ('FATAL:  too many connections for database "x"', True),
        ("FATAL:  sorry, too many clients already", False),
        ("FATAL:  remaining connection slots are reserved for roles with the SUPERUSER attribute", False),
    ],
)
async def test_only_pods_that_can_help_are_told(monkeypatch: pytest.MonkeyPatch, said: str, told: bool) -> None:
    async def refuse(**_: Any) -> None:
        raise psycopg.OperationalError(said)

    monkeypatch.setattr(TenantConnection, "connect", refuse)
    asked: list[bool] = []
    until = time.monotonic() + 0.2
    with pytest.raises(psycopg.OperationalError) as caught:
        await proof._connect({}, proof.Waiting(until, lambda: until, lambda: asked.append(True)))
    assert bool(asked) is told
    problem = proof.problem_of(caught.value)
    assert isinstance(problem, Problem)
    assert (problem.status, problem.detail) == (503, "Every database connection is in use.")

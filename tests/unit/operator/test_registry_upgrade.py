"""The registry is migrated in a process of its own, and what goes wrong there is said here."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from hoa_operator import registry_setup
from hoa_operator.errors import WorldError
from hoa_operator.postgres.model import AdminLogin, ServerAddress
from hoa_operator.registry_setup import ConnectionDirectory

NOWHERE = ConnectionDirectory(
    AdminLogin(ServerAddress("127.0.0.1", 1, "disable"), "someone", "hunter2", "postgres"), "registry"
)
GIVEN = {"host": "127.0.0.1", "port": 1, "dbname": "registry", "user": "someone", "password": "hunter2"}


async def test_what_postgres_refuses_is_said_in_words() -> None:
    with pytest.raises(WorldError) as caught:
        await registry_setup._upgrade_apart(GIVEN, NOWHERE, "reader")
    assert caught.value.reason == "ServerUnreachable"
    assert "127.0.0.1:1" in caught.value.message
    assert "database registry" in caught.value.message
    assert "hunter2" not in caught.value.message


async def test_a_process_that_ends_without_a_word_is_said_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ended = tmp_path / "python"
    ended.write_text("#!/bin/sh\nexec sh -c 'kill -9 $$'\n")
    ended.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(ended))
    with pytest.raises(WorldError, match="ended with -9") as caught:
        await registry_setup._upgrade_apart(GIVEN, NOWHERE, "reader")
    assert caught.value.reason == "RegistryUpgradeEnded"

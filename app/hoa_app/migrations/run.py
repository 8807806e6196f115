"""Alembic driven over a connection that is open already; apart from the Job because importing alembic takes a while."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, create_engine
from sqlalchemy.pool import StaticPool

SCRIPTS = Path(__file__).parent


def upgrade(connection: psycopg.Connection[Any], revision: str, scripts: Path = SCRIPTS) -> None:
    """Upgrade to `revision`, a transaction per revision: after an error the database is at the last one that was done."""
    _run(connection, scripts, lambda config: command.upgrade(config, revision))


def downgrade(connection: psycopg.Connection[Any], revision: str) -> None:
    """Downgrade to `revision` (`base`: to nothing), a transaction per revision."""
    _run(connection, SCRIPTS, lambda config: command.downgrade(config, revision))


def _run(connection: psycopg.Connection[Any], scripts: Path, act: Any) -> None:
    engine = create_engine(
        "postgresql+psycopg://", creator=lambda: connection, poolclass=StaticPool, use_native_hstore=False
    )
    connection.autocommit = False
    try:
        with engine.connect() as wrapped:
            act(_config(wrapped, scripts))
            wrapped.commit()
    finally:
        if not connection.closed:  # it is, when it broke or when the process was told to end
            connection.rollback()
            connection.autocommit = True


def _config(connection: Connection, scripts: Path) -> Config:
    config = Config()
    config.set_main_option("script_location", str(scripts))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config

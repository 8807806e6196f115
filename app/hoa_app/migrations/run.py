"""Alembic driven over a connection that is open already; apart from the Job because importing alembic takes a while."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, create_engine
from sqlalchemy.pool import StaticPool


def upgrade(connection: psycopg.Connection[Any], revision: str) -> None:
    """Upgrade to `revision` in one transaction."""
    _run(connection, lambda config: command.upgrade(config, revision))


def downgrade(connection: psycopg.Connection[Any], revision: str) -> None:
    """Downgrade to `revision` (`base`: to nothing) in one transaction."""
    _run(connection, lambda config: command.downgrade(config, revision))


def _run(connection: psycopg.Connection[Any], act: Any) -> None:
    engine = create_engine(
        "postgresql+psycopg://", creator=lambda: connection, poolclass=StaticPool, use_native_hstore=False
    )
    connection.autocommit = False
    try:
        with engine.connect() as wrapped:
            act(_config(wrapped))
            wrapped.commit()
    finally:
        connection.rollback()
        connection.autocommit = True


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config

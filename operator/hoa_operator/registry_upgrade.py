"""The registry's migrations by alembic; apart from `registry_setup`, because importing alembic takes a while."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import sqlalchemy
from alembic import command
from alembic.config import Config

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def upgrade(given: Mapping[str, Any], scripts: Path, reader: str) -> None:
    """Upgrade the database that libpq's parameters lead to; alembic is synchronous."""
    config = Config()
    config.set_main_option("script_location", str(scripts))
    config.attributes["reader"] = reader
    engine = sqlalchemy.create_engine(
        "postgresql+psycopg://", creator=lambda: psycopg.connect(**given), poolclass=sqlalchemy.NullPool
    )
    try:
        with engine.connect() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except sqlalchemy.exc.DBAPIError as error:
        if isinstance(error.orig, psycopg.Error):
            raise error.orig from error
        raise
    finally:
        engine.dispose()

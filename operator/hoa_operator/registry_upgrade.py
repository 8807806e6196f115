"""The registry's migrations by alembic; apart from `registry_setup`, because importing alembic takes a while."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import sqlalchemy
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from hoa_operator.errors import Outdated

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def upgrade(given: Mapping[str, Any], scripts: Path, reader: str) -> None:
    """Upgrade the database that libpq's parameters lead to; alembic is synchronous, so run it in a thread."""
    config = Config()
    config.set_main_option("script_location", str(scripts))
    config.attributes["reader"] = reader
    engine = sqlalchemy.create_engine(
        "postgresql+psycopg://", creator=lambda: psycopg.connect(**given), poolclass=sqlalchemy.NullPool
    )
    try:
        with engine.connect() as connection:
            config.attributes["connection"] = connection
            _refuse_later(config, connection)
            command.upgrade(config, "head")
    except sqlalchemy.exc.DBAPIError as error:
        if isinstance(error.orig, psycopg.Error):
            raise error.orig from error
        raise
    finally:
        engine.dispose()


def _refuse_later(config: Config, connection: sqlalchemy.Connection) -> None:
    """Raise where a later build has migrated the registry: what that one knows of tenants, this one would lose."""
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    found = set(MigrationContext.configure(connection).get_current_heads())
    connection.rollback()
    if found - known:
        raise Outdated(
            f"the registry is at revision {', '.join(sorted(found - known))}, made by a later build of the operator; this one "
            f"knows {', '.join(sorted(known))}. Tenants are served as they are. Install the later build again"
        )

"""The registry's migrations by alembic, in a process of their own: `python -m hoa_operator.registry_upgrade`.

alembic and SQLAlchemy would stay in the operator's memory for good. What to do comes as JSON on the standard input, with the
password; the standard output is empty, or has the reason and the message of what went wrong.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import psycopg
import sqlalchemy
from alembic import command
from alembic.config import Config

from hoa_operator.postgres.failures import explain


def upgrade(given: dict[str, Any], scripts: str, reader: str) -> None:
    """Upgrade the database that libpq's parameters lead to."""
    config = Config()
    config.set_main_option("script_location", scripts)
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


def main() -> int:
    """Do what is asked for."""
    asked = json.load(sys.stdin)
    try:
        upgrade(asked["given"], asked["scripts"], asked["reader"])
    except psycopg.Error as error:
        told = explain(error, f"{asked['where']}, database {asked['given']['dbname']}")
        json.dump({"reason": told.reason, "message": told.message}, sys.stdout)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

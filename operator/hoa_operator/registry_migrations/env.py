"""Alembic's entry: runs on the connection that `registry_setup` opened and locked; there is no offline mode."""

from alembic import context

connection = context.config.attributes["connection"]
context.configure(connection=connection, transaction_per_migration=True)
with context.begin_transaction():
    context.run_migrations()

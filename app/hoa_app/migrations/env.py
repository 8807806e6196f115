"""Alembic's entry: it runs on the connection that hoa_app.migrate has already opened, locked and given its role.

Every revision is a transaction of its own, so that locks are held for the moments that one takes.
"""

from __future__ import annotations

from alembic import context

if context.is_offline_mode():  # to write its SQL down (hack/migrations)
    context.configure(dialect_name="postgresql", dialect_opts={"paramstyle": "named"}, transaction_per_migration=True)
else:
    connection = context.config.attributes["connection"]
    context.configure(connection=connection, target_metadata=None, transaction_per_migration=True)
with context.begin_transaction():
    context.run_migrations()

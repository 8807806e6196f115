"""The order of the list of people as an index, so that a page in its middle costs what the first one does."""

from __future__ import annotations

from alembic import op

from hoa_app.migrations.online import create_index, drop_index

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Beside the index of the version before, which goes on listing by it."""
    create_index(op, "people_order", 'people (name COLLATE "und-x-icu", id)')


def downgrade() -> None:
    """The list is sorted again for each page."""
    drop_index(op, "people_order")

"""When retained data may be dropped, who is about to take it over, and that a drop has begun."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; what was retained before is kept until a person acts."""
    op.execute(
        "ALTER TABLE placements ADD COLUMN drop_after timestamptz, ADD COLUMN dropping_since timestamptz,"
        " ADD COLUMN claimants uuid[] NOT NULL DEFAULT '{}', ADD COLUMN abandoned boolean NOT NULL DEFAULT false"
    )

"""Which Kubernetes cluster's operator writes the registry; null until the first one that can say so has taken it."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column beside the leader's number."""
    op.execute("ALTER TABLE operator_epoch ADD COLUMN cluster uuid")

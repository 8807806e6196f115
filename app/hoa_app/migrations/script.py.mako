"""${message}"""

from alembic import op

revision = "${up_revision}"
down_revision = ${repr(down_revision)}


def upgrade() -> None:
    """Expand only: the version of the app before this one goes on serving while it runs."""
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    """Back to the schema before."""
    ${downgrades if downgrades else "pass"}

"""Since when a row names the app login that it does: no other change of the row touches it, whichever build writes."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

TRIGGER = """
CREATE FUNCTION tenants_login() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.login_changed_at := clock_timestamp();
    RETURN NEW;
END
$$;
REVOKE EXECUTE ON FUNCTION tenants_login() FROM PUBLIC;
CREATE TRIGGER tenants_login BEFORE UPDATE ON tenants
    FOR EACH ROW WHEN (OLD.database ->> 'username' IS DISTINCT FROM NEW.database ->> 'username')
    EXECUTE FUNCTION tenants_login();
"""


def upgrade() -> None:
    """Add the column; null, until a login changes, means no later than the row's last change."""
    op.execute("ALTER TABLE tenants ADD COLUMN login_changed_at timestamptz")
    op.execute(TRIGGER)

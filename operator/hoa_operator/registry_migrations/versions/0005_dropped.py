"""Whose database was dropped: what has the worker remove a tenant's files, and nothing else does."""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

TABLE = """
CREATE TABLE dropped_tenants (
    tenant_id uuid PRIMARY KEY,
    dropped_at timestamptz NOT NULL DEFAULT now()
);
GRANT SELECT ON dropped_tenants TO "{reader}";
"""

TRIGGER = """
CREATE FUNCTION tenants_back() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM dropped_tenants WHERE tenant_id = NEW.tenant_id;
    RETURN NULL;
END
$$;
REVOKE EXECUTE ON FUNCTION tenants_back() FROM PUBLIC;
CREATE TRIGGER tenants_back AFTER INSERT ON tenants FOR EACH ROW EXECUTE FUNCTION tenants_back();
"""


def upgrade() -> None:
    """Add the table; a tenant that is registered again takes its record away, whoever writes the row."""
    reader = op.get_context().config.attributes["reader"]  # type: ignore[union-attr]
    op.execute(TABLE.replace("{reader}", reader.replace('"', '""')))
    op.execute(TRIGGER)

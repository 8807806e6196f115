"""Tenants, the hosts they hold, where their data lies, and which operator may write."""

from __future__ import annotations

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TENANTS = """
CREATE TABLE tenants (
    tenant_id uuid PRIMARY KEY,
    uid uuid NOT NULL CONSTRAINT tenants_uid UNIQUE,
    namespace text NOT NULL,
    name text NOT NULL,
    slug text NOT NULL CHECK (slug = lower(slug) AND slug <> ''),
    hosts text[] NOT NULL DEFAULT '{}',
    display_name text NOT NULL,
    state text NOT NULL
        CHECK (state IN ('Provisioning', 'Active', 'ReadOnly', 'Suspended', 'Deleting', 'Deleted')),
    placement text NOT NULL CHECK (placement IN ('Shared', 'Dedicated')),
    tier text NOT NULL CHECK (tier NOT IN ('', 'Auto')),
    limits jsonb NOT NULL CHECK (jsonb_typeof(limits) = 'object'),
    branding jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(branding) = 'object'),
    database jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(database) = 'object'),
    sealed_password bytea,
    sealed_signing_keys bytea,
    schema_revision text,
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT tenants_served_complete CHECK (
        state NOT IN ('Active', 'ReadOnly', 'Suspended')
        OR (sealed_password IS NOT NULL AND sealed_signing_keys IS NOT NULL AND cardinality(hosts) > 0
            AND database ?& ARRAY['host', 'port', 'dbname', 'username', 'sslmode'])
    )
);
CREATE UNIQUE INDEX tenants_slug ON tenants (slug) WHERE state <> 'Deleted';
CREATE UNIQUE INDEX tenants_name ON tenants (namespace, name) WHERE state <> 'Deleted';

CREATE TABLE tenant_hosts (
    host text PRIMARY KEY CHECK (host = lower(host) AND host !~ '[:/ ]' AND host <> ''),
    tenant_id uuid NOT NULL REFERENCES tenants ON DELETE CASCADE
);
CREATE INDEX tenant_hosts_tenant ON tenant_hosts (tenant_id);
"""

PLACEMENTS = """
CREATE TABLE placements (
    tenant_id uuid PRIMARY KEY REFERENCES tenants ON DELETE CASCADE,
    server_name text NOT NULL,
    system_identifier text NOT NULL,
    database_oid bigint,
    created_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz
);
CREATE INDEX placements_server ON placements (server_name);

CREATE TABLE operator_epoch (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    epoch bigint NOT NULL,
    holder text NOT NULL,
    since timestamptz NOT NULL DEFAULT now()
);
INSERT INTO operator_epoch (epoch, holder) VALUES (0, 'nobody');
"""

TRIGGERS = """
CREATE FUNCTION tenants_touch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at := clock_timestamp();
    RETURN NEW;
END
$$;
CREATE TRIGGER tenants_touch BEFORE UPDATE ON tenants
    FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION tenants_touch();

CREATE FUNCTION tenants_notify() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('hoa_tenants', coalesce(NEW.tenant_id, OLD.tenant_id)::text);
    RETURN NULL;
END
$$;
CREATE TRIGGER tenants_notify_insert_delete AFTER INSERT OR DELETE ON tenants
    FOR EACH ROW EXECUTE FUNCTION tenants_notify();
CREATE TRIGGER tenants_notify_update AFTER UPDATE ON tenants
    FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION tenants_notify();
"""

GRANTS = """
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO "{reader}";
GRANT SELECT ON tenants, tenant_hosts TO "{reader}";
REVOKE EXECUTE ON FUNCTION tenants_touch(), tenants_notify() FROM PUBLIC;
"""


def upgrade() -> None:
    """Make the registry; the reader's role exists already."""
    reader = op.get_context().config.attributes["reader"]  # type: ignore[union-attr]
    for script in (TENANTS, PLACEMENTS, TRIGGERS, GRANTS.replace("{reader}", reader.replace('"', '""'))):
        op.execute(script)

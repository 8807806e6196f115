"""Identity, isolation, outbox, audit, settings and usage: what every tenant database holds before any feature."""

from __future__ import annotations

from alembic import op

from hoa_app.migrations.rls import tenant_table, usage_figure

revision = "0001"
down_revision = None

TENANCY = """
CREATE TABLE tenant_identity (
    tenant_id uuid PRIMARY KEY,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX tenant_identity_one_row ON tenant_identity ((true));

CREATE TABLE tenant_roles (
    role_name name PRIMARY KEY,
    tenant_id uuid NOT NULL
);
ALTER TABLE tenant_roles ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_row ON tenant_roles FOR SELECT USING (role_name = session_user);

CREATE FUNCTION current_tenant() RETURNS uuid
LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    granted uuid;
BEGIN
    SELECT r.tenant_id INTO granted FROM tenant_roles r WHERE r.role_name = session_user;
    IF granted IS NULL OR granted::text IS DISTINCT FROM lower(current_setting('app.current_tenant', true)) THEN
        IF EXISTS (SELECT FROM tenant_roles) THEN
            RAISE insufficient_privilege USING
                MESSAGE = format('role %s may not act for the tenant its session names', session_user),
                HINT = 'tenant_roles grants the tenant, and app.current_tenant is set on the role; the two must agree.';
        END IF;
        -- No tenant yet, as in a template: nothing is visible and nothing can be written. Checking a new foreign key
        -- asks the policies even of empty tables, so raising here would stop the migration that makes them.
        RETURN NULL;
    END IF;
    RETURN granted;
END
$$;
"""

TABLES: dict[str, tuple[str, ...]] = {
    "users": (
        """CREATE TABLE users (
            id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
            email text NOT NULL CHECK (length(email) BETWEEN 3 AND 254 AND position('@' in email) > 1),
            name text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
            role text NOT NULL CHECK (role IN ('owner', 'manager', 'board', 'homeowner')),
            password_hash text,
            disabled_at timestamptz,
            terms_version text,
            terms_accepted_at timestamptz,
            last_sign_in_at timestamptz,
            created_at timestamptz NOT NULL DEFAULT now(),
            updated_at timestamptz NOT NULL DEFAULT now()
        )""",
        "CREATE UNIQUE INDEX users_email ON users (tenant_id, lower(email))",
    ),
    "sessions": (
        """CREATE TABLE sessions (
            id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
            token_hash bytea NOT NULL CHECK (length(token_hash) = 32),
            user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
            via text NOT NULL DEFAULT 'browser' CHECK (via IN ('browser', 'api')),
            user_agent text NOT NULL DEFAULT '',
            ip text NOT NULL DEFAULT '',
            created_at timestamptz NOT NULL DEFAULT now(),
            last_seen_at timestamptz NOT NULL DEFAULT now(),
            expires_at timestamptz NOT NULL,
            revoked_at timestamptz
        )""",
        "CREATE UNIQUE INDEX sessions_token_hash ON sessions (token_hash)",
        "CREATE INDEX sessions_user ON sessions (user_id)",
        "CREATE INDEX sessions_last_seen ON sessions (last_seen_at)",
    ),
    "api_tokens": (
        """CREATE TABLE api_tokens (
            id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
            user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
            name text NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
            token_hash bytea NOT NULL CHECK (length(token_hash) = 32),
            created_at timestamptz NOT NULL DEFAULT now(),
            last_used_at timestamptz,
            expires_at timestamptz NOT NULL,
            revoked_at timestamptz
        )""",
        "CREATE UNIQUE INDEX api_tokens_token_hash ON api_tokens (token_hash)",
        "CREATE INDEX api_tokens_user ON api_tokens (user_id)",
    ),
    "invitations": (
        """CREATE TABLE invitations (
            id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
            email text NOT NULL CHECK (length(email) BETWEEN 3 AND 254 AND position('@' in email) > 1),
            name text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
            role text NOT NULL CHECK (role IN ('owner', 'manager', 'board', 'homeowner')),
            person_id uuid,
            invited_by uuid REFERENCES users ON DELETE SET NULL,
            token_hash bytea CHECK (length(token_hash) = 32),
            created_at timestamptz NOT NULL DEFAULT now(),
            sent_at timestamptz,
            expires_at timestamptz NOT NULL DEFAULT now() + interval '14 days',
            accepted_at timestamptz,
            accepted_user_id uuid REFERENCES users ON DELETE SET NULL,
            revoked_at timestamptz
        )""",
        "CREATE UNIQUE INDEX invitations_token_hash ON invitations (token_hash)",
        "CREATE UNIQUE INDEX invitations_open_email ON invitations (tenant_id, lower(email))"
        " WHERE accepted_at IS NULL AND revoked_at IS NULL",
    ),
    "password_resets": (
        """CREATE TABLE password_resets (
            id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
            user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
            token_hash bytea CHECK (length(token_hash) = 32),
            requested_at timestamptz NOT NULL DEFAULT now(),
            expires_at timestamptz NOT NULL DEFAULT now() + interval '1 hour',
            used_at timestamptz
        )""",
        "CREATE UNIQUE INDEX password_resets_token_hash ON password_resets (token_hash)",
        "CREATE INDEX password_resets_user ON password_resets (user_id, requested_at)",
    ),
    "sign_in_failures": (
        """CREATE TABLE sign_in_failures (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            account_hash bytea NOT NULL,
            ip text NOT NULL,
            at timestamptz NOT NULL DEFAULT now()
        )""",
        "CREATE INDEX sign_in_failures_account ON sign_in_failures (account_hash, at)",
        "CREATE INDEX sign_in_failures_ip ON sign_in_failures (ip, at)",
        "CREATE INDEX sign_in_failures_at ON sign_in_failures (at)",
    ),
    "outbox": (
        """CREATE TABLE outbox (
            id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
            kind text NOT NULL,
            payload jsonb NOT NULL,
            dedupe_key text,
            state text NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'done', 'dead')),
            attempts integer NOT NULL DEFAULT 0,
            created_at timestamptz NOT NULL DEFAULT now(),
            next_attempt_at timestamptz NOT NULL DEFAULT now(),
            finished_at timestamptz,
            last_error text
        )""",
        "CREATE UNIQUE INDEX outbox_dedupe ON outbox (tenant_id, dedupe_key)",
        "CREATE INDEX outbox_due ON outbox (next_attempt_at) WHERE state = 'queued'",
        "CREATE INDEX outbox_finished ON outbox (finished_at) WHERE state <> 'queued'",
    ),
    "settings": (
        """CREATE TABLE settings (
            key text NOT NULL,
            value jsonb NOT NULL,
            updated_at timestamptz NOT NULL DEFAULT now()
        )""",
        "ALTER TABLE settings ADD PRIMARY KEY (tenant_id, key)",
    ),
    "usage_counters": (
        """CREATE TABLE usage_counters (
            name text NOT NULL,
            value bigint NOT NULL DEFAULT 0
        )""",
        "ALTER TABLE usage_counters ADD PRIMARY KEY (tenant_id, name)",
    ),
    "audit_heads": (
        "CREATE TABLE audit_heads (sequence bigint NOT NULL, hash bytea NOT NULL)",
        "ALTER TABLE audit_heads ADD PRIMARY KEY (tenant_id)",
    ),
    "audit_log": (
        """CREATE TABLE audit_log (
            sequence bigint NOT NULL,
            at timestamptz NOT NULL,
            actor_id uuid,
            actor_label text NOT NULL,
            action text NOT NULL,
            subject_type text NOT NULL,
            subject_id text,
            detail jsonb NOT NULL DEFAULT '{}',
            previous_hash bytea NOT NULL,
            hash bytea NOT NULL
        )""",
        "ALTER TABLE audit_log ADD PRIMARY KEY (tenant_id, sequence)",
        "CREATE INDEX audit_log_subject ON audit_log (subject_type, subject_id)",
    ),
}

# The chain: a row's hash covers its own columns and the hash of the row before it. The head is a row that only this
# trigger may touch, and locking it makes the order of the chain the order of the commits.
AUDIT = """
CREATE FUNCTION audit_row_hash(entry audit_log) RETURNS bytea
LANGUAGE sql STABLE SET search_path = public, pg_temp AS $$
    SELECT sha256(entry.previous_hash || convert_to(jsonb_build_array(
        entry.tenant_id, entry.sequence, extract(epoch FROM entry.at), entry.actor_id, entry.actor_label,
        entry.action, entry.subject_type, entry.subject_id, entry.detail)::text, 'UTF8'))
$$;

CREATE FUNCTION audit_log_chain() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    head audit_heads;
BEGIN
    INSERT INTO audit_heads (tenant_id, sequence, hash) VALUES (NEW.tenant_id, 0, '\\x') ON CONFLICT DO NOTHING;
    SELECT * INTO head FROM audit_heads h WHERE h.tenant_id = NEW.tenant_id FOR UPDATE;
    NEW.sequence := head.sequence + 1;
    NEW.at := clock_timestamp();
    NEW.previous_hash := head.hash;
    NEW.hash := audit_row_hash(NEW);
    UPDATE audit_heads h SET sequence = NEW.sequence, hash = NEW.hash WHERE h.tenant_id = NEW.tenant_id;
    RETURN NEW;
END
$$;
CREATE TRIGGER audit_log_chain BEFORE INSERT ON audit_log FOR EACH ROW EXECUTE FUNCTION audit_log_chain();

CREATE FUNCTION audit_log_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE insufficient_privilege USING MESSAGE = 'the audit log is append-only';
END
$$;
CREATE TRIGGER audit_log_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION audit_log_refuse();

CREATE FUNCTION audit_log_break() RETURNS bigint
LANGUAGE sql STABLE SET search_path = public, pg_temp AS $$
    SELECT min(sequence) FROM (
        SELECT a.sequence, a.hash, audit_row_hash(a) AS computed, a.previous_hash,
               coalesce(lag(a.hash) OVER (ORDER BY a.sequence), '\\x') AS before,
               row_number() OVER (ORDER BY a.sequence) AS place
        FROM audit_log a
    ) chain
    WHERE hash <> computed OR previous_hash <> before OR sequence <> place
$$;
COMMENT ON FUNCTION audit_log_break() IS 'Sequence of the first row that does not fit the chain; null when all do.';
"""

COUNTER = "SELECT coalesce((SELECT value FROM usage_counters WHERE name = '{}'), 0)"
FIGURES = {
    "homeowners": "SELECT count(*) FROM users WHERE role = 'homeowner' AND disabled_at IS NULL",
    "storage_bytes": COUNTER.format("storage_bytes"),
    "emails_sent": COUNTER.format("emails_sent"),
    "sms_sent": COUNTER.format("sms_sent"),
    "active_users": "SELECT count(DISTINCT user_id) FROM sessions WHERE last_seen_at > now() - interval '30 days'",
}

# The reader of the view is the server's administrator, not a tenant's login. The function acts for the one tenant this
# database belongs to, and only for the time it runs: it puts the setting back (a SET clause would need a superuser).
USAGE = """
CREATE FUNCTION usage_welcome_mail() RETURNS text LANGUAGE sql STABLE SET search_path = public, pg_temp AS $$
    SELECT coalesce((SELECT CASE state WHEN 'done' THEN 'Sent' WHEN 'dead' THEN 'Failed' ELSE 'Queued' END
                     FROM outbox WHERE dedupe_key LIKE 'welcome-mail:%' ORDER BY created_at DESC LIMIT 1), 'None')
$$;
REVOKE EXECUTE ON FUNCTION usage_welcome_mail() FROM PUBLIC;

CREATE FUNCTION usage_figures(OUT tenant_id uuid, OUT homeowners bigint, OUT storage_bytes bigint,
    OUT emails_sent bigint, OUT sms_sent bigint, OUT active_users bigint, OUT welcome_mail text,
    OUT schema_revision text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    before text := coalesce(current_setting('app.current_tenant', true), '');
BEGIN
    SELECT i.tenant_id INTO tenant_id FROM tenant_identity i;
    SELECT v.version_num INTO schema_revision FROM alembic_version v;
    IF tenant_id IS NULL THEN
        RETURN;
    END IF;
    PERFORM set_config('app.current_tenant', tenant_id::text, true);
    homeowners := usage_homeowners();
    storage_bytes := usage_storage_bytes();
    emails_sent := usage_emails_sent();
    sms_sent := usage_sms_sent();
    active_users := usage_active_users();
    welcome_mail := usage_welcome_mail();
    PERFORM set_config('app.current_tenant', before, true);
END
$$;
REVOKE EXECUTE ON FUNCTION usage_figures() FROM PUBLIC;

CREATE VIEW hoa_usage AS SELECT * FROM usage_figures();
"""


def upgrade() -> None:
    """Everything at once: there is no earlier schema."""
    op.execute(TENANCY)
    for name, (create, *rest) in TABLES.items():
        op.execute(create)
        tenant_table(op, name)
        for statement in rest:
            op.execute(statement)
    op.execute(AUDIT)
    for name, query in FIGURES.items():
        usage_figure(op, name, query)
    op.execute(USAGE)


def downgrade() -> None:
    """Leave nothing but alembic's own table."""
    op.execute("DROP VIEW hoa_usage")
    op.execute("DROP FUNCTION usage_figures(), usage_welcome_mail()")
    for name in FIGURES:
        op.execute(f"DROP FUNCTION usage_{name}()")
    op.execute("DROP TABLE audit_log CASCADE")
    op.execute("DROP FUNCTION audit_log_chain(), audit_log_refuse()")
    op.execute("DROP FUNCTION IF EXISTS audit_log_break(), audit_row_hash")
    for name in reversed([name for name in TABLES if name != "audit_log"]):
        op.execute(f"DROP TABLE {name}")
    op.execute("DROP FUNCTION current_tenant()")
    op.execute("DROP TABLE tenant_roles, tenant_identity")

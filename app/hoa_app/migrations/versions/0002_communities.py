"""Communities, units, people with dated ownership, imports of homeowners, and requests.

Every reference carries the tenant beside the id, so that a row can only point at rows of its own tenant, even where
tenants share a database.
"""

from __future__ import annotations

from alembic import op

from hoa_app.migrations.rls import tenant_table, usage_figure

revision = "0002"
down_revision = "0001"


def _reference(table: str, column: str, target: str, on_delete: str = "") -> str:
    return f"ALTER TABLE {table} ADD FOREIGN KEY (tenant_id, {column}) REFERENCES {target} (tenant_id, id) {on_delete}"


def _key(table: str) -> str:
    return f"ALTER TABLE {table} ADD UNIQUE (tenant_id, id)"


COMMUNITIES: dict[str, tuple[str, ...]] = {
    "communities": (
        """CREATE TABLE communities (
            id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
            name text NOT NULL CHECK (length(name) BETWEEN 1 AND 120),
            address text NOT NULL DEFAULT '' CHECK (length(address) <= 300),
            time_zone text NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            updated_at timestamptz NOT NULL DEFAULT now(),
            version integer NOT NULL DEFAULT 1
        )""",
        _key("communities"),
        "CREATE UNIQUE INDEX communities_name ON communities (tenant_id, lower(name))",
    ),
    "units": (
        r"""CREATE TABLE units (
            id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
            community_id uuid NOT NULL,
            label text NOT NULL CHECK (length(label) BETWEEN 1 AND 60),
            sort_key text NOT NULL GENERATED ALWAYS AS (
                regexp_replace(regexp_replace(lower(label), '(\d+)', '00000000\1', 'g'), '0*(\d{9})', '\1', 'g')
            ) STORED,
            address text NOT NULL DEFAULT '' CHECK (length(address) <= 300),
            created_at timestamptz NOT NULL DEFAULT now(),
            updated_at timestamptz NOT NULL DEFAULT now(),
            version integer NOT NULL DEFAULT 1
        )""",
        _key("units"),
        _reference("units", "community_id", "communities"),
        "CREATE UNIQUE INDEX units_label ON units (community_id, lower(label))",
        'CREATE INDEX units_order ON units (community_id, sort_key COLLATE "C", id)',
        "COMMENT ON COLUMN units.sort_key IS 'the label with its numbers padded, so that 2 comes before 10'",
    ),
}

PEOPLE: dict[str, tuple[str, ...]] = {
    "people": (
        """CREATE TABLE people (
            id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
            user_id uuid,
            name text NOT NULL CHECK (length(name) BETWEEN 1 AND 160),
            email text NOT NULL DEFAULT '' CHECK (email = lower(email) AND length(email) <= 254),
            phone text NOT NULL DEFAULT '' CHECK (length(phone) <= 40),
            mailing_address text NOT NULL DEFAULT '' CHECK (length(mailing_address) <= 300),
            created_at timestamptz NOT NULL DEFAULT now(),
            updated_at timestamptz NOT NULL DEFAULT now(),
            version integer NOT NULL DEFAULT 1
        )""",
        _key("people"),
        _reference("people", "user_id", "users", "ON DELETE SET NULL (user_id)"),
        "CREATE UNIQUE INDEX people_email ON people (tenant_id, email) WHERE email <> ''",
        "CREATE UNIQUE INDEX people_user ON people (user_id) WHERE user_id IS NOT NULL",
        'CREATE INDEX people_name ON people (lower(name) COLLATE "C", id)',
        _reference("invitations", "person_id", "people", "ON DELETE SET NULL (person_id)"),
        "CREATE INDEX invitations_person ON invitations (person_id) WHERE person_id IS NOT NULL",
    ),
    "ownerships": (
        # A range over uuid lets a built-in GiST operator compare ids exactly, with no extension to install.
        """CREATE TYPE uuidrange AS RANGE (subtype = uuid);
        CREATE TABLE ownerships (
            id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
            person_id uuid NOT NULL,
            unit_id uuid NOT NULL,
            valid_from date NOT NULL,
            valid_to date,
            is_primary boolean NOT NULL DEFAULT false,
            created_at timestamptz NOT NULL DEFAULT now(),
            updated_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT ownerships_dates CHECK (valid_to IS NULL OR valid_to > valid_from),
            CONSTRAINT ownerships_overlap EXCLUDE USING gist (
                uuidrange(person_id, person_id, '[]') WITH &&,
                uuidrange(unit_id, unit_id, '[]') WITH &&,
                daterange(valid_from, valid_to, '[)') WITH &&
            )
        )""",
        _key("ownerships"),
        _reference("ownerships", "person_id", "people"),
        _reference("ownerships", "unit_id", "units"),
        "CREATE INDEX ownerships_person ON ownerships (person_id)",
        "CREATE INDEX ownerships_unit ON ownerships (unit_id)",
        "CREATE UNIQUE INDEX ownerships_primary ON ownerships (unit_id) WHERE is_primary AND valid_to IS NULL",
        "COMMENT ON COLUMN ownerships.valid_to IS 'first day on which the person no longer owns the unit'",
    ),
}

IMPORTS: dict[str, tuple[str, ...]] = {
    "imports": (
        """CREATE TABLE imports (
            id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
            created_by uuid NOT NULL,
            filename text NOT NULL,
            state text NOT NULL DEFAULT 'Previewed' CHECK (state IN ('Previewed', 'Imported')),
            line_count integer NOT NULL,
            error_count integer NOT NULL,
            delimiter text NOT NULL,
            unknown_columns text[] NOT NULL DEFAULT '{}',
            counts jsonb NOT NULL DEFAULT '{}',
            created_at timestamptz NOT NULL DEFAULT now(),
            imported_at timestamptz
        )""",
        _key("imports"),
        _reference("imports", "created_by", "users", "ON DELETE CASCADE"),
        "CREATE INDEX imports_recent ON imports (created_at DESC)",
    ),
    "import_rows": (
        """CREATE TABLE import_rows (
            import_id uuid NOT NULL,
            line integer NOT NULL,
            community text NOT NULL,
            unit text NOT NULL,
            unit_address text NOT NULL,
            name text NOT NULL,
            email text NOT NULL,
            phone text NOT NULL,
            mailing_address text NOT NULL,
            owner_since date,
            is_primary boolean,
            person_key text NOT NULL,
            community_id uuid,
            unit_id uuid,
            person_id uuid,
            ownership_id uuid,
            outcome text CHECK (outcome IN ('New', 'Updated', 'Unchanged')),
            PRIMARY KEY (import_id, line)
        )""",
        _reference("import_rows", "import_id", "imports", "ON DELETE CASCADE"),
    ),
    "import_errors": (
        """CREATE TABLE import_errors (
            import_id uuid NOT NULL,
            place integer NOT NULL,
            line integer NOT NULL,
            column_name text NOT NULL,
            value text NOT NULL,
            problem text NOT NULL,
            remedy text NOT NULL,
            PRIMARY KEY (import_id, place)
        )""",
        _reference("import_errors", "import_id", "imports", "ON DELETE CASCADE"),
    ),
}

REQUESTS: dict[str, tuple[str, ...]] = {
    "requests": (
        """CREATE TABLE requests (
            id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
            number bigint GENERATED ALWAYS AS IDENTITY,
            created_by uuid NOT NULL,
            person_id uuid,
            community_id uuid,
            unit_id uuid,
            category text NOT NULL CHECK (category IN ('Maintenance', 'Architectural', 'Question')),
            title text NOT NULL CHECK (length(title) BETWEEN 1 AND 140),
            description text NOT NULL CHECK (length(description) BETWEEN 1 AND 5000),
            state text NOT NULL DEFAULT 'Submitted'
                CHECK (state IN ('Submitted', 'InReview', 'InProgress', 'Answered', 'Resolved', 'Closed', 'Reopened')),
            assignee_id uuid,
            submission_key uuid,
            version integer NOT NULL DEFAULT 1,
            changed_by uuid,
            created_at timestamptz NOT NULL DEFAULT now(),
            updated_at timestamptz NOT NULL DEFAULT now()
        )""",
        _key("requests"),
        "ALTER TABLE requests ADD UNIQUE (tenant_id, number)",
        _reference("requests", "created_by", "users"),
        _reference("requests", "changed_by", "users"),
        _reference("requests", "assignee_id", "users", "ON DELETE SET NULL (assignee_id)"),
        _reference("requests", "person_id", "people"),
        _reference("requests", "community_id", "communities"),
        _reference("requests", "unit_id", "units"),
        "CREATE INDEX requests_state ON requests (state, number DESC)",
        "CREATE INDEX requests_person ON requests (person_id, number DESC)",
        "CREATE INDEX requests_creator ON requests (created_by, number DESC)",
        "CREATE INDEX requests_community ON requests (community_id, state)",
        "CREATE INDEX requests_unit ON requests (unit_id)",
        "CREATE UNIQUE INDEX requests_submission ON requests (created_by, submission_key)"
        " WHERE submission_key IS NOT NULL",
        "COMMENT ON COLUMN requests.submission_key IS 'drawn with the form: one form sent twice files one request'",
    ),
    "request_comments": (
        """CREATE TABLE request_comments (
            id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
            request_id uuid NOT NULL,
            author_id uuid NOT NULL,
            visibility text NOT NULL CHECK (visibility IN ('Public', 'Internal')),
            body text NOT NULL CHECK (length(body) BETWEEN 1 AND 5000),
            submission_key uuid,
            created_at timestamptz NOT NULL DEFAULT clock_timestamp()
        )""",
        _reference("request_comments", "request_id", "requests", "ON DELETE CASCADE"),
        _reference("request_comments", "author_id", "users"),
        "CREATE INDEX request_comments_request ON request_comments (request_id, created_at)",
        "CREATE UNIQUE INDEX request_comments_submission ON request_comments (author_id, submission_key)"
        " WHERE submission_key IS NOT NULL",
    ),
    "request_events": (
        """CREATE TABLE request_events (
            id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
            request_id uuid NOT NULL,
            actor_id uuid NOT NULL,
            kind text NOT NULL CHECK (kind IN ('Submitted', 'Moved', 'Assigned', 'PhotosAdded')),
            detail jsonb NOT NULL DEFAULT '{}',
            created_at timestamptz NOT NULL DEFAULT clock_timestamp()
        )""",
        _reference("request_events", "request_id", "requests", "ON DELETE CASCADE"),
        _reference("request_events", "actor_id", "users"),
        "CREATE INDEX request_events_request ON request_events (request_id, created_at)",
    ),
    "request_photos": (
        """CREATE TABLE request_photos (
            id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
            request_id uuid NOT NULL,
            storage_key text NOT NULL,
            filename text NOT NULL,
            media_type text NOT NULL,
            bytes bigint NOT NULL CHECK (bytes > 0),
            created_by uuid NOT NULL,
            created_at timestamptz NOT NULL DEFAULT clock_timestamp()
        )""",
        "ALTER TABLE request_photos ADD UNIQUE (tenant_id, storage_key)",
        _reference("request_photos", "request_id", "requests", "ON DELETE CASCADE"),
        _reference("request_photos", "created_by", "users"),
        "CREATE INDEX request_photos_request ON request_photos (request_id, created_at)",
    ),
}
TABLES = {**COMMUNITIES, **PEOPLE, **IMPORTS, **REQUESTS}

# The app's login owns no table, so it may not ANALYZE; without it, pages right after a large import take seconds.
STATISTICS = """CREATE FUNCTION refresh_statistics() RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp
AS $$ ANALYZE communities, units, people, ownerships $$"""

HOMEOWNERS = """SELECT count(DISTINCT person_id) FROM ownerships
    WHERE valid_from <= current_date AND (valid_to IS NULL OR valid_to > current_date)"""
STORAGE = "SELECT coalesce(sum(bytes), 0)::bigint FROM request_photos"
STORAGE_BEFORE = "SELECT coalesce((SELECT value FROM usage_counters WHERE name = 'storage_bytes'), 0)"
HOMEOWNERS_BEFORE = "SELECT count(*) FROM users WHERE role = 'homeowner' AND disabled_at IS NULL"


def upgrade() -> None:
    """Tables in the order of their references; from here on a homeowner is a person who owns a unit today."""
    op.execute("ALTER TABLE users ADD CONSTRAINT users_tenant_key UNIQUE (tenant_id, id)")
    for name, (create, *rest) in TABLES.items():
        op.execute(create)
        tenant_table(op, name)
        for statement in rest:
            op.execute(statement)
    op.execute(STATISTICS)
    usage_figure(op, "homeowners", HOMEOWNERS)
    usage_figure(op, "storage_bytes", STORAGE)


def downgrade() -> None:
    """Back to the foundation; what the tables held is gone."""
    usage_figure(op, "homeowners", HOMEOWNERS_BEFORE)
    usage_figure(op, "storage_bytes", STORAGE_BEFORE)
    op.execute("DROP FUNCTION refresh_statistics()")
    op.execute("ALTER TABLE invitations DROP CONSTRAINT invitations_tenant_id_person_id_fkey")
    op.execute("DROP INDEX invitations_person")
    for name in reversed(TABLES):
        op.execute(f"DROP TABLE {name}")
    op.execute("DROP TYPE uuidrange")
    op.execute("ALTER TABLE users DROP CONSTRAINT users_tenant_key")

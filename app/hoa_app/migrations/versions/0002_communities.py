"""Communities, units, people with dated ownership, imports of homeowners, and requests.

Every reference carries the tenant beside the id, so that a row can only point at rows of its own tenant even where tenants share a database.
"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TABLES = (
    "communities",
    "units",
    "people",
    "ownerships",
    "imports",
    "import_rows",
    "import_errors",
    "requests",
    "request_comments",
    "request_events",
    "request_photos",
)

COMMUNITIES = """
CREATE TABLE communities (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant_id uuid NOT NULL DEFAULT current_tenant(),
    name text NOT NULL CHECK (name <> '' AND length(name) <= 120),
    address text NOT NULL DEFAULT '' CHECK (length(address) <= 300),
    time_zone text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    version integer NOT NULL DEFAULT 1,
    UNIQUE (tenant_id, id)
);
CREATE UNIQUE INDEX communities_name ON communities (tenant_id, lower(name));

CREATE TABLE units (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant_id uuid NOT NULL DEFAULT current_tenant(),
    community_id uuid NOT NULL,
    label text NOT NULL CHECK (label <> '' AND length(label) <= 60),
    address text NOT NULL DEFAULT '' CHECK (length(address) <= 300),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    version integer NOT NULL DEFAULT 1,
    UNIQUE (tenant_id, id),
    FOREIGN KEY (tenant_id, community_id) REFERENCES communities (tenant_id, id)
);
CREATE UNIQUE INDEX units_label ON units (community_id, lower(label));
"""

PEOPLE = """
CREATE TABLE people (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant_id uuid NOT NULL DEFAULT current_tenant(),
    user_id uuid REFERENCES users (id) ON DELETE SET NULL,
    name text NOT NULL CHECK (name <> '' AND length(name) <= 160),
    email text NOT NULL DEFAULT '' CHECK (email = lower(email) AND length(email) <= 254),
    phone text NOT NULL DEFAULT '' CHECK (length(phone) <= 40),
    mailing_address text NOT NULL DEFAULT '' CHECK (length(mailing_address) <= 300),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    version integer NOT NULL DEFAULT 1,
    UNIQUE (tenant_id, id)
);
CREATE UNIQUE INDEX people_email ON people (tenant_id, email) WHERE email <> '';
CREATE UNIQUE INDEX people_user ON people (user_id) WHERE user_id IS NOT NULL;
CREATE INDEX people_name ON people (lower(name), id);

-- A range over uuid lets a built-in GiST operator compare ids exactly, with no extension to install.
CREATE TYPE uuidrange AS RANGE (subtype = uuid);

CREATE TABLE ownerships (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant_id uuid NOT NULL DEFAULT current_tenant(),
    person_id uuid NOT NULL,
    unit_id uuid NOT NULL,
    valid_from date NOT NULL,
    valid_to date,
    is_primary boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (tenant_id, id),
    FOREIGN KEY (tenant_id, person_id) REFERENCES people (tenant_id, id),
    FOREIGN KEY (tenant_id, unit_id) REFERENCES units (tenant_id, id),
    CONSTRAINT ownerships_dates CHECK (valid_to IS NULL OR valid_to > valid_from),
    CONSTRAINT ownerships_overlap EXCLUDE USING gist (
        uuidrange(person_id, person_id, '[]') WITH &&,
        uuidrange(unit_id, unit_id, '[]') WITH &&,
        daterange(valid_from, valid_to, '[)') WITH &&
    )
);
CREATE INDEX ownerships_person ON ownerships (person_id);
CREATE INDEX ownerships_unit ON ownerships (unit_id);
CREATE UNIQUE INDEX ownerships_primary ON ownerships (unit_id) WHERE is_primary AND valid_to IS NULL;
COMMENT ON COLUMN ownerships.valid_to IS 'first day on which the person no longer owns the unit';
"""

IMPORTS = """
CREATE TABLE imports (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant_id uuid NOT NULL DEFAULT current_tenant(),
    created_by uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    filename text NOT NULL,
    state text NOT NULL DEFAULT 'Previewed' CHECK (state IN ('Previewed', 'Imported')),
    line_count integer NOT NULL,
    error_count integer NOT NULL,
    delimiter text NOT NULL,
    unknown_columns text[] NOT NULL DEFAULT '{}',
    counts jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    imported_at timestamptz,
    UNIQUE (tenant_id, id)
);
CREATE INDEX imports_recent ON imports (created_at DESC);

CREATE TABLE import_rows (
    tenant_id uuid NOT NULL DEFAULT current_tenant(),
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
    PRIMARY KEY (import_id, line),
    FOREIGN KEY (tenant_id, import_id) REFERENCES imports (tenant_id, id) ON DELETE CASCADE
);

CREATE TABLE import_errors (
    tenant_id uuid NOT NULL DEFAULT current_tenant(),
    import_id uuid NOT NULL,
    place integer NOT NULL,
    line integer NOT NULL,
    column_name text NOT NULL,
    value text NOT NULL,
    problem text NOT NULL,
    remedy text NOT NULL,
    PRIMARY KEY (import_id, place),
    FOREIGN KEY (tenant_id, import_id) REFERENCES imports (tenant_id, id) ON DELETE CASCADE
);
"""

REQUESTS = """
CREATE TABLE requests (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant_id uuid NOT NULL DEFAULT current_tenant(),
    number bigint GENERATED ALWAYS AS IDENTITY,
    created_by uuid NOT NULL REFERENCES users (id),
    person_id uuid,
    community_id uuid,
    unit_id uuid,
    category text NOT NULL CHECK (category IN ('Maintenance', 'Architectural', 'Question')),
    title text NOT NULL CHECK (title <> '' AND length(title) <= 140),
    description text NOT NULL CHECK (length(description) <= 5000),
    state text NOT NULL DEFAULT 'Submitted'
        CHECK (state IN ('Submitted', 'InReview', 'InProgress', 'Answered', 'Resolved', 'Closed', 'Reopened')),
    assignee_id uuid REFERENCES users (id) ON DELETE SET NULL,
    submission_key uuid,
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (tenant_id, id),
    UNIQUE (tenant_id, number),
    FOREIGN KEY (tenant_id, person_id) REFERENCES people (tenant_id, id),
    FOREIGN KEY (tenant_id, community_id) REFERENCES communities (tenant_id, id),
    FOREIGN KEY (tenant_id, unit_id) REFERENCES units (tenant_id, id)
);
CREATE INDEX requests_state ON requests (state, number DESC);
CREATE INDEX requests_person ON requests (person_id);
CREATE INDEX requests_creator ON requests (created_by);
CREATE INDEX requests_community ON requests (community_id);
CREATE UNIQUE INDEX requests_submission ON requests (created_by, submission_key) WHERE submission_key IS NOT NULL;
COMMENT ON COLUMN requests.submission_key IS 'drawn with the form: the same form sent twice files one request';

CREATE TABLE request_comments (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant_id uuid NOT NULL DEFAULT current_tenant(),
    request_id uuid NOT NULL,
    author_id uuid NOT NULL REFERENCES users (id),
    visibility text NOT NULL CHECK (visibility IN ('Public', 'Internal')),
    body text NOT NULL CHECK (body <> '' AND length(body) <= 5000),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    FOREIGN KEY (tenant_id, request_id) REFERENCES requests (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX request_comments_request ON request_comments (request_id, created_at);

CREATE TABLE request_events (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant_id uuid NOT NULL DEFAULT current_tenant(),
    request_id uuid NOT NULL,
    actor_id uuid NOT NULL REFERENCES users (id),
    kind text NOT NULL CHECK (kind IN ('Submitted', 'Moved', 'Assigned', 'PhotosAdded')),
    detail jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    FOREIGN KEY (tenant_id, request_id) REFERENCES requests (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX request_events_request ON request_events (request_id, created_at);

CREATE TABLE request_photos (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant_id uuid NOT NULL DEFAULT current_tenant(),
    request_id uuid NOT NULL,
    storage_key text NOT NULL UNIQUE,
    filename text NOT NULL,
    media_type text NOT NULL,
    bytes bigint NOT NULL CHECK (bytes > 0),
    created_by uuid NOT NULL REFERENCES users (id),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    FOREIGN KEY (tenant_id, request_id) REFERENCES requests (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX request_photos_request ON request_photos (request_id, created_at);
"""

-- Written by `python -m hack.migrations --write` from 0002_communities.py; the migration Job runs it in one transaction.
-- Running upgrade 0001 -> 0002

ALTER TABLE users ADD CONSTRAINT users_tenant_key UNIQUE (tenant_id, id);

CREATE TABLE communities (
            id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
            name text NOT NULL CHECK (length(name) BETWEEN 1 AND 120),
            address text NOT NULL DEFAULT '' CHECK (length(address) <= 300),
            time_zone text NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            updated_at timestamptz NOT NULL DEFAULT now(),
            version integer NOT NULL DEFAULT 1
        );

ALTER TABLE communities ADD COLUMN tenant_id uuid NOT NULL;

ALTER TABLE communities ALTER COLUMN tenant_id SET DEFAULT current_tenant();

ALTER TABLE communities ENABLE ROW LEVEL SECURITY;

ALTER TABLE communities FORCE ROW LEVEL SECURITY;

CREATE POLICY tenant_isolation ON communities USING (tenant_id = (SELECT current_tenant())) WITH CHECK (tenant_id = (SELECT current_tenant()));

ALTER TABLE communities ADD UNIQUE (tenant_id, id);

CREATE UNIQUE INDEX communities_name ON communities (tenant_id, lower(name));

CREATE TABLE units (
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
        );

ALTER TABLE units ADD COLUMN tenant_id uuid NOT NULL;

ALTER TABLE units ALTER COLUMN tenant_id SET DEFAULT current_tenant();

ALTER TABLE units ENABLE ROW LEVEL SECURITY;

ALTER TABLE units FORCE ROW LEVEL SECURITY;

CREATE POLICY tenant_isolation ON units USING (tenant_id = (SELECT current_tenant())) WITH CHECK (tenant_id = (SELECT current_tenant()));

ALTER TABLE units ADD UNIQUE (tenant_id, id);

ALTER TABLE units ADD FOREIGN KEY (tenant_id, community_id) REFERENCES communities (tenant_id, id);

CREATE UNIQUE INDEX units_label ON units (community_id, lower(label));

CREATE INDEX units_order ON units (community_id, sort_key COLLATE "C", id);

COMMENT ON COLUMN units.sort_key IS 'the label with its numbers padded, so that 2 comes before 10';

CREATE TABLE people (
            id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
            user_id uuid,
            name text NOT NULL CHECK (length(name) BETWEEN 1 AND 160),
            email text NOT NULL DEFAULT '' CHECK (email = lower(email) AND length(email) <= 254),
            phone text NOT NULL DEFAULT '' CHECK (length(phone) <= 40),
            mailing_address text NOT NULL DEFAULT '' CHECK (length(mailing_address) <= 300),
            created_at timestamptz NOT NULL DEFAULT now(),
            updated_at timestamptz NOT NULL DEFAULT now(),
            version integer NOT NULL DEFAULT 1
        );

ALTER TABLE people ADD COLUMN tenant_id uuid NOT NULL;

ALTER TABLE people ALTER COLUMN tenant_id SET DEFAULT current_tenant();

ALTER TABLE people ENABLE ROW LEVEL SECURITY;

ALTER TABLE people FORCE ROW LEVEL SECURITY;

CREATE POLICY tenant_isolation ON people USING (tenant_id = (SELECT current_tenant())) WITH CHECK (tenant_id = (SELECT current_tenant()));

ALTER TABLE people ADD UNIQUE (tenant_id, id);

ALTER TABLE people ADD FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id) ON DELETE SET NULL (user_id);

CREATE UNIQUE INDEX people_email ON people (tenant_id, email) WHERE email <> '';

CREATE UNIQUE INDEX people_user ON people (user_id) WHERE user_id IS NOT NULL;

CREATE INDEX people_name ON people (lower(name) COLLATE "C", id);

ALTER TABLE invitations ADD FOREIGN KEY (tenant_id, person_id) REFERENCES people (tenant_id, id) ON DELETE SET NULL (person_id);

CREATE INDEX invitations_person ON invitations (person_id) WHERE person_id IS NOT NULL;

CREATE TYPE uuidrange AS RANGE (subtype = uuid);
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
        );

ALTER TABLE ownerships ADD COLUMN tenant_id uuid NOT NULL;

ALTER TABLE ownerships ALTER COLUMN tenant_id SET DEFAULT current_tenant();

ALTER TABLE ownerships ENABLE ROW LEVEL SECURITY;

ALTER TABLE ownerships FORCE ROW LEVEL SECURITY;

CREATE POLICY tenant_isolation ON ownerships USING (tenant_id = (SELECT current_tenant())) WITH CHECK (tenant_id = (SELECT current_tenant()));

ALTER TABLE ownerships ADD UNIQUE (tenant_id, id);

ALTER TABLE ownerships ADD FOREIGN KEY (tenant_id, person_id) REFERENCES people (tenant_id, id);

ALTER TABLE ownerships ADD FOREIGN KEY (tenant_id, unit_id) REFERENCES units (tenant_id, id);

CREATE INDEX ownerships_person ON ownerships (person_id);

CREATE INDEX ownerships_unit ON ownerships (unit_id);

CREATE UNIQUE INDEX ownerships_primary ON ownerships (unit_id) WHERE is_primary AND valid_to IS NULL;

COMMENT ON COLUMN ownerships.valid_to IS 'first day on which the person no longer owns the unit';

CREATE TABLE imports (
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
        );

ALTER TABLE imports ADD COLUMN tenant_id uuid NOT NULL;

ALTER TABLE imports ALTER COLUMN tenant_id SET DEFAULT current_tenant();

ALTER TABLE imports ENABLE ROW LEVEL SECURITY;

ALTER TABLE imports FORCE ROW LEVEL SECURITY;

CREATE POLICY tenant_isolation ON imports USING (tenant_id = (SELECT current_tenant())) WITH CHECK (tenant_id = (SELECT current_tenant()));

ALTER TABLE imports ADD UNIQUE (tenant_id, id);

ALTER TABLE imports ADD FOREIGN KEY (tenant_id, created_by) REFERENCES users (tenant_id, id) ON DELETE CASCADE;

CREATE INDEX imports_recent ON imports (created_at DESC);

CREATE TABLE import_rows (
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
        );

ALTER TABLE import_rows ADD COLUMN tenant_id uuid NOT NULL;

ALTER TABLE import_rows ALTER COLUMN tenant_id SET DEFAULT current_tenant();

ALTER TABLE import_rows ENABLE ROW LEVEL SECURITY;

ALTER TABLE import_rows FORCE ROW LEVEL SECURITY;

CREATE POLICY tenant_isolation ON import_rows USING (tenant_id = (SELECT current_tenant())) WITH CHECK (tenant_id = (SELECT current_tenant()));

ALTER TABLE import_rows ADD FOREIGN KEY (tenant_id, import_id) REFERENCES imports (tenant_id, id) ON DELETE CASCADE;

CREATE TABLE import_errors (
            import_id uuid NOT NULL,
            place integer NOT NULL,
            line integer NOT NULL,
            column_name text NOT NULL,
            value text NOT NULL,
            problem text NOT NULL,
            remedy text NOT NULL,
            PRIMARY KEY (import_id, place)
        );

ALTER TABLE import_errors ADD COLUMN tenant_id uuid NOT NULL;

ALTER TABLE import_errors ALTER COLUMN tenant_id SET DEFAULT current_tenant();

ALTER TABLE import_errors ENABLE ROW LEVEL SECURITY;

ALTER TABLE import_errors FORCE ROW LEVEL SECURITY;

CREATE POLICY tenant_isolation ON import_errors USING (tenant_id = (SELECT current_tenant())) WITH CHECK (tenant_id = (SELECT current_tenant()));

ALTER TABLE import_errors ADD FOREIGN KEY (tenant_id, import_id) REFERENCES imports (tenant_id, id) ON DELETE CASCADE;

CREATE TABLE requests (
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
        );

ALTER TABLE requests ADD COLUMN tenant_id uuid NOT NULL;

ALTER TABLE requests ALTER COLUMN tenant_id SET DEFAULT current_tenant();

ALTER TABLE requests ENABLE ROW LEVEL SECURITY;

ALTER TABLE requests FORCE ROW LEVEL SECURITY;

CREATE POLICY tenant_isolation ON requests USING (tenant_id = (SELECT current_tenant())) WITH CHECK (tenant_id = (SELECT current_tenant()));

ALTER TABLE requests ADD UNIQUE (tenant_id, id);

ALTER TABLE requests ADD UNIQUE (tenant_id, number);

ALTER TABLE requests ADD FOREIGN KEY (tenant_id, created_by) REFERENCES users (tenant_id, id);

ALTER TABLE requests ADD FOREIGN KEY (tenant_id, changed_by) REFERENCES users (tenant_id, id);

ALTER TABLE requests ADD FOREIGN KEY (tenant_id, assignee_id) REFERENCES users (tenant_id, id) ON DELETE SET NULL (assignee_id);

ALTER TABLE requests ADD FOREIGN KEY (tenant_id, person_id) REFERENCES people (tenant_id, id);

ALTER TABLE requests ADD FOREIGN KEY (tenant_id, community_id) REFERENCES communities (tenant_id, id);

ALTER TABLE requests ADD FOREIGN KEY (tenant_id, unit_id) REFERENCES units (tenant_id, id);

CREATE INDEX requests_state ON requests (state, number DESC);

CREATE INDEX requests_person ON requests (person_id, number DESC);

CREATE INDEX requests_creator ON requests (created_by, number DESC);

CREATE INDEX requests_community ON requests (community_id, state);

CREATE INDEX requests_unit ON requests (unit_id);

CREATE UNIQUE INDEX requests_submission ON requests (created_by, submission_key) WHERE submission_key IS NOT NULL;

COMMENT ON COLUMN requests.submission_key IS 'drawn with the form: one form sent twice files one request';

CREATE TABLE request_comments (
            id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
            request_id uuid NOT NULL,
            author_id uuid NOT NULL,
            visibility text NOT NULL CHECK (visibility IN ('Public', 'Internal')),
            body text NOT NULL CHECK (length(body) BETWEEN 1 AND 5000),
            submission_key uuid,
            created_at timestamptz NOT NULL DEFAULT clock_timestamp()
        );

ALTER TABLE request_comments ADD COLUMN tenant_id uuid NOT NULL;

ALTER TABLE request_comments ALTER COLUMN tenant_id SET DEFAULT current_tenant();

ALTER TABLE request_comments ENABLE ROW LEVEL SECURITY;

ALTER TABLE request_comments FORCE ROW LEVEL SECURITY;

CREATE POLICY tenant_isolation ON request_comments USING (tenant_id = (SELECT current_tenant())) WITH CHECK (tenant_id = (SELECT current_tenant()));

ALTER TABLE request_comments ADD FOREIGN KEY (tenant_id, request_id) REFERENCES requests (tenant_id, id) ON DELETE CASCADE;

ALTER TABLE request_comments ADD FOREIGN KEY (tenant_id, author_id) REFERENCES users (tenant_id, id);

CREATE INDEX request_comments_request ON request_comments (request_id, created_at);

CREATE UNIQUE INDEX request_comments_submission ON request_comments (author_id, submission_key) WHERE submission_key IS NOT NULL;

CREATE TABLE request_events (
            id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
            request_id uuid NOT NULL,
            actor_id uuid NOT NULL,
            kind text NOT NULL CHECK (kind IN ('Submitted', 'Moved', 'Assigned', 'PhotosAdded')),
            detail jsonb NOT NULL DEFAULT '{}',
            created_at timestamptz NOT NULL DEFAULT clock_timestamp()
        );

ALTER TABLE request_events ADD COLUMN tenant_id uuid NOT NULL;

ALTER TABLE request_events ALTER COLUMN tenant_id SET DEFAULT current_tenant();

ALTER TABLE request_events ENABLE ROW LEVEL SECURITY;

ALTER TABLE request_events FORCE ROW LEVEL SECURITY;

CREATE POLICY tenant_isolation ON request_events USING (tenant_id = (SELECT current_tenant())) WITH CHECK (tenant_id = (SELECT current_tenant()));

ALTER TABLE request_events ADD FOREIGN KEY (tenant_id, request_id) REFERENCES requests (tenant_id, id) ON DELETE CASCADE;

ALTER TABLE request_events ADD FOREIGN KEY (tenant_id, actor_id) REFERENCES users (tenant_id, id);

CREATE INDEX request_events_request ON request_events (request_id, created_at);

CREATE TABLE request_photos (
            id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
            request_id uuid NOT NULL,
            storage_key text NOT NULL,
            filename text NOT NULL,
            media_type text NOT NULL,
            bytes bigint NOT NULL CHECK (bytes > 0),
            created_by uuid NOT NULL,
            created_at timestamptz NOT NULL DEFAULT clock_timestamp()
        );

ALTER TABLE request_photos ADD COLUMN tenant_id uuid NOT NULL;

ALTER TABLE request_photos ALTER COLUMN tenant_id SET DEFAULT current_tenant();

ALTER TABLE request_photos ENABLE ROW LEVEL SECURITY;

ALTER TABLE request_photos FORCE ROW LEVEL SECURITY;

CREATE POLICY tenant_isolation ON request_photos USING (tenant_id = (SELECT current_tenant())) WITH CHECK (tenant_id = (SELECT current_tenant()));

ALTER TABLE request_photos ADD UNIQUE (tenant_id, storage_key);

ALTER TABLE request_photos ADD FOREIGN KEY (tenant_id, request_id) REFERENCES requests (tenant_id, id) ON DELETE CASCADE;

ALTER TABLE request_photos ADD FOREIGN KEY (tenant_id, created_by) REFERENCES users (tenant_id, id);

CREATE INDEX request_photos_request ON request_photos (request_id, created_at);

CREATE FUNCTION refresh_statistics() RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp
AS $$ ANALYZE communities, units, people, ownerships $$;

CREATE OR REPLACE FUNCTION usage_homeowners() RETURNS bigint LANGUAGE sql STABLE SET search_path = public, pg_temp AS $figure$ SELECT count(DISTINCT person_id) FROM ownerships
    WHERE valid_from <= current_date AND (valid_to IS NULL OR valid_to > current_date) $figure$;

REVOKE EXECUTE ON FUNCTION usage_homeowners() FROM PUBLIC;

CREATE OR REPLACE FUNCTION usage_storage_bytes() RETURNS bigint LANGUAGE sql STABLE SET search_path = public, pg_temp AS $figure$ SELECT coalesce(sum(bytes), 0)::bigint FROM request_photos $figure$;

REVOKE EXECUTE ON FUNCTION usage_storage_bytes() FROM PUBLIC;

UPDATE alembic_version SET version_num='0002' WHERE alembic_version.version_num = '0001';

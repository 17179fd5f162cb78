-- Intent: certificates of hosts, shared by all replicas: what certmagic keeps,
-- its locks, what was asked of each authority, and what each host has now. None
-- of it belongs to one board, and the app's login never sees it.

-- Values are sealed; sealed_with names the key, so that a changed secret shows
-- as a missing object and not as a broken one.
CREATE TABLE acme_objects (
    -- By bytes, so that a folder's keys are one range of the index.
    key text COLLATE "C" PRIMARY KEY,
    sealed bytea NOT NULL,
    sealed_with text NOT NULL,
    size int NOT NULL,
    modified_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
-- A lock is a row with a lease, and holds no connection.
CREATE TABLE acme_locks (
    name text PRIMARY KEY,
    owner uuid NOT NULL,
    lease_until timestamptz NOT NULL
) WITH (fillfactor = 50);

-- Every order, so that the authorities' limits are kept before they say no.
CREATE TABLE acme_orders (
    id uuid PRIMARY KEY,
    ca text NOT NULL,
    registered text NOT NULL,
    host text NOT NULL,
    renewal boolean NOT NULL,
    outcome text NOT NULL DEFAULT 'open' CHECK (outcome IN ('open', 'issued', 'failed', 'away', 'limited')),
    -- The authority itself said to wait until then.
    hold_until timestamptz,
    at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX acme_orders_ca ON acme_orders (ca, at);
CREATE INDEX acme_orders_registered ON acme_orders (ca, registered, at);
CREATE INDEX acme_orders_host ON acme_orders (ca, host, at);

-- What a host has: one row, and a stone ('dropped') for a day after its removal,
-- so that a replica that missed the notification still sees it go.
CREATE TABLE certificates (
    host text PRIMARY KEY CHECK (host = lower(host)),
    state text NOT NULL CHECK (state IN ('ordering', 'issued', 'failed', 'dropped')),
    source text NOT NULL DEFAULT 'acme' CHECK (source IN ('acme', 'own')),
    issuer text NOT NULL DEFAULT '',
    not_before timestamptz,
    not_after timestamptz,
    renew_at timestamptz,
    first_issued_at timestamptz,
    -- What went wrong last: a code for the catalogues, and the words of the log.
    problem text NOT NULL DEFAULT '',
    detail text NOT NULL DEFAULT '',
    failures int NOT NULL DEFAULT 0,
    next_try timestamptz,
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX certificates_updated ON certificates (updated_at);
CREATE INDEX certificates_renewal ON certificates (renew_at);

-- Replicas look once a second for hosts that came since.
CREATE INDEX hosts_created ON hosts (created_at);
CREATE INDEX hosts_verified ON hosts (verified_at);

DO $$
DECLARE t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['acme_objects', 'acme_locks', 'acme_orders', 'certificates'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
        EXECUTE format('CREATE POLICY platform ON %I TO shingle_platform USING (true) WITH CHECK (true)', t);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO shingle_platform', t);
    END LOOP;
END $$;

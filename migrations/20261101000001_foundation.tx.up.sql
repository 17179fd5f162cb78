-- Intent: the whole ground floor: boards and hosts, operators, people, listings,
-- money, applications, look, mail, tasks and audit. Row level security is
-- switched on for every table at the end of the file, in one place.

CREATE EXTENSION IF NOT EXISTS pg_trgm;

-- ---------------------------------------------------------------- platform

CREATE TABLE boards (
    id uuid PRIMARY KEY,
    slug text NOT NULL UNIQUE CHECK (slug ~ '^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$'),
    name text NOT NULL,
    tagline text NOT NULL DEFAULT '',
    locale text NOT NULL DEFAULT 'en',
    currency text NOT NULL DEFAULT 'USD' CHECK (currency ~ '^[A-Z]{3}$'),
    time_zone text NOT NULL DEFAULT 'UTC',
    country text NOT NULL DEFAULT '',
    contact_email text NOT NULL DEFAULT '',
    state text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'suspended', 'closed')),
    state_reason text NOT NULL DEFAULT '',
    state_since timestamptz NOT NULL DEFAULT now(),
    moderated boolean NOT NULL DEFAULT false,
    charge_mode text NOT NULL DEFAULT 'direct' CHECK (charge_mode IN ('direct', 'destination')),
    -- The platform's share of a sale; see billing.FeeRule.
    fee_rule jsonb NOT NULL DEFAULT '{"percent_bp": 1000}',
    settings jsonb NOT NULL DEFAULT '{}',
    -- Moves with every change of roles or grants on the board; read with the session.
    policy_version bigint NOT NULL DEFAULT 1,
    demo boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE hosts (
    host text PRIMARY KEY CHECK (host = lower(host)),
    board_id uuid NOT NULL REFERENCES boards (id) ON DELETE CASCADE,
    kind text NOT NULL CHECK (kind IN ('platform', 'custom')),
    canonical boolean NOT NULL DEFAULT false,
    verified_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX hosts_one_canonical ON hosts (board_id) WHERE canonical;
CREATE INDEX hosts_board ON hosts (board_id);

CREATE TABLE operators (
    id uuid PRIMARY KEY,
    email text NOT NULL UNIQUE CHECK (email = lower(email)),
    name text NOT NULL DEFAULT '',
    password_hash text NOT NULL DEFAULT '',
    locale text NOT NULL DEFAULT 'en',
    created_at timestamptz NOT NULL DEFAULT now(),
    signed_in_at timestamptz
);

-- A session on the platform's host has no board; a session on a board's
-- platform address is bound to that board.
CREATE TABLE operator_sessions (
    token_hash bytea PRIMARY KEY,
    operator_id uuid NOT NULL REFERENCES operators (id) ON DELETE CASCADE,
    board_id uuid REFERENCES boards (id) ON DELETE CASCADE,
    parent_hash bytea,
    user_agent text NOT NULL DEFAULT '',
    address text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now(),
    seen_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz
);
CREATE INDEX operator_sessions_operator ON operator_sessions (operator_id);
CREATE INDEX operator_sessions_expiry ON operator_sessions (expires_at);

-- Single-use secrets of operators: sign-in, hand-over to a board, invitation, reset.
CREATE TABLE operator_tokens (
    hash bytea PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('sign-in', 'hand-over', 'invite', 'reset', 'sign-up')),
    email text NOT NULL DEFAULT '',
    operator_id uuid REFERENCES operators (id) ON DELETE CASCADE,
    board_id uuid REFERENCES boards (id) ON DELETE CASCADE,
    host text NOT NULL DEFAULT '',
    payload jsonb NOT NULL DEFAULT '{}',
    code_hash bytea,
    tries int NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    spent_at timestamptz
);
CREATE INDEX operator_tokens_email ON operator_tokens (email, kind);
CREATE INDEX operator_tokens_expiry ON operator_tokens (expires_at);

-- What Stripe sent, stored before it is understood; the board is not known yet.
CREATE TABLE stripe_events (
    id text PRIMARY KEY,
    account text NOT NULL DEFAULT '',
    type text NOT NULL,
    api_version text NOT NULL DEFAULT '',
    payload jsonb NOT NULL,
    state text NOT NULL DEFAULT 'received' CHECK (state IN ('received', 'applied', 'ignored', 'held')),
    note text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    applied_at timestamptz
);
CREATE INDEX stripe_events_state ON stripe_events (state, received_at);

-- ------------------------------------------------- rows of boards and platform
-- (tenant_id is the nil uuid for rows of the platform itself: no foreign key)

CREATE TABLE casbin_rules (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    ptype text NOT NULL CHECK (ptype IN ('p', 'g')),
    v0 text NOT NULL DEFAULT '',
    v1 text NOT NULL DEFAULT '',
    v2 text NOT NULL DEFAULT '',
    v3 text NOT NULL DEFAULT '',
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, ptype, v0, v1, v2, v3)
);
-- "Which boards is this operator on?" is asked across boards, by the platform.
CREATE INDEX casbin_rules_subject ON casbin_rules (v0) WHERE ptype = 'g';

CREATE TABLE audit_log (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    actor_kind text NOT NULL CHECK (actor_kind IN ('operator', 'person', 'system', 'staff')),
    actor_id uuid,
    act text NOT NULL,
    object_kind text NOT NULL DEFAULT '',
    object_id text NOT NULL DEFAULT '',
    detail jsonb NOT NULL DEFAULT '{}',
    -- Names and addresses live here alone, so that erasure can empty it.
    personal jsonb NOT NULL DEFAULT '{}',
    request_id text NOT NULL DEFAULT '',
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX audit_log_at ON audit_log (tenant_id, at DESC);

CREATE TABLE tasks (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    kind text NOT NULL,
    queue text NOT NULL DEFAULT 'default' CHECK (queue IN ('critical', 'default', 'index', 'mail', 'bulk')),
    -- Work with the same key that nobody has begun is one row; see tasks.Add.
    key text,
    version int NOT NULL DEFAULT 1,
    payload jsonb NOT NULL DEFAULT '{}',
    run_at timestamptz NOT NULL DEFAULT now(),
    every interval,
    handover int NOT NULL DEFAULT 0,
    attempts int NOT NULL DEFAULT 0,
    max_attempts int NOT NULL DEFAULT 12,
    lease_until timestamptz,
    last_error text NOT NULL DEFAULT '',
    failed_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id)
) WITH (fillfactor = 70);
CREATE UNIQUE INDEX tasks_key ON tasks (tenant_id, kind, key) WHERE key IS NOT NULL AND handover = 0;
CREATE INDEX tasks_due ON tasks (run_at) WHERE failed_at IS NULL;
CREATE INDEX tasks_failed ON tasks (failed_at) WHERE failed_at IS NOT NULL;

CREATE TABLE mails (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    kind text NOT NULL,
    key text NOT NULL,
    recipient text NOT NULL,
    locale text NOT NULL DEFAULT 'en',
    payload jsonb NOT NULL DEFAULT '{}',
    state text NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'sent', 'refused')),
    message_id text NOT NULL,
    error text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now(),
    sent_at timestamptz,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, kind, key)
);
CREATE INDEX mails_created ON mails (tenant_id, created_at DESC);

-- ---------------------------------------------------------------- boards' rows

-- Kept apart from boards: it moves with every visible write.
CREATE TABLE generations (
    tenant_id uuid PRIMARY KEY REFERENCES boards (id) ON DELETE CASCADE,
    generation bigint NOT NULL DEFAULT 1,
    changed_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);
CREATE INDEX generations_changed ON generations (changed_at);

CREATE TABLE people (
    tenant_id uuid NOT NULL REFERENCES boards (id) ON DELETE CASCADE,
    id uuid NOT NULL,
    email text NOT NULL CHECK (email = lower(email)),
    name text NOT NULL DEFAULT '',
    locale text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now(),
    confirmed_at timestamptz,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, email)
);

CREATE TABLE person_sessions (
    tenant_id uuid NOT NULL,
    token_hash bytea NOT NULL,
    person_id uuid NOT NULL,
    user_agent text NOT NULL DEFAULT '',
    address text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now(),
    seen_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz,
    PRIMARY KEY (tenant_id, token_hash),
    FOREIGN KEY (tenant_id, person_id) REFERENCES people (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX person_sessions_person ON person_sessions (tenant_id, person_id);

CREATE TABLE person_tokens (
    tenant_id uuid NOT NULL REFERENCES boards (id) ON DELETE CASCADE,
    hash bytea NOT NULL,
    kind text NOT NULL,
    email text NOT NULL DEFAULT '',
    -- Where the token leads, e.g. the application a CV link is bound to.
    payload jsonb NOT NULL DEFAULT '{}',
    code_hash bytea,
    tries int NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    spent_at timestamptz,
    PRIMARY KEY (tenant_id, hash)
);
CREATE INDEX person_tokens_email ON person_tokens (tenant_id, email, kind);

CREATE TABLE companies (
    tenant_id uuid NOT NULL REFERENCES boards (id) ON DELETE CASCADE,
    id uuid NOT NULL,
    slug text NOT NULL,
    name text NOT NULL,
    website text NOT NULL DEFAULT '',
    tagline text NOT NULL DEFAULT '',
    about text NOT NULL DEFAULT '',
    industry text NOT NULL DEFAULT '',
    size text NOT NULL DEFAULT '',
    location text NOT NULL DEFAULT '',
    logo_key text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, slug)
);
CREATE INDEX companies_name ON companies (tenant_id, name);

-- Who may act for a company on this board.
CREATE TABLE company_members (
    tenant_id uuid NOT NULL,
    company_id uuid NOT NULL,
    person_id uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, company_id, person_id),
    FOREIGN KEY (tenant_id, company_id) REFERENCES companies (tenant_id, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, person_id) REFERENCES people (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX company_members_person ON company_members (tenant_id, person_id);

CREATE TABLE categories (
    tenant_id uuid NOT NULL REFERENCES boards (id) ON DELETE CASCADE,
    id uuid NOT NULL,
    slug text NOT NULL,
    name text NOT NULL,
    position int NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, slug)
);

CREATE TABLE listings (
    tenant_id uuid NOT NULL REFERENCES boards (id) ON DELETE CASCADE,
    id uuid NOT NULL,
    -- In the URL: base58, at most 12 characters.
    public_id text NOT NULL CHECK (public_id ~ '^[1-9A-HJ-NP-Za-km-z]{1,12}$'),
    slug text NOT NULL,
    company_id uuid NOT NULL,
    category_id uuid,
    -- The person whose desk it is on; none when the board posted it.
    person_id uuid,
    state text NOT NULL DEFAULT 'draft' CHECK (state IN ('draft', 'awaiting_payment', 'in_review', 'scheduled',
        'live', 'paused', 'filled', 'expired', 'rejected', 'removed')),
    title text NOT NULL,
    employment_type text NOT NULL DEFAULT 'full_time' CHECK (employment_type IN ('full_time', 'part_time', 'contract',
        'temporary', 'internship', 'apprenticeship', 'volunteer')),
    workplace text NOT NULL DEFAULT 'on_site' CHECK (workplace IN ('on_site', 'hybrid', 'remote')),
    seniority text NOT NULL DEFAULT '' CHECK (seniority IN ('', 'intern', 'junior', 'mid', 'senior', 'lead', 'executive')),
    -- As the employer wrote it, in minor units; null bounds were not given.
    salary_min bigint,
    salary_max bigint,
    salary_currency text NOT NULL DEFAULT '',
    salary_period text NOT NULL DEFAULT '' CHECK (salary_period IN ('', 'hour', 'day', 'week', 'month', 'year')),
    -- The same per year, in minor units of the same currency.
    salary_year_min bigint,
    salary_year_max bigint,
    description text NOT NULL DEFAULT '',
    tags text[] NOT NULL DEFAULT '{}',
    -- Where applicants may live when the work is remote (ISO 3166-1 alpha-2).
    applicant_countries text[] NOT NULL DEFAULT '{}',
    apply_method text NOT NULL DEFAULT 'board' CHECK (apply_method IN ('board', 'link', 'email')),
    apply_target text NOT NULL DEFAULT '',
    -- The employer's own number for the role, for feeds and JobPosting.
    reference text NOT NULL DEFAULT '',
    source text NOT NULL DEFAULT 'employer' CHECK (source IN ('employer', 'board', 'import', 'seed')),
    featured boolean NOT NULL DEFAULT false,
    -- What the employer asked for while placing it, before paying.
    wanted_product_id uuid,
    publish_at timestamptz,
    published_at timestamptz,
    ends_at timestamptz,
    closed_at timestamptz,
    review_note text NOT NULL DEFAULT '',
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, public_id),
    FOREIGN KEY (tenant_id, company_id) REFERENCES companies (tenant_id, id),
    FOREIGN KEY (tenant_id, category_id) REFERENCES categories (tenant_id, id) ON DELETE SET NULL (category_id),
    FOREIGN KEY (tenant_id, person_id) REFERENCES people (tenant_id, id) ON DELETE SET NULL (person_id)
);
CREATE INDEX listings_front ON listings (tenant_id, state, featured DESC, published_at DESC, id);
CREATE INDEX listings_recent ON listings (tenant_id, state, published_at DESC, id);
CREATE INDEX listings_company ON listings (tenant_id, company_id, state);
CREATE INDEX listings_category ON listings (tenant_id, category_id, state, published_at DESC);
CREATE INDEX listings_person ON listings (tenant_id, person_id);
CREATE INDEX listings_ends ON listings (ends_at) WHERE state IN ('live', 'paused');
CREATE INDEX listings_publish ON listings (publish_at) WHERE state = 'scheduled';

CREATE TABLE listing_places (
    tenant_id uuid NOT NULL,
    listing_id uuid NOT NULL,
    n int NOT NULL,
    country text NOT NULL DEFAULT '',
    region text NOT NULL DEFAULT '',
    city text NOT NULL DEFAULT '',
    postal_code text NOT NULL DEFAULT '',
    lat double precision,
    lon double precision,
    PRIMARY KEY (tenant_id, listing_id, n),
    FOREIGN KEY (tenant_id, listing_id) REFERENCES listings (tenant_id, id) ON DELETE CASCADE
);

CREATE TABLE listing_moves (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    listing_id uuid NOT NULL,
    from_state text NOT NULL,
    to_state text NOT NULL,
    actor_kind text NOT NULL CHECK (actor_kind IN ('operator', 'person', 'system', 'staff')),
    actor_id uuid,
    reason text NOT NULL DEFAULT '',
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, listing_id) REFERENCES listings (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX listing_moves_listing ON listing_moves (tenant_id, listing_id, at);

CREATE TABLE listing_revisions (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    listing_id uuid NOT NULL,
    state text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'approved', 'rejected', 'superseded')),
    content jsonb NOT NULL,
    note text NOT NULL DEFAULT '',
    author_kind text NOT NULL,
    author_id uuid,
    created_at timestamptz NOT NULL DEFAULT now(),
    decided_at timestamptz,
    decided_by uuid,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, listing_id) REFERENCES listings (tenant_id, id) ON DELETE CASCADE
);
CREATE UNIQUE INDEX listing_revisions_pending ON listing_revisions (tenant_id, listing_id) WHERE state = 'pending';
CREATE INDEX listing_revisions_queue ON listing_revisions (tenant_id, state, created_at);

CREATE TABLE products (
    tenant_id uuid NOT NULL REFERENCES boards (id) ON DELETE CASCADE,
    id uuid NOT NULL,
    name text NOT NULL,
    description text NOT NULL DEFAULT '',
    price bigint NOT NULL CHECK (price >= 0),
    currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    duration_days int NOT NULL CHECK (duration_days BETWEEN 1 AND 366),
    featured_days int NOT NULL DEFAULT 0 CHECK (featured_days BETWEEN 0 AND 366),
    active boolean NOT NULL DEFAULT true,
    position int NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id)
);

CREATE TABLE stripe_accounts (
    tenant_id uuid PRIMARY KEY REFERENCES boards (id) ON DELETE CASCADE,
    account text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('standard', 'express')),
    charges_enabled boolean NOT NULL DEFAULT false,
    payouts_enabled boolean NOT NULL DEFAULT false,
    details_submitted boolean NOT NULL DEFAULT false,
    requirements jsonb NOT NULL DEFAULT '[]',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
-- Webhooks come by account; asked by the platform before the board is known.
CREATE INDEX stripe_accounts_account ON stripe_accounts (account);

CREATE TABLE orders (
    tenant_id uuid NOT NULL REFERENCES boards (id) ON DELETE CASCADE,
    id uuid NOT NULL,
    number bigint NOT NULL,
    listing_id uuid NOT NULL,
    person_id uuid,
    product_id uuid NOT NULL,
    -- The product as it was bought: name, days, featured days.
    product jsonb NOT NULL,
    email text NOT NULL,
    state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'processing', 'paid', 'refunded', 'cancelled')),
    amount bigint NOT NULL CHECK (amount >= 0),
    currency text NOT NULL,
    fee bigint NOT NULL CHECK (fee >= 0 AND fee <= amount),
    fee_rule jsonb NOT NULL,
    charge_mode text NOT NULL,
    stripe_account text NOT NULL DEFAULT '',
    attempt int NOT NULL DEFAULT 0,
    payment_intent text NOT NULL DEFAULT '',
    charge text NOT NULL DEFAULT '',
    invoice text NOT NULL DEFAULT '',
    invoice_number text NOT NULL DEFAULT '',
    invoice_url text NOT NULL DEFAULT '',
    billing jsonb NOT NULL DEFAULT '{}',
    refunded_amount bigint NOT NULL DEFAULT 0,
    terms_version text NOT NULL DEFAULT '',
    terms_accepted_at timestamptz,
    terms_address text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now(),
    paid_at timestamptz,
    refunded_at timestamptz,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, number),
    FOREIGN KEY (tenant_id, listing_id) REFERENCES listings (tenant_id, id),
    FOREIGN KEY (tenant_id, product_id) REFERENCES products (tenant_id, id),
    FOREIGN KEY (tenant_id, person_id) REFERENCES people (tenant_id, id) ON DELETE SET NULL (person_id)
);
CREATE INDEX orders_listing ON orders (tenant_id, listing_id);
CREATE INDEX orders_person ON orders (tenant_id, person_id);
CREATE INDEX orders_state ON orders (tenant_id, state, created_at DESC);
CREATE INDEX orders_payment_intent ON orders (tenant_id, payment_intent) WHERE payment_intent <> '';

-- One row per Checkout session we opened; at most one open per order.
CREATE TABLE checkout_sessions (
    tenant_id uuid NOT NULL,
    id text NOT NULL,
    order_id uuid NOT NULL,
    attempt int NOT NULL,
    state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'complete', 'expired')),
    payment_status text NOT NULL DEFAULT '',
    payment_intent text NOT NULL DEFAULT '',
    url text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, order_id, attempt),
    FOREIGN KEY (tenant_id, order_id) REFERENCES orders (tenant_id, id) ON DELETE CASCADE
);
CREATE UNIQUE INDEX checkout_sessions_one_open ON checkout_sessions (tenant_id, order_id) WHERE state = 'open';

CREATE TABLE refunds (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    order_id uuid NOT NULL,
    stripe_id text NOT NULL DEFAULT '',
    payment_intent text NOT NULL DEFAULT '',
    amount bigint NOT NULL CHECK (amount > 0),
    currency text NOT NULL,
    fee_amount bigint NOT NULL DEFAULT 0,
    reason text NOT NULL DEFAULT '',
    -- 'duplicate': a second payment of one order, sent back by itself.
    kind text NOT NULL DEFAULT 'order' CHECK (kind IN ('order', 'duplicate')),
    state text NOT NULL DEFAULT 'asked' CHECK (state IN ('asked', 'pending', 'succeeded', 'failed')),
    actor_kind text NOT NULL DEFAULT 'system',
    actor_id uuid,
    created_at timestamptz NOT NULL DEFAULT now(),
    done_at timestamptz,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, order_id) REFERENCES orders (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX refunds_order ON refunds (tenant_id, order_id);
CREATE UNIQUE INDEX refunds_stripe ON refunds (tenant_id, stripe_id) WHERE stripe_id <> '';

CREATE TABLE entitlements (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    listing_id uuid NOT NULL,
    order_id uuid,
    kind text NOT NULL CHECK (kind IN ('posting', 'feature')),
    days int NOT NULL CHECK (days > 0),
    -- Both null until the listing first goes live: review must not eat paid days.
    starts_at timestamptz,
    ends_at timestamptz,
    revoked_at timestamptz,
    reason text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, listing_id) REFERENCES listings (tenant_id, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, order_id) REFERENCES orders (tenant_id, id)
);
CREATE INDEX entitlements_listing ON entitlements (tenant_id, listing_id);
CREATE UNIQUE INDEX entitlements_order ON entitlements (tenant_id, order_id, kind) WHERE order_id IS NOT NULL;
CREATE INDEX entitlements_ends ON entitlements (ends_at) WHERE revoked_at IS NULL;

-- Double entry, append-only: the lines of one txn sum to zero per currency.
CREATE TABLE ledger_entries (
    tenant_id uuid NOT NULL REFERENCES boards (id) ON DELETE CASCADE,
    txn text NOT NULL,
    account text NOT NULL,
    amount bigint NOT NULL,
    currency text NOT NULL,
    order_id uuid,
    stripe_id text NOT NULL DEFAULT '',
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, txn, account),
    FOREIGN KEY (tenant_id, order_id) REFERENCES orders (tenant_id, id)
);
CREATE INDEX ledger_entries_order ON ledger_entries (tenant_id, order_id);
CREATE INDEX ledger_entries_at ON ledger_entries (tenant_id, at DESC);

CREATE TABLE applications (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    listing_id uuid NOT NULL,
    name text NOT NULL,
    email text NOT NULL,
    note text NOT NULL DEFAULT '',
    cv_key text NOT NULL DEFAULT '',
    cv_name text NOT NULL DEFAULT '',
    cv_type text NOT NULL DEFAULT '',
    cv_size bigint NOT NULL DEFAULT 0,
    status text NOT NULL DEFAULT 'new' CHECK (status IN ('new', 'reviewing', 'interview', 'offer', 'hired', 'rejected', 'withdrawn')),
    consent_text text NOT NULL,
    consented_at timestamptz NOT NULL,
    withdraw_hash bytea,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    withdrawn_at timestamptz,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, listing_id) REFERENCES listings (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX applications_listing ON applications (tenant_id, listing_id, created_at DESC);
CREATE INDEX applications_email ON applications (tenant_id, email);
CREATE INDEX applications_at ON applications (tenant_id, created_at);

CREATE TABLE application_replies (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    application_id uuid NOT NULL,
    person_id uuid,
    body text NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, application_id) REFERENCES applications (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX application_replies_application ON application_replies (tenant_id, application_id, at);

CREATE TABLE reports (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    listing_id uuid NOT NULL,
    reason text NOT NULL CHECK (reason IN ('scam', 'expired', 'misleading', 'discriminating', 'offensive', 'other')),
    body text NOT NULL DEFAULT '',
    email text NOT NULL DEFAULT '',
    state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'upheld', 'dismissed')),
    created_at timestamptz NOT NULL DEFAULT now(),
    decided_at timestamptz,
    decided_by uuid,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, listing_id) REFERENCES listings (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX reports_state ON reports (tenant_id, state, created_at);

CREATE TABLE alerts (
    tenant_id uuid NOT NULL REFERENCES boards (id) ON DELETE CASCADE,
    id uuid NOT NULL,
    email text NOT NULL,
    locale text NOT NULL DEFAULT '',
    -- The normalised search query string: the query in the URL is the whole state.
    query text NOT NULL,
    state text NOT NULL DEFAULT 'asked' CHECK (state IN ('asked', 'active', 'stopped')),
    confirm_hash bytea NOT NULL,
    stop_hash bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    confirmed_at timestamptz,
    stopped_at timestamptz,
    -- Listings published after this are news to the reader.
    seen_until timestamptz NOT NULL DEFAULT now(),
    next_at timestamptz,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, email, query)
);
CREATE INDEX alerts_due ON alerts (next_at) WHERE state = 'active';

CREATE TABLE looks (
    tenant_id uuid NOT NULL REFERENCES boards (id) ON DELETE CASCADE,
    id uuid NOT NULL,
    n int NOT NULL,
    state text NOT NULL CHECK (state IN ('draft', 'published', 'past')),
    look jsonb NOT NULL,
    created_by uuid,
    created_at timestamptz NOT NULL DEFAULT now(),
    published_at timestamptz,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, n)
);
CREATE UNIQUE INDEX looks_published ON looks (tenant_id) WHERE state = 'published';
CREATE UNIQUE INDEX looks_draft ON looks (tenant_id) WHERE state = 'draft';

CREATE TABLE pages (
    tenant_id uuid NOT NULL REFERENCES boards (id) ON DELETE CASCADE,
    slug text NOT NULL,
    version int NOT NULL,
    kind text NOT NULL CHECK (kind IN ('privacy', 'terms', 'impressum', 'page')),
    title text NOT NULL,
    body text NOT NULL,
    published boolean NOT NULL DEFAULT true,
    current boolean NOT NULL DEFAULT true,
    created_by uuid,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, slug, version)
);
CREATE UNIQUE INDEX pages_current ON pages (tenant_id, slug) WHERE current;

CREATE TABLE imports (
    tenant_id uuid NOT NULL REFERENCES boards (id) ON DELETE CASCADE,
    id uuid NOT NULL,
    kind text NOT NULL DEFAULT 'listings',
    name text NOT NULL,
    content text NOT NULL,
    report jsonb NOT NULL DEFAULT '{}',
    state text NOT NULL DEFAULT 'checked' CHECK (state IN ('checked', 'running', 'done')),
    created_by uuid,
    created_at timestamptz NOT NULL DEFAULT now(),
    done_at timestamptz,
    PRIMARY KEY (tenant_id, id)
);

CREATE TABLE order_numbers (
    tenant_id uuid PRIMARY KEY REFERENCES boards (id) ON DELETE CASCADE,
    last bigint NOT NULL DEFAULT 1000
);

-- ------------------------------------------------------------------ the walls

CREATE FUNCTION shingle_wall(tbl regclass) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    -- nullif: after a commit the setting is an empty string, and a bare cast errors.
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', tbl);
    EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', tbl);
    EXECUTE format('CREATE POLICY board ON %s TO shingle_app
        USING (tenant_id = nullif(current_setting(''app.tenant_id'', true), '''')::uuid)
        WITH CHECK (tenant_id = nullif(current_setting(''app.tenant_id'', true), '''')::uuid)', tbl);
    EXECUTE format('CREATE POLICY platform ON %s TO shingle_platform USING (true) WITH CHECK (true)', tbl);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO shingle_app, shingle_platform', tbl);
END $$;
REVOKE ALL ON FUNCTION shingle_wall(regclass) FROM PUBLIC;

SELECT shingle_wall(t) FROM unnest(ARRAY['casbin_rules', 'audit_log', 'tasks', 'mails', 'generations', 'people',
    'person_sessions', 'person_tokens', 'companies', 'company_members', 'categories', 'listings', 'listing_places',
    'listing_moves', 'listing_revisions', 'products', 'stripe_accounts', 'orders', 'checkout_sessions', 'refunds',
    'entitlements', 'ledger_entries', 'applications', 'application_replies', 'reports', 'alerts', 'looks', 'pages',
    'imports', 'order_numbers']::regclass[]) AS t;

-- Append-only for whoever serves requests.
REVOKE UPDATE, DELETE ON audit_log, ledger_entries, listing_moves FROM shingle_app;
REVOKE UPDATE, DELETE ON audit_log, ledger_entries FROM shingle_platform;

-- A board sees and edits its own row, but not what the platform decides about it.
ALTER TABLE boards ENABLE ROW LEVEL SECURITY;
ALTER TABLE boards FORCE ROW LEVEL SECURITY;
CREATE POLICY board ON boards TO shingle_app
    USING (id = nullif(current_setting('app.tenant_id', true), '')::uuid)
    WITH CHECK (id = nullif(current_setting('app.tenant_id', true), '')::uuid);
CREATE POLICY platform ON boards TO shingle_platform USING (true) WITH CHECK (true);
GRANT SELECT ON boards TO shingle_app;
GRANT UPDATE (name, tagline, locale, currency, time_zone, country, contact_email, moderated, settings, policy_version)
    ON boards TO shingle_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON boards TO shingle_platform;

ALTER TABLE hosts ENABLE ROW LEVEL SECURITY;
ALTER TABLE hosts FORCE ROW LEVEL SECURITY;
CREATE POLICY board ON hosts FOR SELECT TO shingle_app
    USING (board_id = nullif(current_setting('app.tenant_id', true), '')::uuid);
CREATE POLICY platform ON hosts TO shingle_platform USING (true) WITH CHECK (true);
GRANT SELECT ON hosts TO shingle_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON hosts TO shingle_platform;

-- Operators, their sessions and Stripe's events are never the app role's business.
DO $$
DECLARE t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['operators', 'operator_sessions', 'operator_tokens', 'stripe_events'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
        EXECUTE format('CREATE POLICY platform ON %I TO shingle_platform USING (true) WITH CHECK (true)', t);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO shingle_platform', t);
    END LOOP;
END $$;

-- Intent: what the staff's console needs: figures of each board that the list
-- can be filtered by, notes, feature flags, announcements, and indexes for
-- what is asked across all boards.

-- Counted anew every few minutes by a task; the list joins it.
CREATE TABLE board_summaries (
    tenant_id uuid PRIMARY KEY REFERENCES boards (id) ON DELETE CASCADE,
    live int NOT NULL DEFAULT 0,
    orders int NOT NULL DEFAULT 0,
    sales bigint NOT NULL DEFAULT 0,
    fees bigint NOT NULL DEFAULT 0,
    failed int NOT NULL DEFAULT 0,
    domain_trouble int NOT NULL DEFAULT 0,
    stripe text NOT NULL DEFAULT 'none' CHECK (stripe IN ('none', 'unfinished', 'ready')),
    active_at timestamptz,
    counted_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 80);

CREATE TABLE board_notes (
    tenant_id uuid NOT NULL REFERENCES boards (id) ON DELETE CASCADE,
    id uuid NOT NULL,
    body text NOT NULL CHECK (body <> ''),
    author_id uuid NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX board_notes_at ON board_notes (tenant_id, at DESC, id DESC);

-- The nil uuid's rows are the platform's defaults, a board's own go before them.
CREATE TABLE feature_flags (
    tenant_id uuid NOT NULL,
    name text NOT NULL,
    value boolean NOT NULL,
    set_by uuid,
    set_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, name)
);
SELECT shingle_wall(t) FROM unnest(ARRAY['board_summaries', 'board_notes', 'feature_flags']::regclass[]) AS t;
-- The staff's own: a board's code has no business there.
REVOKE ALL ON board_summaries, board_notes, feature_flags FROM shingle_app;

CREATE TABLE announcements (
    id uuid PRIMARY KEY,
    level text NOT NULL DEFAULT 'info' CHECK (level IN ('info', 'warning', 'danger')),
    text_en text NOT NULL CHECK (text_en <> ''),
    text_de text NOT NULL CHECK (text_de <> ''),
    link text NOT NULL DEFAULT '',
    audience text NOT NULL DEFAULT 'all' CHECK (audience IN ('all', 'boards')),
    boards uuid[] NOT NULL DEFAULT '{}',
    starts_at timestamptz NOT NULL,
    ends_at timestamptz,
    created_by uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    withdrawn_at timestamptz
);
CREATE INDEX announcements_open ON announcements (starts_at) WHERE withdrawn_at IS NULL;
CREATE TABLE announcement_dismissals (
    announcement_id uuid NOT NULL REFERENCES announcements (id) ON DELETE CASCADE,
    operator_id uuid NOT NULL REFERENCES operators (id) ON DELETE CASCADE,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (announcement_id, operator_id)
);
DO $$
DECLARE t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['announcements', 'announcement_dismissals'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
        EXECUTE format('CREATE POLICY platform ON %I TO shingle_platform USING (true) WITH CHECK (true)', t);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO shingle_platform', t);
    END LOOP;
END $$;

CREATE INDEX boards_newest ON boards (created_at DESC, id DESC);
CREATE INDEX listing_moves_at ON listing_moves (tenant_id, at DESC, id DESC);
CREATE INDEX listing_moves_live ON listing_moves (at) WHERE to_state = 'live';
-- What staff did to a board stands in the platform's log.
CREATE INDEX audit_log_of_board ON audit_log (object_id, at DESC, id DESC) WHERE tenant_id = '00000000-0000-0000-0000-000000000000' AND object_kind = 'board';
-- The platform's traffic by day.
CREATE INDEX usage_days_day ON usage_days (what, day);
CREATE INDEX orders_paid_at ON orders (paid_at) WHERE paid_at IS NOT NULL;
CREATE INDEX orders_number ON orders (number);
-- What the search over all boards looks for by its key.
CREATE INDEX orders_intent ON orders (payment_intent) WHERE payment_intent <> '';
CREATE INDEX orders_charge ON orders (charge) WHERE charge <> '';
CREATE INDEX checkout_sessions_id ON checkout_sessions (id);
CREATE INDEX mails_to ON mails (recipient) WHERE recipient <> '';
CREATE INDEX applications_created ON applications (created_at);

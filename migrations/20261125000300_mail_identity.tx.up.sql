-- Intent: mail under a board's own name: its domain and signing keys, the
-- addresses that must not be written to, and what mail servers sent back.

-- A board's sending identity. Without a verified domain its mails come from the
-- platform's address under the board's name.
CREATE TABLE mail_identities (
    tenant_id uuid PRIMARY KEY REFERENCES boards (id) ON DELETE CASCADE,
    domain text NOT NULL DEFAULT '' CHECK (domain = lower(domain)),
    local_part text NOT NULL DEFAULT 'jobs',
    state text NOT NULL DEFAULT 'none' CHECK (state IN ('none', 'pending', 'verified', 'broken')),
    -- The domain's bounce.<domain> leads to us, so that the envelope may carry it.
    own_return boolean NOT NULL DEFAULT false,
    footer text NOT NULL DEFAULT '',
    postal_address text NOT NULL DEFAULT '',
    -- What the last look at the DNS found, as it is shown.
    checks jsonb NOT NULL DEFAULT '[]',
    misses int NOT NULL DEFAULT 0,
    checked_at timestamptz,
    verified_at timestamptz,
    asked_at timestamptz NOT NULL DEFAULT now(),
    told_stuck boolean NOT NULL DEFAULT false
);

CREATE TABLE dkim_keys (
    tenant_id uuid NOT NULL REFERENCES boards (id) ON DELETE CASCADE,
    id uuid NOT NULL,
    selector text NOT NULL,
    -- The private key, sealed by the program; the public one as its record has it.
    sealed bytea NOT NULL,
    public text NOT NULL,
    state text NOT NULL DEFAULT 'new' CHECK (state IN ('new', 'active', 'retiring')),
    created_at timestamptz NOT NULL DEFAULT now(),
    retire_at timestamptz,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, selector)
);
CREATE UNIQUE INDEX dkim_keys_one_active ON dkim_keys (tenant_id) WHERE state = 'active';

-- No foreign key: the platform's own mails have a list too.
CREATE TABLE mail_suppressions (
    tenant_id uuid NOT NULL,
    address text NOT NULL CHECK (address = lower(address)),
    reason text NOT NULL CHECK (reason IN ('bounce', 'complaint', 'manual')),
    note text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, address)
);
CREATE INDEX mail_suppressions_at ON mail_suppressions (tenant_id, created_at DESC);

-- What came back, stored before it is understood; whose it is follows from the
-- reference in it, so no board stands beside it.
CREATE TABLE mail_returns (
    id uuid PRIMARY KEY,
    recipient text NOT NULL DEFAULT '',
    content_type text NOT NULL DEFAULT '',
    raw bytea NOT NULL,
    state text NOT NULL DEFAULT 'received' CHECK (state IN ('received', 'applied', 'ignored')),
    note text NOT NULL DEFAULT '',
    received_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX mail_returns_at ON mail_returns (received_at);

ALTER TABLE mails DROP CONSTRAINT mails_state_check;
ALTER TABLE mails ADD CONSTRAINT mails_state_check
    CHECK (state IN ('queued', 'sent', 'refused', 'suppressed', 'bounced', 'complained'));
ALTER TABLE mails ADD COLUMN returned_at timestamptz;
-- What comes back names the mail, not its board.
CREATE INDEX mails_id ON mails (id);
-- Failures of an address within a month are counted when another comes back.
CREATE INDEX mails_bounced ON mails (tenant_id, recipient, returned_at) WHERE state = 'bounced';

SELECT shingle_wall(t) FROM unnest(ARRAY['mail_identities', 'dkim_keys', 'mail_suppressions']::regclass[]) AS t;

ALTER TABLE mail_returns ENABLE ROW LEVEL SECURITY;
ALTER TABLE mail_returns FORCE ROW LEVEL SECURITY;
CREATE POLICY platform ON mail_returns TO shingle_platform USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON mail_returns TO shingle_platform;

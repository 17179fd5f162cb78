-- Intent: a board proves its hosts by DNS before they are its own (hosts gets a
-- row only then), manages its old addresses, and may close itself to strangers.

CREATE TABLE domains (
    tenant_id uuid NOT NULL REFERENCES boards (id) ON DELETE CASCADE,
    host text NOT NULL CHECK (host = lower(host)),
    -- The value of the ownership record: of this board and host alone.
    token text NOT NULL,
    state text NOT NULL DEFAULT 'checking' CHECK (state IN ('checking', 'proven', 'live', 'stuck', 'removed')),
    -- Becomes the board's main address by itself once it is live.
    wants_primary boolean NOT NULL DEFAULT false,
    report jsonb NOT NULL DEFAULT '{}',
    attempts int NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    -- When polling began: it gives up some days later.
    since timestamptz NOT NULL DEFAULT now(),
    checked_at timestamptz,
    next_check_at timestamptz,
    proven_at timestamptz,
    -- When it was first proven and led here: the certificate is asked for once.
    ready_at timestamptz,
    live_at timestamptz,
    -- Since when the ownership record is gone, and when that was told.
    missing_since timestamptz,
    flagged_at timestamptz,
    removed_at timestamptz,
    -- A removed host stays reserved for its board until then.
    held_until timestamptz,
    PRIMARY KEY (tenant_id, host)
);
-- "Is it another board's?" is asked by the platform.
CREATE INDEX domains_host ON domains (host);
CREATE INDEX domains_due ON domains (next_check_at) WHERE state IN ('checking', 'proven', 'live');

CREATE TABLE redirects (
    tenant_id uuid NOT NULL REFERENCES boards (id) ON DELETE CASCADE,
    id uuid NOT NULL,
    -- A path, exact, or up to a trailing "*".
    source text NOT NULL CHECK (source LIKE '/%'),
    wildcard boolean NOT NULL DEFAULT false,
    -- Empty for what is gone for good (410).
    target text NOT NULL DEFAULT '',
    status int NOT NULL DEFAULT 301 CHECK (status IN (301, 302, 410)),
    created_by uuid,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz,
    hits bigint NOT NULL DEFAULT 0,
    hit_at timestamptz,
    PRIMARY KEY (tenant_id, id)
);
CREATE UNIQUE INDEX redirects_source ON redirects (tenant_id, source, wildcard) WHERE deleted_at IS NULL;

-- Ways into a private board that are spent once: a mailed link, an invitation,
-- a sign-in under way at the board's own provider.
CREATE TABLE access_passes (
    tenant_id uuid NOT NULL REFERENCES boards (id) ON DELETE CASCADE,
    hash bytea NOT NULL,
    kind text NOT NULL CHECK (kind IN ('link', 'invite', 'oidc')),
    email text NOT NULL DEFAULT '',
    payload jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    spent_at timestamptz,
    PRIMARY KEY (tenant_id, hash)
);
CREATE INDEX access_passes_kind ON access_passes (tenant_id, kind, created_at DESC);
CREATE INDEX access_passes_expiry ON access_passes (expires_at);

SELECT shingle_wall(t) FROM unnest(ARRAY['domains', 'redirects', 'access_passes']::regclass[]) AS t;
-- What a domain's state is, only the platform's checks say; a board reads it.
REVOKE INSERT, UPDATE, DELETE ON domains FROM shingle_app;

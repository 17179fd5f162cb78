-- Intent: an owner hands a board over to a member of its team, who confirms it
-- from a sign-in of their own; and a board's launch checklist can be put away.

CREATE TABLE ownership_offers (
    tenant_id uuid NOT NULL REFERENCES boards (id) ON DELETE CASCADE,
    id uuid NOT NULL,
    from_operator uuid NOT NULL,
    to_operator uuid NOT NULL,
    -- What becomes of who offers: another role, or they leave.
    afterwards text NOT NULL CHECK (afterwards IN ('admin', 'leave')),
    token_hash bytea NOT NULL,
    state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'accepted', 'declined', 'withdrawn')),
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    ended_at timestamptz,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, token_hash)
);
-- One at a time: a newer offer ends the older.
CREATE UNIQUE INDEX ownership_offers_open ON ownership_offers (tenant_id) WHERE state = 'open';

CREATE TABLE launch_checklists (
    tenant_id uuid PRIMARY KEY REFERENCES boards (id) ON DELETE CASCADE,
    dismissed_at timestamptz NOT NULL
);

SELECT shingle_wall(t) FROM unnest(ARRAY['ownership_offers', 'launch_checklists']::regclass[]) AS t;
-- Operators are the platform's, so its own login alone deals with them.
REVOKE ALL ON ownership_offers FROM shingle_app;

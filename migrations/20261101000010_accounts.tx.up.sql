-- Intent: the version of the platform's own policy beside the boards' (which
-- is a column of boards), tickets that bind a mailed code to the page it was
-- asked on, and the indexes that the expiry sweep reads.

CREATE TABLE platform_policy (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    version bigint NOT NULL DEFAULT 1
);
INSERT INTO platform_policy (one) VALUES (true);
ALTER TABLE platform_policy ENABLE ROW LEVEL SECURITY;
ALTER TABLE platform_policy FORCE ROW LEVEL SECURITY;
CREATE POLICY platform ON platform_policy TO shingle_platform USING (true) WITH CHECK (true);
GRANT SELECT, UPDATE ON platform_policy TO shingle_platform;

-- The hash of the ticket that the asking page holds; the code's hash is keyed by
-- the ticket itself, so that six digits cannot be found from the row.
ALTER TABLE operator_tokens ADD COLUMN ticket_hash bytea;
CREATE UNIQUE INDEX operator_tokens_ticket ON operator_tokens (ticket_hash) WHERE ticket_hash IS NOT NULL;
ALTER TABLE person_tokens ADD COLUMN ticket_hash bytea;
CREATE UNIQUE INDEX person_tokens_ticket ON person_tokens (tenant_id, ticket_hash) WHERE ticket_hash IS NOT NULL;

CREATE INDEX operator_sessions_parent ON operator_sessions (parent_hash) WHERE parent_hash IS NOT NULL;
CREATE INDEX person_sessions_expiry ON person_sessions (expires_at);
CREATE INDEX person_tokens_expiry ON person_tokens (expires_at);

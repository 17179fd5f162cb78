-- Intent: forms that came without a proof of work wait for a link by mail.
-- What was typed, files included, is sealed: a copy of the database shows
-- neither it nor the link.
CREATE TABLE held_forms (
    tenant_id uuid NOT NULL REFERENCES boards (id) ON DELETE CASCADE,
    hash bytea NOT NULL,
    form text NOT NULL CHECK (form IN ('apply', 'post', 'report')),
    email text NOT NULL,
    sealed bytea NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    -- Whoever presses the link's button holds the row for a moment; it goes when
    -- the act has been done.
    taken_until timestamptz,
    PRIMARY KEY (tenant_id, hash)
);
CREATE INDEX held_forms_expiry ON held_forms (tenant_id, expires_at);
-- Already compressed or noise: no try to squeeze it.
ALTER TABLE held_forms ALTER COLUMN sealed SET STORAGE EXTERNAL;

SELECT shingle_wall('held_forms');

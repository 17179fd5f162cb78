-- Intent: an employer's words about a company wait for the review, mails are
-- counted by recipient, and one rebuild of a search index runs at a time.

-- Logo and website that come with a listing, until it goes out.

ALTER TABLE listings ADD COLUMN next_logo text NOT NULL DEFAULT '';
ALTER TABLE listings ADD COLUMN next_website text NOT NULL DEFAULT '';

-- How often an address was written to lately, and the mails of one application.
CREATE INDEX mails_recipient ON mails (tenant_id, recipient, created_at DESC) WHERE recipient <> '';

-- Who rebuilds a board's search index in the remote engine: one at a time. The
-- lease ends by itself when its holder dies.
CREATE TABLE search_rebuilds (
    tenant_id uuid PRIMARY KEY REFERENCES boards (id) ON DELETE CASCADE,
    holder uuid NOT NULL,
    lease_until timestamptz NOT NULL
);
SELECT shingle_wall('search_rebuilds');

-- Intent: what an employer says of a company with a listing (logo, website)
-- waits on the listing until it goes out, so that no visitor sees it unreviewed.

ALTER TABLE listings ADD COLUMN next_logo text NOT NULL DEFAULT '';
ALTER TABLE listings ADD COLUMN next_website text NOT NULL DEFAULT '';

-- How often an address was written to lately, and the mails of one application.
CREATE INDEX mails_recipient ON mails (tenant_id, recipient, created_at DESC) WHERE recipient <> '';

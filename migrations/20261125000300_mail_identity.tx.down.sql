-- Intent: takes mail identities away. The owner sees no rows, so mails in newer
-- states keep them: the old rule holds for new rows alone.
DROP INDEX mails_bounced, mails_id;
ALTER TABLE mails DROP COLUMN returned_at;
ALTER TABLE mails DROP CONSTRAINT mails_state_check;
ALTER TABLE mails ADD CONSTRAINT mails_state_check CHECK (state IN ('queued', 'sent', 'refused')) NOT VALID;
DROP TABLE mail_returns, mail_suppressions, dkim_keys, mail_identities;

-- Intent: back to logos that are the company's at once.

DROP INDEX mails_recipient;

ALTER TABLE listings DROP COLUMN next_website;
ALTER TABLE listings DROP COLUMN next_logo;

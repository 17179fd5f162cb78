-- Intent: back to logos that are the company's at once.

DROP TABLE search_rebuilds;

DROP INDEX mails_recipient;

ALTER TABLE listings DROP COLUMN next_website;
ALTER TABLE listings DROP COLUMN next_logo;

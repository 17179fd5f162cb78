-- Intent: back to logos that are the company's at once.

ALTER TABLE listings DROP COLUMN next_website;
ALTER TABLE listings DROP COLUMN next_logo;

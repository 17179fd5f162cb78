-- Intent: takes the boards' own mail texts away; mails use the shipped words.
DROP TABLE mail_texts;

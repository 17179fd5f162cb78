-- Intent: take back the tables of domains, redirects and private boards.
DROP TABLE access_passes;
DROP TABLE redirects;
DROP TABLE domains;

-- Intent: a backup says which migrations its rows belong to, and is written by
-- the platform's login. The table is bun's and has no rows of a board.
GRANT SELECT ON bun_migrations TO shingle_platform;

ALTER TABLE checkout_sessions DROP COLUMN trace;
ALTER TABLE tasks DROP COLUMN trace;

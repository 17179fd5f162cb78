DROP INDEX person_tokens_expiry, person_sessions_expiry, operator_sessions_parent;
ALTER TABLE person_tokens DROP COLUMN ticket_hash;
ALTER TABLE operator_tokens DROP COLUMN ticket_hash;
DROP TABLE platform_policy;

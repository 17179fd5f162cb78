DELETE FROM operator_sessions WHERE impersonation_id IS NOT NULL;
ALTER TABLE operator_sessions DROP CONSTRAINT operator_sessions_impersonated, DROP COLUMN impersonation_id, DROP COLUMN impersonator_id, DROP COLUMN read_only;
DROP TABLE impersonations;

DROP TRIGGER audit_queue ON audit_log;
DROP FUNCTION shingle_audit_erase(uuid, uuid), shingle_audit_verified(uuid, bigint, text), shingle_audit_log_head(uuid),
    shingle_audit_seal(uuid, int), shingle_audit_queue(), shingle_audit_hash(bytea, bigint, audit_log, bytea, timestamptz),
    shingle_audit_personal(uuid, jsonb), shingle_audit_field(bytea);
DROP TABLE audit_heads, audit_chains, audit_chain, audit_unsealed;
DROP POLICY audit ON audit_log;
REVOKE ALL ON audit_log FROM shingle_audit;
REVOKE UPDATE (personal, salt) ON audit_log FROM shingle_audit;
DROP INDEX audit_log_all, audit_log_object, audit_log_act, audit_log_behind, audit_log_actor, audit_log_at;
CREATE INDEX audit_log_at ON audit_log (tenant_id, at DESC);
ALTER TABLE audit_log DROP COLUMN impersonator_id, DROP COLUMN salt;
REVOKE USAGE ON SCHEMA public FROM shingle_audit;

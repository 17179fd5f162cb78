DROP TABLE operator_address_changes, operator_identities, operator_recovery_codes, operator_totp, operator_passkeys;
-- Forced row level security hides the rows from their owner, too.
ALTER TABLE operator_tokens NO FORCE ROW LEVEL SECURITY;
DELETE FROM operator_tokens WHERE kind NOT IN ('sign-in', 'hand-over', 'invite', 'reset', 'sign-up');
ALTER TABLE operator_tokens FORCE ROW LEVEL SECURITY;
ALTER TABLE operator_tokens DROP CONSTRAINT operator_tokens_kind_check;
ALTER TABLE operator_tokens ADD CONSTRAINT operator_tokens_kind_check CHECK (kind IN ('sign-in', 'hand-over', 'invite', 'reset', 'sign-up'));
ALTER TABLE operator_sessions DROP COLUMN factor_at;

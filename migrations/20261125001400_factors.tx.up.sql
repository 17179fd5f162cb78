-- Intent: second factors of operators (passkeys, one-time codes, recovery
-- codes), sign-ins at another provider, changes of address that both addresses
-- confirm, and when a session last proved its second factor.

ALTER TABLE operator_sessions ADD COLUMN factor_at timestamptz;

ALTER TABLE operator_tokens DROP CONSTRAINT operator_tokens_kind_check;
ALTER TABLE operator_tokens ADD CONSTRAINT operator_tokens_kind_check CHECK (kind IN ('sign-in', 'hand-over', 'invite', 'reset', 'sign-up',
    'passkey-new', 'passkey-in', 'passkey-check', 'oidc', 'oidc-link', 'address-old', 'address-new'));

CREATE TABLE operator_passkeys (
    credential_id bytea PRIMARY KEY,
    operator_id uuid NOT NULL REFERENCES operators (id) ON DELETE CASCADE,
    name text NOT NULL,
    -- The record as the library keeps it: a public key, its counter, its flags.
    credential jsonb NOT NULL,
    created_at timestamptz NOT NULL,
    used_at timestamptz
);
CREATE INDEX operator_passkeys_operator ON operator_passkeys (operator_id);

-- last_step is the 30-second step of the last code that was taken: none of it or
-- before it is taken again.
CREATE TABLE operator_totp (
    operator_id uuid PRIMARY KEY REFERENCES operators (id) ON DELETE CASCADE,
    sealed bytea NOT NULL,
    sealed_with text NOT NULL,
    last_step bigint NOT NULL,
    created_at timestamptz NOT NULL
);

CREATE TABLE operator_recovery_codes (
    operator_id uuid NOT NULL REFERENCES operators (id) ON DELETE CASCADE,
    hash bytea NOT NULL,
    spent_at timestamptz,
    PRIMARY KEY (operator_id, hash)
);

-- Who somebody is at another provider: its subject never changes, addresses do.
CREATE TABLE operator_identities (
    issuer text NOT NULL,
    subject text NOT NULL,
    operator_id uuid NOT NULL REFERENCES operators (id) ON DELETE CASCADE,
    email text NOT NULL,
    created_at timestamptz NOT NULL,
    used_at timestamptz,
    PRIMARY KEY (issuer, subject)
);
CREATE INDEX operator_identities_operator ON operator_identities (operator_id);

-- A change of address that waits for both addresses.
CREATE TABLE operator_address_changes (
    operator_id uuid PRIMARY KEY REFERENCES operators (id) ON DELETE CASCADE,
    email text NOT NULL CHECK (email = lower(email)),
    old_confirmed_at timestamptz,
    new_confirmed_at timestamptz,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
);

DO $$
DECLARE t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['operator_passkeys', 'operator_totp', 'operator_recovery_codes', 'operator_identities', 'operator_address_changes'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
        EXECUTE format('CREATE POLICY platform ON %I TO shingle_platform USING (true) WITH CHECK (true)', t);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO shingle_platform', t);
    END LOOP;
END $$;

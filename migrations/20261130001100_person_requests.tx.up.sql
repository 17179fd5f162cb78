-- Intent: a person of a board asks for their data or for its erasure, and both
-- are kept with their dates: the law gives a month. What is left of a request
-- that is done names nobody.

CREATE TABLE person_requests (
    tenant_id uuid NOT NULL REFERENCES boards (id) ON DELETE CASCADE,
    id uuid NOT NULL,
    kind text NOT NULL CHECK (kind IN ('export', 'erasure')),
    state text NOT NULL CHECK (state IN ('asked', 'cancelled', 'done')),
    -- Folded; empty once the request is over.
    email text NOT NULL DEFAULT '',
    -- Keyed digest of board and address: tells whether a given address was erased,
    -- and no address to whoever has the table alone.
    fingerprint bytea NOT NULL DEFAULT '',
    asked_at timestamptz NOT NULL,
    -- When the erasure begins: until then it can be taken back.
    runs_at timestamptz NOT NULL,
    -- The law's last day.
    due_at timestamptz NOT NULL,
    over_at timestamptz,
    -- Whose names the audit log still has, between an erasure's two transactions.
    person uuid,
    -- How much was handed over or erased, by kind; numbers alone.
    counts jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (tenant_id, id)
);
CREATE UNIQUE INDEX person_requests_open ON person_requests (tenant_id, email) WHERE state = 'asked';
CREATE INDEX person_requests_list ON person_requests (tenant_id, asked_at DESC, id DESC);
CREATE INDEX person_requests_runs ON person_requests (runs_at) WHERE state = 'asked';
CREATE INDEX person_requests_over ON person_requests (over_at) WHERE state <> 'asked';

SELECT shingle_wall('person_requests');

-- Erasure finds what an address bought.
CREATE INDEX orders_email ON orders (tenant_id, email);

-- As shingle_audit_erase(board, who), and every line whose personal part has the
-- address as a value: acts about somebody that name them by address alone.
CREATE FUNCTION shingle_audit_erase(board uuid, who uuid, address text) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp AS $$
DECLARE n bigint;
BEGIN
    UPDATE public.audit_log SET personal = '{}', salt = NULL WHERE tenant_id = board AND salt IS NOT NULL
        AND (actor_id = who OR impersonator_id = who OR object_id = who::text
            OR address <> '' AND position(to_jsonb(address)::text IN personal::text) > 0);
    GET DIAGNOSTICS n = ROW_COUNT;
    RETURN n;
END $$;

DO $$
BEGIN
    GRANT CREATE ON SCHEMA public TO shingle_audit;
    REVOKE ALL ON FUNCTION shingle_audit_erase(uuid, uuid, text) FROM PUBLIC;
    GRANT EXECUTE ON FUNCTION shingle_audit_erase(uuid, uuid, text) TO shingle_platform;
    ALTER FUNCTION shingle_audit_erase(uuid, uuid, text) OWNER TO shingle_audit;
    REVOKE CREATE ON SCHEMA public FROM shingle_audit;
END $$;

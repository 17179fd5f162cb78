-- Intent: the audit log is sealed into a hash chain per board and one for the
-- platform. Lines are written as before, unchained, in the act's transaction; a
-- trigger queues them, and functions of a role without login link them. Nobody
-- who serves requests can write the chain. docs/decisions/audit-chain.md.

-- Rewrites the table once: each old line needs a salt of its own. salt is NULL
-- once the personal part is erased, so that names cannot be guessed from the digest.
ALTER TABLE audit_log ADD COLUMN salt uuid DEFAULT gen_random_uuid();
-- The staff member who acted as actor_id, when one did.
ALTER TABLE audit_log ADD COLUMN impersonator_id uuid;

-- Pages go through the log by key, under each filter.
DROP INDEX audit_log_at;
CREATE INDEX audit_log_at ON audit_log (tenant_id, at DESC, id DESC);
CREATE INDEX audit_log_actor ON audit_log (tenant_id, actor_id, at DESC, id DESC);
CREATE INDEX audit_log_behind ON audit_log (tenant_id, impersonator_id, at DESC, id DESC) WHERE impersonator_id IS NOT NULL;
CREATE INDEX audit_log_act ON audit_log (tenant_id, act, at DESC, id DESC);
CREATE INDEX audit_log_object ON audit_log (tenant_id, object_id, at DESC, id DESC);
CREATE INDEX audit_log_all ON audit_log (at DESC, id DESC);

-- Lines that wait for their link.
CREATE TABLE audit_unsealed (
    tenant_id uuid NOT NULL,
    at timestamptz NOT NULL,
    id uuid NOT NULL,
    PRIMARY KEY (tenant_id, at, id)
);

-- A link: the line's place, what it was when it was sealed, and all before it.
CREATE TABLE audit_chain (
    tenant_id uuid NOT NULL,
    seq bigint NOT NULL,
    id uuid NOT NULL,
    -- sha256 of salt and personal part; empty when that was erased already.
    personal_digest bytea NOT NULL,
    hash bytea NOT NULL,
    sealed_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, seq),
    UNIQUE (tenant_id, id)
);

-- The chain's end, whose row lock makes sealers take turns, and the last look.
CREATE TABLE audit_chains (
    tenant_id uuid PRIMARY KEY,
    seq bigint NOT NULL DEFAULT 0,
    hash bytea NOT NULL DEFAULT '',
    sealed_at timestamptz,
    verified_at timestamptz,
    verified_seq bigint NOT NULL DEFAULT 0,
    problem text NOT NULL DEFAULT ''
);

-- Heads as they were logged, day by day: a tail that was cut is missed here.
CREATE TABLE audit_heads (
    tenant_id uuid NOT NULL,
    seq bigint NOT NULL,
    hash bytea NOT NULL,
    logged_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, seq)
);

SELECT shingle_wall(t) FROM unnest(ARRAY['audit_unsealed', 'audit_chain', 'audit_chains', 'audit_heads']::regclass[]) AS t;
REVOKE INSERT, UPDATE, DELETE ON audit_unsealed, audit_chain, audit_chains, audit_heads FROM shingle_app, shingle_platform;

DO $$
DECLARE t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['audit_log', 'audit_unsealed', 'audit_chain', 'audit_chains', 'audit_heads'] LOOP
        EXECUTE format('CREATE POLICY audit ON %I TO shingle_audit USING (true) WITH CHECK (true)', t);
        EXECUTE format('GRANT SELECT ON %I TO shingle_audit', t);
    END LOOP;
END $$;
GRANT UPDATE (personal, salt) ON audit_log TO shingle_audit;
GRANT INSERT, DELETE ON audit_unsealed TO shingle_audit;
GRANT INSERT ON audit_chain, audit_heads TO shingle_audit;
GRANT INSERT, UPDATE ON audit_chains TO shingle_audit;

-- Each value with its length before it, so that no two lines read alike.
CREATE FUNCTION shingle_audit_field(v bytea) RETURNS bytea LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN v IS NULL THEN '\xffffffff'::bytea ELSE int4send(octet_length(v)) || v END
$$;

CREATE FUNCTION shingle_audit_personal(salt uuid, personal jsonb) RETURNS bytea LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE WHEN salt IS NULL THEN ''::bytea ELSE sha256(uuid_send(salt) || convert_to(personal::text, 'UTF8')) END
$$;

-- authz/chain computes the same in Go, from the rows alone.
CREATE FUNCTION shingle_audit_hash(prev bytea, seq bigint, l audit_log, digest bytea, sealed_at timestamptz) RETURNS bytea LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp AS $$
    SELECT sha256(public.shingle_audit_field('shingle audit 1') || public.shingle_audit_field(prev) || public.shingle_audit_field(int8send(seq))
        || public.shingle_audit_field(uuid_send(l.tenant_id)) || public.shingle_audit_field(uuid_send(l.id))
        || public.shingle_audit_field(int8send((extract(epoch FROM l.at) * 1000000)::bigint))
        || public.shingle_audit_field(convert_to(l.actor_kind, 'UTF8')) || public.shingle_audit_field(uuid_send(l.actor_id))
        || public.shingle_audit_field(uuid_send(l.impersonator_id))
        || public.shingle_audit_field(convert_to(l.act, 'UTF8')) || public.shingle_audit_field(convert_to(l.object_kind, 'UTF8'))
        || public.shingle_audit_field(convert_to(l.object_id, 'UTF8')) || public.shingle_audit_field(convert_to(l.detail::text, 'UTF8'))
        || public.shingle_audit_field(convert_to(l.request_id, 'UTF8')) || public.shingle_audit_field(digest)
        || public.shingle_audit_field(int8send((extract(epoch FROM sealed_at) * 1000000)::bigint)))
$$;

CREATE FUNCTION shingle_audit_queue() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO public.audit_unsealed (tenant_id, at, id) VALUES (NEW.tenant_id, NEW.at, NEW.id);
    RETURN NULL;
END $$;
CREATE TRIGGER audit_queue AFTER INSERT ON audit_log FOR EACH ROW EXECUTE FUNCTION shingle_audit_queue();

-- shingle_audit_seal links up to that many committed lines of one chain and
-- tells how many. While another transaction seals the chain it tells 0. A chain
-- that does not end where its head says is not continued.
CREATE FUNCTION shingle_audit_seal(board uuid, most int) RETURNS int LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    head public.audit_chains;
    line public.audit_log;
    entry record;
    tail_seq bigint;
    tail_hash bytea;
    digest bytea;
    moment timestamptz := clock_timestamp();
    n int := 0;
BEGIN
    -- ON CONFLICT would wait for who holds the row.
    IF NOT EXISTS (SELECT FROM public.audit_chains WHERE tenant_id = board) THEN
        INSERT INTO public.audit_chains (tenant_id) VALUES (board) ON CONFLICT DO NOTHING;
    END IF;
    SELECT * INTO head FROM public.audit_chains WHERE tenant_id = board FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN 0;
    END IF;
    SELECT seq, hash INTO tail_seq, tail_hash FROM public.audit_chain WHERE tenant_id = board ORDER BY seq DESC LIMIT 1;
    IF coalesce(tail_seq, 0) <> head.seq OR coalesce(tail_hash, ''::bytea) <> head.hash THEN
        RAISE EXCEPTION 'the audit chain of % ends at %, its head says %', board, coalesce(tail_seq, 0), head.seq USING ERRCODE = 'data_corrupted';
    END IF;
    FOR entry IN SELECT l, u.at, u.id FROM public.audit_unsealed AS u JOIN public.audit_log AS l ON l.tenant_id = u.tenant_id AND l.id = u.id
        WHERE u.tenant_id = board ORDER BY u.at, u.id LIMIT most
    LOOP
        line := entry.l;
        digest := public.shingle_audit_personal(line.salt, line.personal);
        head.seq := head.seq + 1;
        head.hash := public.shingle_audit_hash(head.hash, head.seq, line, digest, moment);
        INSERT INTO public.audit_chain (tenant_id, seq, id, personal_digest, hash, sealed_at)
            VALUES (board, head.seq, line.id, digest, head.hash, moment);
        DELETE FROM public.audit_unsealed WHERE tenant_id = board AND at = entry.at AND id = entry.id;
        n := n + 1;
    END LOOP;
    IF n > 0 THEN
        UPDATE public.audit_chains SET seq = head.seq, hash = head.hash, sealed_at = moment WHERE tenant_id = board;
    END IF;
    RETURN n;
END $$;

-- Notes the head as one that is being logged; no row when it was noted already.
CREATE FUNCTION shingle_audit_log_head(board uuid) RETURNS TABLE (seq bigint, hash bytea) LANGUAGE sql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp AS $$
    INSERT INTO public.audit_heads (tenant_id, seq, hash) SELECT c.tenant_id, c.seq, c.hash FROM public.audit_chains AS c
        WHERE c.tenant_id = board AND c.seq > 0 ON CONFLICT DO NOTHING RETURNING audit_heads.seq, audit_heads.hash
$$;

-- What the last look at a chain found; for show, nothing is decided by it.
CREATE FUNCTION shingle_audit_verified(board uuid, upto bigint, found text) RETURNS void LANGUAGE sql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp AS $$
    UPDATE public.audit_chains SET verified_at = clock_timestamp(), verified_seq = upto, problem = left(found, 1000) WHERE tenant_id = board
$$;

-- Empties the personal part of every line by or about somebody, with its salt.
CREATE FUNCTION shingle_audit_erase(board uuid, who uuid) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp AS $$
DECLARE n bigint;
BEGIN
    UPDATE public.audit_log SET personal = '{}', salt = NULL WHERE tenant_id = board AND salt IS NOT NULL
        AND (actor_id = who OR impersonator_id = who OR object_id = who::text);
    GET DIAGNOSTICS n = ROW_COUNT;
    RETURN n;
END $$;

-- Handing a function over takes the right to create in the schema for a moment.
DO $$
DECLARE f text;
BEGIN
    EXECUTE 'GRANT CREATE ON SCHEMA public TO shingle_audit';
    EXECUTE 'GRANT USAGE ON SCHEMA public TO shingle_audit';
    FOREACH f IN ARRAY ARRAY['shingle_audit_field(bytea)', 'shingle_audit_personal(uuid, jsonb)',
        'shingle_audit_hash(bytea, bigint, audit_log, bytea, timestamptz)', 'shingle_audit_queue()'] LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', f);
        EXECUTE format('ALTER FUNCTION %s OWNER TO shingle_audit', f);
    END LOOP;
    FOREACH f IN ARRAY ARRAY['shingle_audit_seal(uuid, int)', 'shingle_audit_log_head(uuid)',
        'shingle_audit_verified(uuid, bigint, text)', 'shingle_audit_erase(uuid, uuid)'] LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', f);
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO shingle_platform', f);
        EXECUTE format('ALTER FUNCTION %s OWNER TO shingle_audit', f);
    END LOOP;
    EXECUTE 'REVOKE CREATE ON SCHEMA public FROM shingle_audit';
END $$;

-- Lines from before wait their turn. The owner sees no row; this role does.
SET LOCAL ROLE shingle_audit;
INSERT INTO audit_unsealed (tenant_id, at, id) SELECT tenant_id, at, id FROM audit_log;
RESET ROLE;

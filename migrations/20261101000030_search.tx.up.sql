-- Intent: the Postgres search: a document per live listing whose words are
-- numbers that carry their board, a vocabulary per board, and the functions
-- through which both are asked. docs/decisions/search-in-postgres.md says why.

CREATE EXTENSION IF NOT EXISTS btree_gin;

CREATE TABLE search_documents (
    tenant_id uuid NOT NULL REFERENCES boards (id) ON DELETE CASCADE,
    id uuid NOT NULL,
    version bigint NOT NULL,
    -- A listing that left keeps its row for a while, so that an older write
    -- which comes late finds the newer version.
    gone boolean NOT NULL DEFAULT false,
    indexed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    featured boolean NOT NULL DEFAULT false,
    published_at timestamptz NOT NULL DEFAULT '-infinity',
    ends_at timestamptz NOT NULL DEFAULT 'infinity',
    salary_top bigint NOT NULL DEFAULT 0,
    type text NOT NULL DEFAULT '',
    workplace text NOT NULL DEFAULT '',
    category text NOT NULL DEFAULT '',
    company text NOT NULL DEFAULT '',
    seniority text NOT NULL DEFAULT '',
    countries text[] NOT NULL DEFAULT '{}',
    -- Keys of words: 64-bit hashes of board, field and stem (postgres/keys.go).
    title_words bigint[] NOT NULL DEFAULT '{}',
    head_words bigint[] NOT NULL DEFAULT '{}',
    words bigint[] NOT NULL DEFAULT '{}',
    PRIMARY KEY (tenant_id, id)
);
-- Numbers of a hash do not compress.
ALTER TABLE search_documents ALTER COLUMN words SET STORAGE EXTERNAL;
ALTER TABLE search_documents ALTER COLUMN words SET STATISTICS 300;
CREATE INDEX search_documents_front ON search_documents (tenant_id, featured DESC, published_at DESC, id) WHERE NOT gone;
CREATE INDEX search_documents_recent ON search_documents (tenant_id, published_at DESC, id) WHERE NOT gone;
-- Each search reads what waits to be merged into the index: keep it short.
CREATE INDEX search_documents_words ON search_documents USING gin (words) WITH (gin_pending_list_limit = 512);

-- What a board's titles, companies, tags and places say: for repair of typos,
-- for compounds and for suggestions.
CREATE TABLE search_terms (
    tenant_id uuid NOT NULL REFERENCES boards (id) ON DELETE CASCADE,
    kind text NOT NULL CHECK (kind IN ('word', 'place', 'title', 'company')),
    term text COLLATE "C" NOT NULL,
    -- As people write it; empty when it is the term itself.
    label text NOT NULL DEFAULT '',
    -- Key of the stem, for words.
    key bigint NOT NULL DEFAULT 0,
    -- How many listings had it when the board was last rebuilt or checked.
    n int NOT NULL DEFAULT 1,
    seen_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, kind, term)
);
CREATE INDEX search_terms_similar ON search_terms USING gin (tenant_id, term gin_trgm_ops) WHERE kind IN ('word', 'place');

-- A board's search-only key for Typesense, sealed by the program.
CREATE TABLE search_keys (
    tenant_id uuid PRIMARY KEY REFERENCES boards (id) ON DELETE CASCADE,
    server text NOT NULL,
    key_id bigint NOT NULL,
    sealed bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

SELECT shingle_wall(t) FROM unnest(ARRAY['search_documents', 'search_terms', 'search_keys']::regclass[]) AS t;

-- Behind row level security only leakproof operators use an index, and @>, &&,
-- % and LIKE are not. So these run as a role that never signs in, sees all
-- rows, and asks for the bound board's alone: no argument names a board.
CREATE POLICY search ON search_documents FOR SELECT TO shingle_search USING (true);
CREATE POLICY search ON search_terms FOR SELECT TO shingle_search USING (true);
GRANT SELECT ON search_documents, search_terms TO shingle_search;

CREATE FUNCTION shingle_bound_tenant() RETURNS uuid LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp AS $$
DECLARE t uuid := nullif(current_setting('app.tenant_id', true), '')::uuid;
BEGIN
    IF t IS NULL THEN
        RAISE EXCEPTION 'no board is bound to this transaction' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN t;
END $$;

-- search_where is the part of a search that hits and counts share. Every value
-- in it goes through %L; numbers are numbers.
--   must: keys that all have to be there; some: arrays of which one key has to be there
CREATE FUNCTION shingle_search_where(t uuid, must bigint[], others jsonb, salary bigint, since timestamptz) RETURNS text
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    w text;
    g jsonb;
BEGIN
    IF cardinality(must) > 0 OR jsonb_array_length(others) > 0 THEN
        -- Keys carry their board. IS NOT DISTINCT FROM and IS NOT TRUE use no
        -- index: the planner, who does not know what it costs to fetch words
        -- that lie out of line, is left with the index of words.
        w := format('d.tenant_id IS NOT DISTINCT FROM %L::uuid AND d.gone IS NOT TRUE', t);
        IF cardinality(must) > 0 THEN
            w := w || format(' AND d.words @> %L::bigint[]', must);
        END IF;
        FOR g IN SELECT jsonb_array_elements(others) LOOP
            w := w || format(' AND d.words && %L::bigint[]', ARRAY(SELECT e::bigint FROM jsonb_array_elements_text(g) AS e));
        END LOOP;
    ELSE
        w := format('d.tenant_id = %L::uuid AND NOT d.gone', t);
    END IF;
    w := w || ' AND d.ends_at > now()';
    IF salary > 0 THEN
        w := w || format(' AND d.salary_top >= %s', salary);
    END IF;
    IF since IS NOT NULL THEN
        w := w || format(' AND d.published_at > %L::timestamptz', since);
    END IF;
    RETURN w;
END $$;

-- shingle_search answers one page: {"ids": […], "counts": […]} for the query
--   {"must": [key], "some": [[key]], "narrow": [[key]], "rank": [[key]], "like": [{"term", "key"}], "salary", "since",
--    "type": [], "workplace": [], "category": [], "company": [], "seniority": [], "country": [],
--    "sort", "limit", "offset", "counts": bool}
CREATE FUNCTION shingle_search(q jsonb) RETURNS jsonb
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = public, pg_catalog, pg_temp
    SET enable_seqscan = off SET max_parallel_workers_per_gather = 0 SET jit = off SET work_mem = '32MB' AS $$
DECLARE
    t uuid := shingle_bound_tenant();
    must bigint[] := ARRAY(SELECT e::bigint FROM jsonb_array_elements_text(q->'must') AS e);
    others jsonb := q->'some';
    rank jsonb := q->'rank';
    l record;
    keys bigint[];
    base text;
    title text := '';
    head text := '';
    dims text[] := ARRAY['type', 'workplace', 'category', 'seniority', 'company'];
    dim text;
    conds jsonb := '{}';
    every text := '';
    cube text := '';
    other text := '';
    tier text := '0';
    sorting text;
    ids uuid[];
    counts jsonb;
    g jsonb;
BEGIN
    -- Compounds: a word stands for the board's words that hold it.
    FOR l IN SELECT e->>'term' AS term, (e->>'key')::bigint AS key FROM jsonb_array_elements(q->'like') AS e LOOP
        SELECT array_agg(DISTINCT x.key) INTO keys FROM (
            SELECT s.key FROM search_terms s
            WHERE s.tenant_id = t AND s.kind = 'word' AND s.term LIKE '%' || l.term || '%' ORDER BY s.n DESC LIMIT 60) AS x;
        keys := array_append(coalesce(keys, '{}'), l.key);
        others := others || jsonb_build_array(to_jsonb(keys));
        rank := rank || jsonb_build_array(to_jsonb(keys));
    END LOOP;

    base := shingle_search_where(t, must, others, coalesce((q->>'salary')::bigint, 0), (q->>'since')::timestamptz);
    FOREACH dim IN ARRAY dims LOOP
        IF jsonb_array_length(q->dim) > 0 THEN
            conds := conds || jsonb_build_object(dim,
                format('d.%I = ANY (%L::text[])', dim, ARRAY(SELECT jsonb_array_elements_text(q->dim))));
        END IF;
    END LOOP;
    IF jsonb_array_length(q->'country') > 0 THEN
        conds := conds || jsonb_build_object('country',
            format('d.countries && %L::text[]', ARRAY(SELECT jsonb_array_elements_text(q->'country'))));
    END IF;
    SELECT coalesce(string_agg(' AND ' || value, ''), '') INTO every FROM jsonb_each_text(conds);

    FOR g IN SELECT jsonb_array_elements(rank) LOOP
        keys := ARRAY(SELECT e::bigint FROM jsonb_array_elements_text(g) AS e);
        title := title || format(' AND d.title_words && %L::bigint[]', keys);
        head := head || format(' AND d.head_words && %L::bigint[]', keys);
    END LOOP;
    IF title <> '' THEN
        tier := format('CASE WHEN true%s THEN 2 WHEN true%s THEN 1 ELSE 0 END', title, head);
    END IF;
    sorting := CASE q->>'sort'
        WHEN 'recent' THEN 'd.published_at DESC, d.id'
        WHEN 'salary' THEN 'd.salary_top DESC, d.published_at DESC, d.id'
        ELSE CASE WHEN tier = '0' THEN 'd.featured DESC, d.published_at DESC, d.id'
            ELSE 'd.featured DESC, ' || tier || ' DESC, d.published_at DESC, d.id' END END;
    FOR g IN SELECT jsonb_array_elements(q->'narrow') LOOP
        every := every || format(' AND d.words && %L::bigint[]', ARRAY(SELECT e::bigint FROM jsonb_array_elements_text(g) AS e));
    END LOOP;
    EXECUTE format('SELECT coalesce(array_agg(x.id), ''{}'') FROM (SELECT d.id FROM search_documents d WHERE %s%s ORDER BY %s LIMIT %s OFFSET %s) x',
        base, every, sorting, (q->>'limit')::int, (q->>'offset')::int) INTO ids;

    IF (q->>'counts')::boolean THEN
        -- One pass for all facets. The first set is a cube of the four small
        -- facets before their own filters: the caller takes each facet's counts
        -- from it. Companies and countries are counted without their own filter.
        SELECT coalesce(string_agg(value, ' AND '), 'true') INTO cube FROM jsonb_each_text(conds) WHERE key IN ('company', 'country');
        SELECT coalesce(string_agg(value, ' AND '), 'true') INTO other FROM jsonb_each_text(conds) WHERE key <> 'company';
        SELECT coalesce(string_agg(value, ' AND '), 'true') INTO dim FROM jsonb_each_text(conds) WHERE key <> 'country';
        EXECUTE format('SELECT jsonb_agg(jsonb_build_array(c.g, c.type, c.workplace, c.category, c.seniority, c.company, c.countries, c.n)) FROM (
            SELECT grouping(d.type, d.company, d.countries) AS g, d.type, d.workplace, d.category, d.seniority, d.company, d.countries,
                CASE grouping(d.type, d.company, d.countries) WHEN 3 THEN count(*) FILTER (WHERE %s)
                    WHEN 5 THEN count(*) FILTER (WHERE %s) ELSE count(*) FILTER (WHERE %s) END AS n
            FROM search_documents d WHERE %s
            GROUP BY GROUPING SETS ((d.type, d.workplace, d.category, d.seniority), (d.company), (d.countries))) AS c WHERE c.n > 0',
            cube, other, dim, base) INTO counts;
    END IF;
    RETURN jsonb_build_object('ids', ids, 'counts', coalesce(counts, '[]'));
END $$;

-- shingle_search_near finds, for each word of a search that met nothing, the
-- words of the board that look like it. A word that some listing holds has none.
CREATE FUNCTION shingle_search_near(kinds text[], terms text[], keys bigint[])
    RETURNS TABLE (typed text, term text, n int)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = public, pg_catalog, pg_temp SET pg_trgm.similarity_threshold = 0.25 AS $$
DECLARE
    t uuid := shingle_bound_tenant();
BEGIN
    FOR i IN 1 .. cardinality(terms) LOOP
        IF EXISTS (SELECT FROM search_documents d WHERE d.words @> ARRAY[keys[i]] AND d.tenant_id IS NOT DISTINCT FROM t AND d.gone IS NOT TRUE) THEN
            CONTINUE;
        END IF;
        RETURN QUERY EXECUTE 'SELECT $3, s.term::text, s.n FROM search_terms s
            WHERE s.tenant_id = $1 AND s.kind = $2 AND s.kind IN (''word'', ''place'') AND s.term % $3
            ORDER BY similarity(s.term, $3) DESC, s.n DESC LIMIT 24' USING t, kinds[i], terms[i];
    END LOOP;
END $$;

DO $$
DECLARE f regprocedure;
BEGIN
    EXECUTE 'GRANT CREATE ON SCHEMA public TO shingle_search';
    FOREACH f IN ARRAY ARRAY['shingle_search(jsonb)', 'shingle_search_near(text[], text[], bigint[])']::regprocedure[] LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', f);
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO shingle_app', f);
        EXECUTE format('ALTER FUNCTION %s OWNER TO shingle_search', f);
    END LOOP;
    EXECUTE 'REVOKE CREATE ON SCHEMA public FROM shingle_search';
END $$;

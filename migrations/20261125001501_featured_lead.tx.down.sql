-- Intent: featured listings lead without a limit again.

DROP FUNCTION shingle_search(jsonb);

-- shingle_search answers one page: the listings' ids and, when asked, the counts
-- of shingle_search_counts, for the query
--   {"must": [key], "some": [[key]], "narrow": [[key]], "rank": [[key]], "like": [{"term", "key"}], "salary", "since",
--    "type": [], "workplace": [], "category": [], "company": [], "seniority": [], "country": [],
--    "sort", "limit", "offset", "counts": bool, "most": companies counted besides the chosen}
CREATE FUNCTION shingle_search(q jsonb) RETURNS TABLE (ids uuid[], combinations text, companies text)
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
    others_than_company text;
    tier text := '0';
    sorting text;
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
        SELECT coalesce(string_agg(value, ' AND '), 'true') INTO others_than_company FROM jsonb_each_text(conds) WHERE key <> 'company';
        EXECUTE shingle_search_counts(base, coalesce(conds->>'company', 'true'), others_than_company,
            ARRAY(SELECT jsonb_array_elements_text(q->'company')), (q->>'most')::int) INTO combinations, companies;
    END IF;
    RETURN NEXT;
END $$;

DO $$
BEGIN
    EXECUTE 'GRANT CREATE ON SCHEMA public TO shingle_search';
    REVOKE ALL ON FUNCTION shingle_search(jsonb) FROM PUBLIC;
    GRANT EXECUTE ON FUNCTION shingle_search(jsonb) TO shingle_app;
    ALTER FUNCTION shingle_search(jsonb) OWNER TO shingle_search;
    EXECUTE 'REVOKE CREATE ON SCHEMA public FROM shingle_search';
END $$;

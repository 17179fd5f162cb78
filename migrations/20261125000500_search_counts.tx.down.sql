-- Intent: search as it was before counts had a column and an index of their own.

DROP FUNCTION shingle_search(jsonb);
DROP FUNCTION shingle_search_counts(text, text, text, text[], int);

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

DO $$
BEGIN
    EXECUTE 'GRANT CREATE ON SCHEMA public TO shingle_search';
    REVOKE ALL ON FUNCTION shingle_search(jsonb) FROM PUBLIC;
    GRANT EXECUTE ON FUNCTION shingle_search(jsonb) TO shingle_app;
    ALTER FUNCTION shingle_search(jsonb) OWNER TO shingle_search;
    EXECUTE 'REVOKE CREATE ON SCHEMA public FROM shingle_search';
END $$;

DROP INDEX search_documents_counts;
ALTER TABLE search_documents DROP COLUMN facets;
DROP FUNCTION shingle_search_facets(text, text, text, text, text[]);

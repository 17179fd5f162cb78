-- Intent: count the facets of a large board in a quarter of the time, by one
-- column that says all small facets of a listing and an index that is read in
-- its order. Adding the column writes the table and its indexes anew, and
-- searches and indexing wait meanwhile: it comes before any board is large.

-- The small facets as one text: type, workplace, category, seniority and the
-- countries, with U+001F between. Values are slugs and codes; a sign that parts
-- values is left out of them all the same, as counts are sent in this form.
CREATE FUNCTION shingle_search_facets(type text, workplace text, category text, seniority text, countries text[]) RETURNS text
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
    RETURN translate(type, E'\x1e\x1f', '') || E'\x1f' || translate(workplace, E'\x1e\x1f', '') || E'\x1f' || translate(category, E'\x1e\x1f', '')
        || E'\x1f' || translate(seniority, E'\x1e\x1f', '') || E'\x1f' || translate(array_to_string(countries, ','), E'\x1e\x1f', '');
END $$;
ALTER TABLE search_documents ADD COLUMN facets text COLLATE "C" NOT NULL
    GENERATED ALWAYS AS (shingle_search_facets(type, workplace, category, seniority, countries)) STORED;

-- All that a count reads, so that it need not fetch rows. In the order of
-- facets, equal ones come together and are counted without a hash table.
CREATE INDEX search_documents_counts ON search_documents (tenant_id, facets, company, ends_at, salary_top, published_at)
    INCLUDE (type, workplace, category, seniority, countries) WHERE NOT gone;

-- shingle_search_counts is the statement that counts what base leaves: one pass
-- for two groupings. "combinations" are the listings of each combination of
-- small facets, with the choice of companies but before the small facets' own
-- choices, which the caller applies; "companies" are counted without their own
-- choice: the most frequent ones and those chosen. Both are text: a value, then
-- U+001F and the number; U+001E parts the entries.
CREATE FUNCTION shingle_search_counts(base text, company text, others text, chosen text[], most int) RETURNS text
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN format('WITH c AS MATERIALIZED (
            SELECT grouping(d.company) AS g, d.facets, d.company,
                CASE grouping(d.company) WHEN 1 THEN count(*) FILTER (WHERE %s) ELSE count(*) FILTER (WHERE %s) END AS n
            FROM search_documents d WHERE %s
            GROUP BY GROUPING SETS ((d.facets), (d.company)))
        SELECT (SELECT string_agg(c.facets || E''\x1f'' || c.n, E''\x1e'') FROM c WHERE c.g = 1 AND c.n > 0),
            (SELECT string_agg(translate(x.company, E''\x1e\x1f'', '''') || E''\x1f'' || x.n, E''\x1e'') FROM (
                (SELECT c.company, c.n FROM c WHERE c.g = 0 AND c.n > 0 AND c.company <> '''' ORDER BY c.n DESC, c.company COLLATE "C" LIMIT %s)
                UNION SELECT c.company, c.n FROM c WHERE c.g = 0 AND c.n > 0 AND c.company = ANY (%L::text[])) AS x)',
        company, others, base, most, chosen);
END $$;

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

-- Intent: takes the Postgres search away; all of it can be made again from listings.
DROP FUNCTION shingle_search_near(text[], text[], bigint[]);
DROP FUNCTION shingle_search(jsonb);
DROP FUNCTION shingle_search_where(uuid, bigint[], jsonb, bigint, timestamptz);
DROP FUNCTION shingle_bound_tenant();
DROP TABLE search_keys, search_terms, search_documents;

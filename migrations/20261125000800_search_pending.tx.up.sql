-- Intent: who writes the index of words says how much of it may wait to be
-- merged (search/postgres): little for single listings, much for bulk. A limit
-- on the index itself would go before that.
ALTER INDEX search_documents_words RESET (gin_pending_list_limit);

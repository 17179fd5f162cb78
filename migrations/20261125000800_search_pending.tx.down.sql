ALTER INDEX search_documents_words SET (gin_pending_list_limit = 512);

-- Intent: back to an empty database.
DROP TABLE order_numbers, imports, pages, looks, alerts, reports, application_replies, applications, ledger_entries,
    entitlements, refunds, checkout_sessions, orders, stripe_accounts, products, listing_revisions, listing_moves,
    listing_places, listings, categories, company_members, companies, person_tokens, person_sessions, people,
    generations, mails, tasks, audit_log, casbin_rules, stripe_events, operator_tokens, operator_sessions, operators,
    hosts, boards;
DROP FUNCTION shingle_wall(regclass);

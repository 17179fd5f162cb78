-- Intent: back to answering such requests by hand.

DROP FUNCTION shingle_audit_erase(uuid, uuid, text);
DROP INDEX orders_email;
DROP TABLE person_requests;

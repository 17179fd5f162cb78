-- The audit log's pages are filtered by what lines are about; like the other
-- filters, in the order of the pages.
CREATE INDEX audit_log_kind ON audit_log (tenant_id, object_kind, at DESC, id DESC);
-- Staff read all logs at once under the same filters: what is rare is found
-- without going through every line of every board.
CREATE INDEX audit_log_all_act ON audit_log (act, at DESC, id DESC);
CREATE INDEX audit_log_all_kind ON audit_log (object_kind, at DESC, id DESC);
CREATE INDEX audit_log_all_object ON audit_log (object_id, at DESC, id DESC);
CREATE INDEX audit_log_all_actor ON audit_log (actor_id, at DESC, id DESC);
CREATE INDEX audit_log_all_behind ON audit_log (impersonator_id, at DESC, id DESC) WHERE impersonator_id IS NOT NULL;

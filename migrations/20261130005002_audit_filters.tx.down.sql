DROP INDEX audit_log_all_behind, audit_log_all_actor, audit_log_all_object, audit_log_all_kind, audit_log_all_act, audit_log_kind;

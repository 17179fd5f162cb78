DROP INDEX usage_days_day, audit_log_of_board, applications_created, mails_to, checkout_sessions_id, orders_charge, orders_intent, orders_number, orders_paid_at, listing_moves_live, listing_moves_at, boards_newest;
DROP TABLE announcement_dismissals, announcements, feature_flags, board_notes, board_summaries;

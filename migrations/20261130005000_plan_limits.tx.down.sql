DROP INDEX board_plans_held;
ALTER TABLE board_plans DROP COLUMN storage_measured_at, DROP COLUMN storage_added, DROP COLUMN mails_held_since;

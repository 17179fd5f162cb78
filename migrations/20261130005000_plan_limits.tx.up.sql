-- What a plan's limits hold back: mails that nobody waits for, since when; and
-- the bytes that came since the files were last counted, so that a limit holds
-- between two counts.
ALTER TABLE board_plans
    ADD COLUMN mails_held_since timestamptz,
    ADD COLUMN storage_added bigint NOT NULL DEFAULT 0,
    ADD COLUMN storage_measured_at timestamptz;
CREATE INDEX board_plans_held ON board_plans (tenant_id) WHERE mails_held_since IS NOT NULL;

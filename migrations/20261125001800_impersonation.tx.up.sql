-- Intent: platform staff may act as a member of a board's team: with a reason,
-- for a stated time, and where the board wants it only after an owner's yes.

CREATE TABLE impersonations (
    tenant_id uuid NOT NULL REFERENCES boards (id) ON DELETE CASCADE,
    id uuid NOT NULL,
    -- Operators are platform-wide, so neither of these can be a foreign key here.
    staff_id uuid NOT NULL,
    operator_id uuid NOT NULL,
    reason text NOT NULL CHECK (reason <> ''),
    minutes int NOT NULL CHECK (minutes BETWEEN 1 AND 120),
    writes boolean NOT NULL DEFAULT false,
    state text NOT NULL CHECK (state IN ('asked', 'granted', 'refused', 'active', 'ended')),
    asked_at timestamptz NOT NULL,
    -- A request that nobody answers and a grant that nobody uses end by themselves.
    lapses_at timestamptz NOT NULL,
    decided_at timestamptz,
    decided_by uuid,
    began_at timestamptz,
    ends_at timestamptz,
    ended_at timestamptz,
    ended_by text NOT NULL DEFAULT '' CHECK (ended_by IN ('', 'staff', 'board', 'time')),
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX impersonations_asked ON impersonations (tenant_id, asked_at DESC, id DESC);
SELECT shingle_wall('impersonations');
-- A board's code reads its own; who decides does so through the platform's door.
REVOKE INSERT, UPDATE, DELETE ON impersonations FROM shingle_app;

ALTER TABLE operator_sessions
    ADD COLUMN impersonation_id uuid,
    ADD COLUMN impersonator_id uuid REFERENCES operators (id) ON DELETE CASCADE,
    ADD COLUMN read_only boolean NOT NULL DEFAULT false,
    ADD CONSTRAINT operator_sessions_impersonated CHECK ((impersonation_id IS NULL) = (impersonator_id IS NULL)
        AND (impersonator_id IS NULL OR board_id IS NOT NULL AND parent_hash IS NOT NULL));
CREATE INDEX operator_sessions_impersonation ON operator_sessions (impersonation_id) WHERE impersonation_id IS NOT NULL;

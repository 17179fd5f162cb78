-- Intent: a board's team asks for an archive of the board; a worker makes it,
-- and a mailed link that is spent once fetches it within a week.

CREATE TABLE board_exports (
    tenant_id uuid NOT NULL REFERENCES boards (id) ON DELETE CASCADE,
    id uuid NOT NULL,
    state text NOT NULL DEFAULT 'asked' CHECK (state IN ('asked', 'ready', 'failed', 'deleted')),
    -- The operator who asked: the link is theirs alone.
    asked_by uuid NOT NULL,
    email text NOT NULL,
    locale text NOT NULL DEFAULT '',
    file_key text NOT NULL DEFAULT '',
    size bigint NOT NULL DEFAULT 0,
    sha256 text NOT NULL DEFAULT '',
    -- Of the newest link; null once it is spent.
    link_hash bytea,
    link_until timestamptz,
    fetched_at timestamptz,
    created_at timestamptz NOT NULL,
    ready_at timestamptz,
    delete_at timestamptz,
    PRIMARY KEY (tenant_id, id)
);
-- One under way at a time.
CREATE UNIQUE INDEX board_exports_asked ON board_exports (tenant_id) WHERE state = 'asked';
CREATE INDEX board_exports_delete ON board_exports (delete_at) WHERE state = 'ready';

SELECT shingle_wall('board_exports');

-- Intent: a board's own words for its mails, every version with who and when.
-- The highest number is in force; an empty text stands for the shipped words.

CREATE TABLE mail_texts (
    tenant_id uuid NOT NULL REFERENCES boards (id) ON DELETE CASCADE,
    kind text NOT NULL,
    language text NOT NULL CHECK (language = lower(language)),
    n int NOT NULL CHECK (n > 0),
    texts jsonb NOT NULL,
    written_by text NOT NULL DEFAULT '',
    written_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, kind, language, n)
);

SELECT shingle_wall('mail_texts'::regclass);

-- Intent: a listing's description is compressed with lz4 where the server has it:
-- Postgres' own method was an eighth of its work while listings were written in
-- bulk. Descriptions that are there stay as they are and are read as ever.

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_settings WHERE name = 'default_toast_compression' AND 'lz4' = ANY (enumvals)) THEN
        ALTER TABLE listings ALTER COLUMN description SET COMPRESSION lz4;
    END IF;
END $$;

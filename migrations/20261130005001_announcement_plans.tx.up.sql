-- An announcement can be for the boards that are on some plans now.
ALTER TABLE announcements ADD COLUMN plans uuid[] NOT NULL DEFAULT '{}';
ALTER TABLE announcements DROP CONSTRAINT announcements_audience_check, ADD CONSTRAINT announcements_audience_check CHECK (audience IN ('all', 'boards', 'plans'));

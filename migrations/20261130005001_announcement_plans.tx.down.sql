-- Without plans such an announcement would be for nobody; it is not made one for everybody.
DELETE FROM announcements WHERE audience = 'plans';
ALTER TABLE announcements DROP CONSTRAINT announcements_audience_check, ADD CONSTRAINT announcements_audience_check CHECK (audience IN ('all', 'boards'));
ALTER TABLE announcements DROP COLUMN plans;

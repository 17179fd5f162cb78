-- Intent: back to the server's own method for descriptions that are written from now on.

ALTER TABLE listings ALTER COLUMN description SET COMPRESSION default;

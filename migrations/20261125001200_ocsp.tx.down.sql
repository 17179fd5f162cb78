DROP INDEX certificates_ocsp;
ALTER TABLE certificates
    DROP COLUMN ocsp_at,
    DROP COLUMN ocsp_until,
    DROP COLUMN ocsp_failures,
    DROP COLUMN revoked_at;

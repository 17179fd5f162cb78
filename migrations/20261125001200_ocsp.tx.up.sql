-- Intent: when a certificate's responder (OCSP) is asked next, until when its
-- last answer holds, and whether it said that the certificate is revoked.
-- ocsp_at is null for a certificate that names no responder.
ALTER TABLE certificates
    ADD COLUMN ocsp_at timestamptz,
    ADD COLUMN ocsp_until timestamptz,
    ADD COLUMN ocsp_failures int NOT NULL DEFAULT 0,
    ADD COLUMN revoked_at timestamptz;
CREATE INDEX certificates_ocsp ON certificates (ocsp_at) WHERE ocsp_at IS NOT NULL;

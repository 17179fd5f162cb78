REVOKE SELECT ON bun_migrations FROM shingle_platform;

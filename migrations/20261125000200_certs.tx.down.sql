-- Intent: the way back; certificates are ordered anew by whoever goes up again.

DROP INDEX hosts_verified;
DROP INDEX hosts_created;
DROP TABLE certificates;
DROP TABLE acme_orders;
DROP TABLE acme_locks;
DROP TABLE acme_objects;

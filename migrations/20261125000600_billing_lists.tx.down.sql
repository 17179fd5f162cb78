DROP INDEX stripe_events_received;
DROP INDEX orders_processing;
DROP INDEX orders_newest;
DROP INDEX orders_created;
CREATE INDEX orders_created ON orders (tenant_id, created_at DESC, id);
DROP INDEX orders_paid;

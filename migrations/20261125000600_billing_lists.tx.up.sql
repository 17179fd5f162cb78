-- Intent: what consoles ask of billing at each visit reads an index: sales by
-- the day they were paid, and staff's lists across all boards.

CREATE INDEX orders_paid ON orders (tenant_id, paid_at) WHERE paid_at IS NOT NULL;
-- As the list sorts, both ways down.
DROP INDEX orders_created;
CREATE INDEX orders_created ON orders (tenant_id, created_at DESC, id DESC);
CREATE INDEX orders_newest ON orders (created_at DESC, id DESC);
-- Delayed payments that the sweep asks after.
CREATE INDEX orders_processing ON orders (created_at) WHERE state = 'processing';
CREATE INDEX stripe_events_received ON stripe_events (received_at DESC);

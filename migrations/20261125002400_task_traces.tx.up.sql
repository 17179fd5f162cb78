-- Intent: work knows the trace of the request that asked for it: a W3C
-- traceparent, '' where nothing is traced. A constant default rewrites no row.

ALTER TABLE tasks ADD COLUMN trace text NOT NULL DEFAULT '';
-- A checkout's event comes from Stripe: its trace is tied to the buyer's.
ALTER TABLE checkout_sessions ADD COLUMN trace text NOT NULL DEFAULT '';

-- Intent: a second payment is sent back once, however often it is seen; what
-- the nightly comparison with Stripe found is kept.

CREATE UNIQUE INDEX refunds_duplicate ON refunds (tenant_id, payment_intent) WHERE kind = 'duplicate';
CREATE INDEX checkout_sessions_payment_intent ON checkout_sessions (tenant_id, payment_intent);
-- Sessions that should have ended by now: asked across boards.
CREATE INDEX checkout_sessions_overdue ON checkout_sessions (expires_at) WHERE state = 'open';
CREATE INDEX orders_created ON orders (tenant_id, created_at DESC, id);

-- When a checkout was paid, failed or expired, and an order given up.
ALTER TABLE checkout_sessions ADD COLUMN ended_at timestamptz;
ALTER TABLE orders ADD COLUMN cancelled_at timestamptz;

CREATE TABLE reconciliations (
    tenant_id uuid NOT NULL REFERENCES boards (id) ON DELETE CASCADE,
    id uuid NOT NULL,
    since timestamptz NOT NULL,
    until timestamptz NOT NULL,
    -- Movements that both sides know.
    matched int NOT NULL DEFAULT 0,
    -- What differs: [{"stripe_id", "problem", "ours", "theirs", "currency", "order_id"}].
    differences jsonb NOT NULL DEFAULT '[]',
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX reconciliations_at ON reconciliations (tenant_id, at DESC);
SELECT shingle_wall('reconciliations');

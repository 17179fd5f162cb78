-- Intent: the platform's plans, what each board is on, what it was billed, the
-- steps that an unpaid board goes down, and what it uses.

-- What the platform sells. No tenant: a plan belongs to nobody but the platform.
CREATE TABLE plans (
    id uuid PRIMARY KEY,
    name text NOT NULL,
    -- One line each by language: {"en": "…", "de": "…"}.
    tagline jsonb NOT NULL DEFAULT '{}',
    fee_rule jsonb NOT NULL DEFAULT '{"percent_bp": 1000}',
    -- {"listings": 50, "seats": 3, …}; what is missing has no limit.
    limits jsonb NOT NULL DEFAULT '{}',
    features text[] NOT NULL DEFAULT '{}',
    trial_days int NOT NULL DEFAULT 14 CHECK (trial_days BETWEEN 0 AND 365),
    position int NOT NULL DEFAULT 0,
    -- Shown to everybody; others are given by staff alone.
    listed boolean NOT NULL DEFAULT true,
    stripe_product text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now(),
    archived_at timestamptz
);

-- A price never changes once somebody pays it: a new one takes its place.
CREATE TABLE plan_prices (
    id uuid PRIMARY KEY,
    plan_id uuid NOT NULL REFERENCES plans (id) ON DELETE CASCADE,
    every text NOT NULL CHECK (every IN ('month', 'year')),
    currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    amount bigint NOT NULL CHECK (amount >= 0),
    stripe_price text NOT NULL DEFAULT '',
    current boolean NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX plan_prices_current ON plan_prices (plan_id, currency, every) WHERE current;
CREATE UNIQUE INDEX plan_prices_stripe ON plan_prices (stripe_price) WHERE stripe_price <> '';

CREATE TABLE board_plans (
    tenant_id uuid PRIMARY KEY REFERENCES boards (id) ON DELETE CASCADE,
    -- No foreign key: plans are archived, never deleted.
    plan_id uuid NOT NULL,
    state text NOT NULL CHECK (state IN ('trial', 'active', 'past_due', 'ended', 'comped')),
    -- Our own trial, or Stripe's when a subscription has begun in it.
    trial_ends_at timestamptz,
    comp_reason text NOT NULL DEFAULT '',
    comp_until timestamptz,
    -- What Stripe says of the subscription, as it was last asked.
    customer text NOT NULL DEFAULT '',
    subscription text NOT NULL DEFAULT '',
    item text NOT NULL DEFAULT '',
    price_id uuid,
    every text NOT NULL DEFAULT '' CHECK (every IN ('', 'month', 'year')),
    amount bigint NOT NULL DEFAULT 0,
    currency text NOT NULL DEFAULT '',
    period_start timestamptz,
    period_end timestamptz,
    cancel_at_period_end boolean NOT NULL DEFAULT false,
    schedule text NOT NULL DEFAULT '',
    next_price_id uuid,
    -- The ladder: since when nothing is paid, and how far down the board is.
    unpaid_since timestamptz,
    step text NOT NULL DEFAULT '' CHECK (step IN ('', 'grace', 'read_only', 'noindex', 'suspended', 'export', 'deletable')),
    -- Moves with every write: who read an older one asks Stripe again.
    revision bigint NOT NULL DEFAULT 1,
    -- Checkouts opened, so that each has a key of its own, and the last one.
    attempt int NOT NULL DEFAULT 0,
    checkout text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
-- Stripe names the customer, not the board.
CREATE INDEX board_plans_customer ON board_plans (customer) WHERE customer <> '';
CREATE INDEX board_plans_plan ON board_plans (plan_id);
-- Whom the daily task looks at: who owes, is on the way down, or is in a trial.
CREATE INDEX board_plans_owing ON board_plans (state) WHERE unpaid_since IS NOT NULL OR step <> '' OR state IN ('trial', 'comped');

CREATE TABLE plan_steps (
    tenant_id uuid NOT NULL REFERENCES boards (id) ON DELETE CASCADE,
    unpaid_since timestamptz NOT NULL,
    step text NOT NULL,
    -- When it was due, when it was taken, and when paying undid it.
    due_at timestamptz NOT NULL,
    at timestamptz NOT NULL,
    undone_at timestamptz,
    PRIMARY KEY (tenant_id, unpaid_since, step)
);

CREATE TABLE plan_invoices (
    tenant_id uuid NOT NULL REFERENCES boards (id) ON DELETE CASCADE,
    id text NOT NULL,
    number text NOT NULL DEFAULT '',
    state text NOT NULL,
    amount bigint NOT NULL,
    paid bigint NOT NULL,
    currency text NOT NULL,
    lines jsonb NOT NULL DEFAULT '[]',
    url text NOT NULL DEFAULT '',
    pdf text NOT NULL DEFAULT '',
    attempts int NOT NULL DEFAULT 0,
    next_attempt timestamptz,
    created_at timestamptz NOT NULL,
    paid_at timestamptz,
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX plan_invoices_created ON plan_invoices (tenant_id, created_at DESC);

-- What a board used, by day: counts are sums of the day, levels the day's last.
CREATE TABLE usage_days (
    tenant_id uuid NOT NULL REFERENCES boards (id) ON DELETE CASCADE,
    day date NOT NULL,
    what text NOT NULL CHECK (what IN ('listings', 'seats', 'domains', 'mails', 'views', 'storage', 'api_calls')),
    amount bigint NOT NULL,
    PRIMARY KEY (tenant_id, what, day)
) WITH (fillfactor = 80);

-- One alarm a period and level, and one word to the admin for what was refused.
CREATE TABLE usage_alarms (
    tenant_id uuid NOT NULL REFERENCES boards (id) ON DELETE CASCADE,
    what text NOT NULL,
    period date NOT NULL,
    level int NOT NULL CHECK (level IN (80, 100)),
    at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, what, period, level)
);

-- A batch of counts is written once: its key is the process and the batch. No
-- tenant: one batch holds many boards.
CREATE TABLE usage_batches (
    process uuid NOT NULL,
    batch bigint NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (process, batch)
);
CREATE INDEX usage_batches_at ON usage_batches (at);

-- What a month is worth, noted once a day for the charts. No tenant: a sum.
CREATE TABLE mrr_days (
    day date NOT NULL,
    currency text NOT NULL,
    amount bigint NOT NULL,
    boards int NOT NULL,
    PRIMARY KEY (day, currency)
);

-- How far down the ladder the board is; read with the board at each request.
ALTER TABLE boards ADD COLUMN plan_step text NOT NULL DEFAULT '';

SELECT shingle_wall(t) FROM unnest(ARRAY['board_plans', 'plan_steps', 'plan_invoices', 'usage_days', 'usage_alarms']::regclass[]) AS t;
-- A board reads its plan and its use; the platform decides and counts.
REVOKE INSERT, UPDATE, DELETE ON board_plans, plan_steps, plan_invoices, usage_days, usage_alarms FROM shingle_app;

DO $$
DECLARE t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['plans', 'plan_prices', 'usage_batches', 'mrr_days'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
        EXECUTE format('CREATE POLICY platform ON %I TO shingle_platform USING (true) WITH CHECK (true)', t);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO shingle_platform', t);
    END LOOP;
END $$;
-- A board sees the plan that it is on, whose limits hold for it, and no other.
CREATE POLICY own ON plans FOR SELECT TO shingle_app
    USING (id = (SELECT plan_id FROM board_plans WHERE tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid));
GRANT SELECT ON plans TO shingle_app;

package staff

import (
	"context"
	"time"

	"github.com/uptrace/bun"

	"shingle/tasks"
	"shingle/tenant"
)

// TaskSummaries is a frozen task kind: it counts the figures of the list of boards.
const TaskSummaries = "staff.summaries"

const countEvery = 5 * time.Minute

// Summaries counts what the list of boards shows of each: live listings, money
// of 30 days, what is in trouble, and when somebody last did something.
type Summaries struct{ Platform *tenant.Platform }

// Register takes over the counting's task.
func (s *Summaries) Register(m *tasks.Mux) {
	m.Handle(TaskSummaries, func(ctx context.Context, t *tasks.Task) error {
		return s.Platform.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
			if err := t.Finish(ctx, tx); err != nil {
				return err
			}
			return Count(ctx, tx)
		})
	})
}

// Schedule keeps the row that comes back every five minutes. It opens a transaction.
func (s *Summaries) Schedule(ctx context.Context) error {
	return tasks.Schedule(ctx, s.Platform, TaskSummaries, countEvery, tasks.Bulk)
}

// Count counts all boards anew, in a platform transaction. Boards whose figures
// are as they were keep their row; only the time of the count moves.
func Count(ctx context.Context, tx bun.IDB) error {
	_, err := tx.NewRaw(`INSERT INTO board_summaries AS m (tenant_id, live, orders, sales, fees, failed, domain_trouble, stripe, active_at, counted_at)
		SELECT b.id, coalesce(l.n, 0), coalesce(o.n, 0), coalesce(o.sales, 0), coalesce(o.fees, 0), coalesce(t.n, 0), coalesce(d.n, 0),
			CASE WHEN s.account IS NULL THEN 'none' WHEN s.charges_enabled THEN 'ready' ELSE 'unfinished' END,
			greatest((SELECT max(a.at) FROM audit_log AS a WHERE a.tenant_id = b.id), (SELECT max(v.at) FROM listing_moves AS v WHERE v.tenant_id = b.id)), now()
		FROM boards AS b
		LEFT JOIN (SELECT tenant_id, count(*) AS n FROM listings WHERE state = 'live' GROUP BY 1) AS l ON l.tenant_id = b.id
		LEFT JOIN (SELECT tenant_id, count(*) AS n, sum(amount)::bigint AS sales, sum(fee)::bigint AS fees FROM orders
			WHERE state = 'paid' AND paid_at > now() - interval '30 days' GROUP BY 1) AS o ON o.tenant_id = b.id
		LEFT JOIN (SELECT tenant_id, count(*) AS n FROM tasks WHERE failed_at IS NOT NULL GROUP BY 1) AS t ON t.tenant_id = b.id
		LEFT JOIN (SELECT tenant_id, count(*) AS n FROM domains WHERE state = 'stuck' OR flagged_at IS NOT NULL GROUP BY 1) AS d ON d.tenant_id = b.id
		LEFT JOIN stripe_accounts AS s ON s.tenant_id = b.id
		ON CONFLICT (tenant_id) DO UPDATE SET live = excluded.live, orders = excluded.orders, sales = excluded.sales, fees = excluded.fees, failed = excluded.failed,
			domain_trouble = excluded.domain_trouble, stripe = excluded.stripe, active_at = excluded.active_at, counted_at = excluded.counted_at`).Exec(ctx)
	return err
}

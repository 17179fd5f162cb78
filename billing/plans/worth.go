package plans

import (
	"context"
	"time"

	"github.com/uptrace/bun"
)

// Worth is what boards pay by the month in one currency.
type Worth struct {
	Day      time.Time `bun:"day"`
	Currency string    `bun:"currency"`
	// Amount is in minor units; a year counts a twelfth, rounded half up per board.
	Amount int64 `bun:"amount"`
	Boards int   `bun:"boards"`
}

const worthNow = `SELECT bp.currency, sum(CASE bp.every WHEN 'year' THEN (bp.amount + 6) / 12 ELSE bp.amount END)::bigint AS amount, count(*) AS boards
	FROM board_plans AS bp JOIN boards AS b ON b.id = bp.tenant_id
	WHERE bp.state IN ('active', 'past_due') AND bp.subscription <> '' AND bp.amount > 0 AND NOT b.demo GROUP BY bp.currency`

// MRR is the monthly recurring revenue now, by currency, in a platform
// transaction: what subscribed boards pay, those that are late included until
// their subscription ends; trials, gifts and demo boards are not in it.
func (s *Service) MRR(ctx context.Context, tx bun.IDB) ([]Worth, error) {
	var out []Worth
	err := tx.NewRaw(worthNow+` ORDER BY 2 DESC`).Scan(ctx, &out)
	for i := range out {
		out[i].Day = s.now().Truncate(day)
	}
	return out, err
}

// MRRDays is what it was, as it was noted each day, oldest first.
func (s *Service) MRRDays(ctx context.Context, tx bun.IDB, since time.Time) ([]Worth, error) {
	var out []Worth
	err := tx.NewRaw(`SELECT day, currency, amount, boards FROM mrr_days WHERE day >= ?::date ORDER BY day, currency`, since.Format(time.DateOnly)).Scan(ctx, &out)
	return out, err
}

func (s *Service) noteMRR(ctx context.Context, tx bun.IDB, today time.Time) error {
	_, err := tx.NewRaw(`INSERT INTO mrr_days (day, currency, amount, boards) SELECT ?::date, x.currency, x.amount, x.boards FROM (`+worthNow+`) AS x
		ON CONFLICT (day, currency) DO UPDATE SET amount = excluded.amount, boards = excluded.boards`, today.Format(time.DateOnly)).Exec(ctx)
	return err
}

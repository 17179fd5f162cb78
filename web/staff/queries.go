package staff

import (
	"context"
	"encoding/json"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/internal/fault"
	"shingle/tenant"
)

const pageSize = 50

// figures are the platform's numbers of the last 30 days.
type figures struct {
	Boards    int `bun:"boards"`
	Suspended int `bun:"suspended"`
	Live      int `bun:"live"`
	Failed    int `bun:"failed"`
	Held      int `bun:"held"`
	Domains   int `bun:"domains"`
	// Money is per currency: boards sell in their own.
	Money []moneyLine `bun:"-"`
}

type moneyLine struct {
	Currency string `bun:"currency"`
	Orders   int    `bun:"orders"`
	Sales    int64  `bun:"sales"`
	Fees     int64  `bun:"fees"`
}

func readFigures(ctx context.Context, tx bun.IDB) (*figures, error) {
	f := new(figures)
	err := tx.NewRaw(`SELECT (SELECT count(*) FROM boards) AS boards,
		(SELECT count(*) FROM boards WHERE state = 'suspended') AS suspended,
		(SELECT count(*) FROM listings WHERE state = 'live') AS live,
		(SELECT count(*) FROM tasks WHERE failed_at IS NOT NULL) AS failed,
		(SELECT count(*) FROM stripe_events WHERE state = 'held') AS held,
		(SELECT count(*)`+domainFrom+`WHERE `+domainTroubled+`) AS domains`).Scan(ctx, f)
	if err != nil {
		return nil, err
	}
	err = tx.NewRaw(`SELECT currency, count(*) AS orders, sum(amount)::bigint AS sales, sum(fee)::bigint AS fees FROM orders
		WHERE state = 'paid' AND amount > 0 AND paid_at > now() - interval '30 days' GROUP BY currency ORDER BY 3 DESC`).Scan(ctx, &f.Money)
	return f, err
}

// days is how many boards' listings and orders came in per day, for the chart.
type dayCount struct {
	Day   time.Time `bun:"day"`
	Count int       `bun:"n"`
}

func readDays(ctx context.Context, tx bun.IDB) ([]dayCount, error) {
	var out []dayCount
	err := tx.NewRaw(`SELECT d::date AS day, (SELECT count(*) FROM orders WHERE paid_at >= d AND paid_at < d + interval '1 day') AS n
		FROM generate_series(date_trunc('day', now()) - interval '29 days', date_trunc('day', now()), interval '1 day') AS d ORDER BY 1`).Scan(ctx, &out)
	return out, err
}

// boardPage is one board with what staff need to help it.
type boardPage struct {
	tenant.Tenant
	Host          string     `bun:"host"`
	Live          int        `bun:"live"`
	InReview      int        `bun:"in_review"`
	Applications  int        `bun:"applications"`
	StripeAccount string     `bun:"stripe_account"`
	CanCharge     bool       `bun:"can_charge"`
	LastPaid      *time.Time `bun:"last_paid"`
}

func readBoard(ctx context.Context, tx bun.IDB, id tenant.ID) (*boardPage, error) {
	p := new(boardPage)
	err := tx.NewRaw(`SELECT b.*, (SELECT host FROM hosts WHERE board_id = b.id AND canonical) AS host,
			(SELECT host FROM hosts WHERE board_id = b.id AND kind = 'platform' ORDER BY created_at LIMIT 1) AS platform_host,
			(SELECT count(*) FROM listings WHERE tenant_id = b.id AND state = 'live') AS live,
			(SELECT count(*) FROM listings WHERE tenant_id = b.id AND state = 'in_review') AS in_review,
			(SELECT count(*) FROM applications WHERE tenant_id = b.id) AS applications,
			coalesce((SELECT account FROM stripe_accounts WHERE tenant_id = b.id), '') AS stripe_account,
			coalesce((SELECT charges_enabled FROM stripe_accounts WHERE tenant_id = b.id), false) AS can_charge,
			(SELECT max(paid_at) FROM orders WHERE tenant_id = b.id) AS last_paid
		FROM boards AS b WHERE b.id = ?`, id).Scan(ctx, p)
	if err != nil {
		return nil, fault.Wrap(err, fault.NotFound, "board not found")
	}
	return p, nil
}

// orderRow is an order with its split, of any board.
type orderRow struct {
	TenantID  tenant.ID       `bun:"tenant_id"`
	ID        uuid.UUID       `bun:"id"`
	Board     string          `bun:"board"`
	Number    int64           `bun:"number"`
	State     string          `bun:"state"`
	Amount    int64           `bun:"amount"`
	Fee       int64           `bun:"fee"`
	Currency  string          `bun:"currency"`
	Product   json.RawMessage `bun:"product"`
	Title     string          `bun:"title"`
	CreatedAt time.Time       `bun:"created_at"`
	PaidAt    *time.Time      `bun:"paid_at"`
}

// Owner is the board owner's part.
func (o orderRow) Owner() int64 { return o.Amount - o.Fee }

// readOrders lists orders newest first, of one board or of all for Nil, after a
// cursor by keyset.
func readOrders(ctx context.Context, tx bun.IDB, board tenant.ID, state string, after cursor, size int) ([]orderRow, error) {
	if after.zero() {
		after = cursor{time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC), uuid.Max}
	}
	var rows []orderRow
	err := tx.NewRaw(`SELECT o.tenant_id, o.id, b.name AS board, o.number, o.state, o.amount, o.fee, o.currency, o.product, l.title, o.created_at, o.paid_at
		FROM orders AS o JOIN boards AS b ON b.id = o.tenant_id JOIN listings AS l ON l.tenant_id = o.tenant_id AND l.id = o.listing_id
		WHERE (?::uuid = ?::uuid OR o.tenant_id = ?) AND (? = '' OR o.state = ?) AND (o.created_at, o.id) < (?, ?)
		ORDER BY o.created_at DESC, o.id DESC LIMIT ?`,
		board, tenant.Nil, board, state, state, after.at, after.id, size).Scan(ctx, &rows)
	return rows, err
}

package staff

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/internal/fault"
	"shingle/tasks"
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

// boardRow is a line of the list of boards.
type boardRow struct {
	ID        tenant.ID `bun:"id"`
	Slug      string    `bun:"slug"`
	Name      string    `bun:"name"`
	State     string    `bun:"state"`
	Currency  string    `bun:"currency"`
	Locale    string    `bun:"locale"`
	Host      string    `bun:"host"`
	CreatedAt time.Time `bun:"created_at"`
	Live      int       `bun:"live"`
	Orders    int       `bun:"orders"`
	Sales     int64     `bun:"sales"`
	Fees      int64     `bun:"fees"`
	Total     int       `bun:"total"`
}

// readBoards lists boards. The figures are counted for the page's boards only,
// so that the list stays quick with ten thousand of them.
func readBoards(ctx context.Context, tx bun.IDB, q, state string, page int) ([]boardRow, error) {
	var rows []boardRow
	like := "%" + strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(strings.ToLower(q)) + "%"
	err := tx.NewRaw(`WITH page AS (
			SELECT b.*, count(*) OVER () AS total FROM boards AS b
			WHERE (? = '' OR lower(b.name) LIKE ? OR b.slug LIKE ?) AND (? = '' OR b.state = ?)
			ORDER BY b.created_at DESC, b.id LIMIT ? OFFSET ?)
		SELECT p.id, p.slug, p.name, p.state, p.currency, p.locale, p.created_at, p.total,
			(SELECT host FROM hosts AS h WHERE h.board_id = p.id AND h.canonical) AS host,
			(SELECT count(*) FROM listings AS l WHERE l.tenant_id = p.id AND l.state = 'live') AS live,
			o.orders, o.sales, o.fees
		FROM page AS p, LATERAL (SELECT count(*) AS orders, coalesce(sum(amount), 0)::bigint AS sales, coalesce(sum(fee), 0)::bigint AS fees
			FROM orders WHERE tenant_id = p.id AND state = 'paid' AND paid_at > now() - interval '30 days') AS o
		ORDER BY p.created_at DESC, p.id`, q, like, like, state, state, pageSize, (page-1)*pageSize).Scan(ctx, &rows)
	return rows, err
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
	Total     int             `bun:"total"`
}

// Owner is the board owner's part.
func (o orderRow) Owner() int64 { return o.Amount - o.Fee }

func readOrders(ctx context.Context, tx bun.IDB, board tenant.ID, state string, page, size int) ([]orderRow, error) {
	var rows []orderRow
	err := tx.NewRaw(`SELECT o.tenant_id, o.id, b.name AS board, o.number, o.state, o.amount, o.fee, o.currency, o.product, l.title, o.created_at, o.paid_at,
			count(*) OVER () AS total
		FROM orders AS o JOIN boards AS b ON b.id = o.tenant_id JOIN listings AS l ON l.tenant_id = o.tenant_id AND l.id = o.listing_id
		WHERE (?::uuid = ?::uuid OR o.tenant_id = ?) AND (? = '' OR o.state = ?)
		ORDER BY o.created_at DESC LIMIT ? OFFSET ?`,
		board, tenant.Nil, board, state, state, size, (page-1)*size).Scan(ctx, &rows)
	return rows, err
}

// boardNames are the names of the boards that tasks belong to.
func boardNames(ctx context.Context, tx bun.IDB, of []tasks.Task) (map[tenant.ID]string, error) {
	ids := make([]tenant.ID, len(of))
	for i := range of {
		ids[i] = of[i].TenantID
	}
	names := map[tenant.ID]string{}
	if len(ids) == 0 {
		return names, nil
	}
	var rows []struct {
		ID   tenant.ID `bun:"id"`
		Name string    `bun:"name"`
	}
	err := tx.NewRaw(`SELECT id, name FROM boards WHERE id IN (?)`, bun.In(ids)).Scan(ctx, &rows)
	for _, r := range rows {
		names[r.ID] = r.Name
	}
	return names, err
}

// event is a line of the webhook inbox.
type event struct {
	ID         string     `bun:"id"`
	Account    string     `bun:"account"`
	Type       string     `bun:"type"`
	State      string     `bun:"state"`
	Note       string     `bun:"note"`
	APIVersion string     `bun:"api_version"`
	ReceivedAt time.Time  `bun:"received_at"`
	AppliedAt  *time.Time `bun:"applied_at"`
}

func readEvents(ctx context.Context, tx bun.IDB) ([]event, error) {
	var out []event
	// What waits for somebody comes first, however old.
	const columns = `SELECT id, account, type, state, note, api_version, received_at, applied_at FROM stripe_events `
	err := tx.NewRaw(`(`+columns+`WHERE state = 'held' ORDER BY received_at DESC LIMIT 100)
		UNION ALL (`+columns+`WHERE state <> 'held' ORDER BY received_at DESC LIMIT 100)`).Scan(ctx, &out)
	return out, err
}

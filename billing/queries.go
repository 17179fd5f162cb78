package billing

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/tenant"
)

// Filter narrows a list of orders. Zero fields do not.
type Filter struct {
	State OrderState
	// Text is an order number, or part of a listing's title or of an address.
	Text     string
	Person   uuid.UUID
	Listing  uuid.UUID
	From, To time.Time
	// Page counts from 1; PerPage is 50 when zero, 200 at most.
	Page, PerPage int
}

func (f Filter) span() (limit, offset int) {
	limit = f.PerPage
	if limit <= 0 {
		limit = 50
	}
	limit = min(limit, 200)
	return limit, (max(f.Page, 1) - 1) * limit
}

// Line is an order in a list, with what it was for.
type Line struct {
	Order        `bun:",extend"`
	ListingTitle string `bun:"listing_title"`
	ListingSlug  string `bun:"listing_slug"`
	ListingCode  string `bun:"listing_code"` // public id
	ListingState string `bun:"listing_state"`
	CompanyName  string `bun:"company_name"`
	// Duplicates is how many second payments were sent back.
	Duplicates int `bun:"duplicates"`
}

// Orders lists the board's orders, newest first, with how many there are.
func (s *Service) Orders(ctx context.Context, tx bun.IDB, f Filter) ([]Line, int, error) {
	var out []Line
	q := filtered(tx.NewSelect().Model(&out), f)
	n, err := tenant.Count(ctx, filtered(tx.NewSelect().Model((*Line)(nil)), f))
	if err != nil || n == 0 {
		return nil, n, err
	}
	limit, offset := f.span()
	err = withListing(q).Order("o.created_at DESC", "o.id DESC").Limit(int64(limit)).Offset(int64(offset)).Scan(ctx)
	return out, n, err
}

func filtered(q *bun.SelectQuery, f Filter) *bun.SelectQuery {
	q = q.Join("JOIN listings AS l ON l.tenant_id = o.tenant_id AND l.id = o.listing_id")
	if f.State != "" {
		q = q.Where("o.state = ?", f.State)
	}
	if f.Person != uuid.Nil {
		q = q.Where("o.person_id = ?", f.Person)
	}
	if f.Listing != uuid.Nil {
		q = q.Where("o.listing_id = ?", f.Listing)
	}
	if text := strings.TrimSpace(f.Text); text != "" {
		if n, err := strconv.ParseInt(strings.TrimPrefix(text, "#"), 10, 64); err == nil {
			q = q.Where("o.number = ?", n)
		} else {
			like := "%" + strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(text) + "%"
			q = q.WhereGroup(" AND ", func(q *bun.SelectQuery) *bun.SelectQuery {
				return q.Where("l.title ILIKE ?", like).WhereOr("o.email ILIKE ?", like)
			})
		}
	}
	return within(q, "o.created_at", f.From, f.To)
}

func withListing(q *bun.SelectQuery) *bun.SelectQuery {
	return q.ColumnExpr("o.*").ColumnExpr("l.title AS listing_title, l.slug AS listing_slug, l.public_id AS listing_code, l.state AS listing_state").
		ColumnExpr("c.name AS company_name").
		ColumnExpr("(SELECT count(*) FROM refunds AS d WHERE d.tenant_id = o.tenant_id AND d.order_id = o.id AND d.kind = 'duplicate') AS duplicates").
		Join("JOIN companies AS c ON c.tenant_id = l.tenant_id AND c.id = l.company_id")
}

// Moment is one thing that happened to an order. What is a frozen name: placed,
// checkout, checkout_expired, processing, payment_failed, paid, refund_asked,
// refund_done, refund_failed, duplicate_asked, duplicate_done, duplicate_failed,
// cancelled.
type Moment struct {
	At       time.Time
	What     string
	Amount   int64
	Currency string
	Note     string
	Actor    tenant.Actor
}

// Detail is one order with all that belongs to it.
type Detail struct {
	Line
	Sessions []Session
	Refunds  []Refund
	Entries  []Entry
	// StripeFee is what Stripe kept, as far as it is known.
	StripeFee int64
	Timeline  []Moment
}

// OrderDetail reads one order whole, for the board's console. Kind: fault.NotFound.
func (s *Service) OrderDetail(ctx context.Context, tx bun.IDB, id uuid.UUID) (*Detail, error) {
	d := new(Detail)
	q := withListing(tx.NewSelect().Model(&d.Line).Join("JOIN listings AS l ON l.tenant_id = o.tenant_id AND l.id = o.listing_id"))
	if err := tenant.One(ctx, q.Where("o.id = ?", id), "order"); err != nil {
		return nil, err
	}
	if err := tx.NewSelect().Model(&d.Sessions).Where("cs.order_id = ?", id).Order("cs.attempt").Scan(ctx); err != nil {
		return nil, err
	}
	if err := tx.NewSelect().Model(&d.Refunds).Where("r.order_id = ?", id).Order("r.created_at").Scan(ctx); err != nil {
		return nil, err
	}
	var err error
	if d.Entries, err = s.EntriesOf(ctx, tx, id); err != nil {
		return nil, err
	}
	for _, e := range d.Entries {
		if e.Account == AccountStripe {
			d.StripeFee += e.Amount
		}
	}
	d.Timeline = d.timeline()
	return d, nil
}

func (d *Detail) timeline() []Moment {
	out := []Moment{{At: d.CreatedAt, What: "placed", Amount: d.Amount, Currency: d.Currency}}
	for _, cs := range d.Sessions {
		out = append(out, Moment{At: cs.CreatedAt, What: "checkout", Note: cs.ID})
		if cs.EndedAt == nil {
			continue
		}
		switch {
		case cs.PaymentStatus == "failed":
			out = append(out, Moment{At: *cs.EndedAt, What: "payment_failed", Note: cs.ID})
		case cs.State == "expired":
			out = append(out, Moment{At: *cs.EndedAt, What: "checkout_expired", Note: cs.ID})
		case cs.PaymentStatus == "unpaid":
			out = append(out, Moment{At: *cs.EndedAt, What: "processing", Note: cs.ID})
		}
	}
	if d.PaidAt != nil {
		out = append(out, Moment{At: *d.PaidAt, What: "paid", Amount: d.Amount, Currency: d.Currency})
	}
	for _, r := range d.Refunds {
		what := "refund"
		if r.Kind == "duplicate" {
			what = "duplicate"
		}
		actor := tenant.Actor{Kind: r.ActorKind}
		if r.ActorID != nil {
			actor.ID = *r.ActorID
		}
		m := Moment{At: r.CreatedAt, What: what + "_asked", Amount: r.Amount, Currency: r.Currency, Note: r.Reason, Actor: actor}
		out = append(out, m)
		if r.DoneAt != nil {
			m.At, m.What = *r.DoneAt, what+"_done"
			if r.State == "failed" {
				m.What = what + "_failed"
			}
			out = append(out, m)
		}
	}
	if d.CancelledAt != nil {
		out = append(out, Moment{At: *d.CancelledAt, What: "cancelled"})
	}
	slices.SortStableFunc(out, func(a, b Moment) int { return a.At.Compare(b.At) })
	return out
}

// OrdersOf lists a person's orders for the employer's desk, newest first:
// those that came to something, with their invoices.
func (s *Service) OrdersOf(ctx context.Context, tx bun.IDB, person uuid.UUID) ([]Line, error) {
	var out []Line
	q := withListing(filtered(tx.NewSelect().Model(&out), Filter{Person: person}))
	err := q.Where("o.state <> ?", Cancelled).Order("o.created_at DESC", "o.id DESC").Limit(200).Scan(ctx)
	return out, err
}

// Day is a day's sales in one currency, in the board's time zone.
type Day struct {
	Day      string `bun:"day"` // 2026-11-23
	Currency string `bun:"currency"`
	Orders   int    `bun:"orders"`
	Amount   int64  `bun:"amount"` // paid less refunded
	Owner    int64  `bun:"owner"`
}

// Revenue sums paid orders by day over [from, to). Days without sales are left
// out. A refund counts on the day of its sale.
func (s *Service) Revenue(ctx context.Context, tx bun.IDB, from, to time.Time) ([]Day, error) {
	var out []Day
	zone := tenant.From(ctx).Location().String()
	err := within(tx.NewSelect().Model((*Order)(nil)), "o.paid_at", from, to).
		ColumnExpr("to_char(o.paid_at AT TIME ZONE ?, 'YYYY-MM-DD') AS day, o.currency", zone).
		ColumnExpr("count(*) AS orders, sum(o.amount - o.refunded_amount)::bigint AS amount").
		ColumnExpr("sum(CASE WHEN o.state = 'refunded' THEN 0 ELSE o.amount - o.fee - o.refunded_amount END)::bigint AS owner").
		Where("o.paid_at IS NOT NULL AND o.amount > 0").GroupExpr("1, 2").OrderExpr("1, 2").Scan(ctx, &out)
	return out, err
}

// BoardSale is a board's sales as the platform's staff see them.
type BoardSale struct {
	TenantID tenant.ID `bun:"tenant_id"`
	Slug     string    `bun:"slug"`
	Name     string    `bun:"name"`
	Currency string    `bun:"currency"`
	Orders   int       `bun:"orders"`
	Amount   int64     `bun:"amount"`
	Fee      int64     `bun:"fee"`
	Owner    int64     `bun:"owner"`
	Refunds  int       `bun:"refunds"`
}

// SalesByBoard sums paid and refunded orders per board and currency over
// [from, to), in a platform transaction; largest fee first. What was refunded
// in full counts in Refunds alone.
func (s *Service) SalesByBoard(ctx context.Context, tx bun.IDB, from, to time.Time) ([]BoardSale, error) {
	var out []BoardSale
	err := tx.NewRaw(`SELECT b.id AS tenant_id, b.slug, b.name, o.currency,
			count(*) FILTER (WHERE o.state = 'paid') AS orders,
			coalesce(sum(o.amount) FILTER (WHERE o.state = 'paid'), 0)::bigint AS amount,
			coalesce(sum(o.fee) FILTER (WHERE o.state = 'paid'), 0)::bigint AS fee,
			coalesce(sum(o.amount - o.fee) FILTER (WHERE o.state = 'paid'), 0)::bigint AS owner,
			count(*) FILTER (WHERE o.state = 'refunded') AS refunds
		FROM orders AS o JOIN boards AS b ON b.id = o.tenant_id
		WHERE o.paid_at >= ? AND o.paid_at < ? AND o.amount > 0
		GROUP BY 1, 2, 3, 4 ORDER BY fee DESC, b.slug`, from, to).Scan(ctx, &out)
	return out, err
}

// BoardOrder is one order of any board, for the platform's staff.
type BoardOrder struct {
	TenantID   tenant.ID  `bun:"tenant_id"`
	Slug       string     `bun:"slug"`
	ID         uuid.UUID  `bun:"id"`
	Number     int64      `bun:"number"`
	State      OrderState `bun:"state"`
	Amount     int64      `bun:"amount"`
	Fee        int64      `bun:"fee"`
	Currency   string     `bun:"currency"`
	ChargeMode string     `bun:"charge_mode"`
	CreatedAt  time.Time  `bun:"created_at"`
	PaidAt     *time.Time `bun:"paid_at"`
}

// BoardOrders lists orders across boards, newest first, in a platform
// transaction; board narrows to one unless Nil. No buyer's address is read.
func (s *Service) BoardOrders(ctx context.Context, tx bun.IDB, board tenant.ID, state OrderState, page, perPage int) ([]BoardOrder, error) {
	limit, offset := Filter{Page: page, PerPage: perPage}.span()
	var out []BoardOrder
	err := tx.NewRaw(`SELECT o.tenant_id, b.slug, o.id, o.number, o.state, o.amount, o.fee, o.currency, o.charge_mode, o.created_at, o.paid_at
		FROM orders AS o JOIN boards AS b ON b.id = o.tenant_id
		WHERE (? OR o.tenant_id = ?) AND (? = '' OR o.state = ?)
		ORDER BY o.created_at DESC, o.id DESC LIMIT ? OFFSET ?`, board.IsNil(), board, string(state), string(state), limit, offset).Scan(ctx, &out)
	return out, err
}

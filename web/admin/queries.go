package admin

import (
	"context"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/listings"
	"shingle/tenant"
)

// figures are the dashboard's numbers: the last 30 days and the 30 before.
type figures struct {
	Live               int64 `bun:"live"`
	LiveBefore         int64 `bun:"live_before"`
	Applications       int64 `bun:"applications"`
	ApplicationsBefore int64 `bun:"applications_before"`
	Orders             int64 `bun:"orders"`
	OrdersBefore       int64 `bun:"orders_before"`
	Revenue            int64 `bun:"revenue"`
	RevenueBefore      int64 `bun:"revenue_before"`
	Review             int   `bun:"review"`
	Reports            int   `bun:"reports"`
	FailedPayments     int   `bun:"failed_payments"`
	FailedRefunds      int   `bun:"failed_refunds"`
	PaidProducts       int   `bun:"paid_products"`
	// Domains are hosts in trouble.
	Domains int `bun:"-"`
}

// readFigures counts over one board; each part names it, as raw SQL must.
func readFigures(ctx context.Context, tx bun.IDB, now time.Time) (*figures, error) {
	t := tenant.From(ctx)
	id, since, before := t.ID, now.AddDate(0, 0, -window), now.AddDate(0, 0, -2*window)
	f := new(figures)
	err := tx.NewRaw(`SELECT * FROM
		(SELECT count(*) FILTER (WHERE state = 'live' AND (ends_at IS NULL OR ends_at > ?)) AS live,
			count(*) FILTER (WHERE published_at <= ? AND (ends_at IS NULL OR ends_at > ?) AND (closed_at IS NULL OR closed_at > ?)) AS live_before,
			count(*) FILTER (WHERE state = 'in_review') + (SELECT count(*) FROM listing_revisions WHERE tenant_id = ? AND state = 'pending') AS review
			FROM listings WHERE tenant_id = ?) AS l,
		(SELECT count(*) FILTER (WHERE created_at > ?) AS applications, count(*) FILTER (WHERE created_at <= ?) AS applications_before
			FROM applications WHERE tenant_id = ? AND created_at > ?) AS a,
		(SELECT count(*) FILTER (WHERE paid_at > ?) AS orders, count(*) FILTER (WHERE paid_at <= ?) AS orders_before,
			coalesce(sum(amount - refunded_amount) FILTER (WHERE paid_at > ? AND currency = ?), 0)::bigint AS revenue,
			coalesce(sum(amount - refunded_amount) FILTER (WHERE paid_at <= ? AND currency = ?), 0)::bigint AS revenue_before
			FROM orders WHERE tenant_id = ? AND paid_at > ?) AS o,
		(SELECT count(*) AS reports FROM reports WHERE tenant_id = ? AND state = 'open') AS r,
		(SELECT count(DISTINCT x.id) AS failed_payments FROM orders AS x
			JOIN checkout_sessions AS cs ON cs.tenant_id = x.tenant_id AND cs.order_id = x.id AND cs.payment_status = 'failed'
			WHERE x.tenant_id = ? AND x.state = 'open' AND x.created_at > ?) AS p,
		(SELECT count(*) AS failed_refunds FROM refunds AS y JOIN orders AS z ON z.tenant_id = y.tenant_id AND z.id = y.order_id
			WHERE y.tenant_id = ? AND y.state = 'failed' AND z.state = 'paid' AND y.created_at > ?) AS q,
		(SELECT count(*) AS paid_products FROM products WHERE tenant_id = ? AND active AND price > 0) AS s`,
		now, since, since, since, id, id,
		since, since, id, before,
		since, since, since, t.Currency, since, t.Currency, id, before,
		id, id, since, id, since, id).Scan(ctx, f)
	return f, err
}

// dayCount is how much happened on a day.
type dayCount struct {
	Day   time.Time `bun:"day"`
	Count int       `bun:"count"`
}

// readDays counts new listings or applications by the board's own days.
func readDays(ctx context.Context, tx bun.IDB, what string, now time.Time) ([]dayCount, error) {
	t := tenant.From(ctx)
	zone := t.Location().String()
	source := `SELECT published_at AS at FROM listings WHERE tenant_id = ? AND published_at > ? AND state <> 'removed'`
	if what == "applications" {
		source = `SELECT created_at AS at FROM applications WHERE tenant_id = ? AND created_at > ?`
	}
	var out []dayCount
	err := tx.NewRaw(`SELECT d.day, count(x.at) AS count
		FROM (SELECT (?::timestamptz AT TIME ZONE ?)::date - n AS day FROM generate_series(0, ?) AS n) AS d
		LEFT JOIN (`+source+`) AS x ON (x.at AT TIME ZONE ?)::date = d.day
		GROUP BY d.day ORDER BY d.day`, now, zone, window-1, t.ID, now.AddDate(0, 0, -window-1), zone).Scan(ctx, &out)
	return out, err
}

// listingRow is a line of the list of all listings.
type listingRow struct {
	ID           uuid.UUID      `bun:"id"`
	PublicID     string         `bun:"public_id"`
	Slug         string         `bun:"slug"`
	State        listings.State `bun:"state"`
	Title        string         `bun:"title"`
	Company      string         `bun:"company"`
	Category     string         `bun:"category"`
	Source       string         `bun:"source"`
	Featured     bool           `bun:"featured"`
	Pending      bool           `bun:"pending"`
	Applications int            `bun:"applications"`
	PublishedAt  *time.Time     `bun:"published_at"`
	EndsAt       *time.Time     `bun:"ends_at"`
	UpdatedAt    time.Time      `bun:"updated_at"`
}

// applicationsOf counts what came in for a listing.
const applicationsOf = `(SELECT count(*) FROM applications AS ap WHERE ap.tenant_id = l.tenant_id AND ap.listing_id = l.id AND ap.withdrawn_at IS NULL)`

// listingOrders are the orders that the list's heads offer; what the address
// says is looked up here and never reaches the statement.
var listingOrders = map[string]string{
	"":          "l.updated_at DESC",
	"updated":   "l.updated_at",
	"title":     "lower(l.title)",
	"-title":    "lower(l.title) DESC",
	"company":   "lower(c.name)",
	"-company":  "lower(c.name) DESC",
	"published": "l.published_at", "-published": "l.published_at DESC NULLS LAST",
	"ends": "l.ends_at", "-ends": "l.ends_at DESC NULLS LAST",
	"applications": applicationsOf, "-applications": applicationsOf + " DESC",
}

// listFilter is what the address of a list says.
type listFilter struct {
	Query, State, Category, Source, Sort string
	Page                                 int
}

var likeEscape = strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`)

func like(s string) string { return "%" + likeEscape.Replace(s) + "%" }

// readListings is a page of the board's listings in any order, and how many there
// are in all. Removed ones show only when asked for. Which they are is found first:
// the rest is read of one page's listings alone. counts are the board's, by state.
func readListings(ctx context.Context, tx bun.IDB, f listFilter, counts map[listings.State]int) (rows []listingRow, total int, err error) {
	order, ok := listingOrders[f.Sort]
	if !ok {
		order = listingOrders[""]
	}
	const companies = ` JOIN companies AS c ON c.tenant_id = l.tenant_id AND c.id = l.company_id`
	const categories = ` LEFT JOIN categories AS cat ON cat.tenant_id = l.tenant_id AND cat.id = l.category_id`
	from, where, args := `listings AS l`, `l.tenant_id = ?`, []any{tenant.From(ctx).ID}
	add := func(cond string, vs ...any) {
		where += ` AND ` + cond
		args = append(args, vs...)
	}
	if f.State == "" {
		add(`l.state <> 'removed'`)
	} else {
		add(`l.state = ?`, f.State)
	}
	if f.Category != "" {
		from += categories
		add(`cat.slug = ?`, f.Category)
	}
	if f.Source != "" {
		add(`l.source = ?`, f.Source)
	}
	if f.Query != "" || strings.Contains(order, "c.") {
		from += companies
	}
	for w := range strings.FieldsSeq(f.Query) {
		add(`(l.title ILIKE ? OR c.name ILIKE ? OR l.public_id = ? OR l.reference = ?)`, like(w), like(w), w, w)
	}
	if f.Query == "" && f.Category == "" && f.Source == "" {
		for state, n := range counts {
			if f.State == string(state) || f.State == "" && state != listings.Removed {
				total += n
			}
		}
	} else if err := tx.NewRaw(`SELECT count(*) FROM `+from+` WHERE `+where, args...).Scan(ctx, &total); err != nil {
		return nil, 0, err
	}
	args = append(args, pageSize, (f.Page-1)*pageSize, tenant.From(ctx).ID)
	err = tx.NewRaw(`WITH page AS MATERIALIZED (SELECT l.id FROM `+from+` WHERE `+where+` ORDER BY `+order+`, l.id LIMIT ? OFFSET ?)
		SELECT l.id, l.public_id, l.slug, l.state, l.title, c.name AS company, coalesce(cat.name, '') AS category, l.source, l.featured,
			l.published_at, l.ends_at, l.updated_at,
			EXISTS (SELECT FROM listing_revisions AS r WHERE r.tenant_id = l.tenant_id AND r.listing_id = l.id AND r.state = 'pending') AS pending,
			`+applicationsOf+` AS applications
		FROM page JOIN listings AS l ON l.tenant_id = ? AND l.id = page.id`+companies+categories+`
		ORDER BY `+order+`, l.id`, args...).Scan(ctx, &rows)
	return rows, total, err
}

// companyRow is a line of the list of companies.
type companyRow struct {
	ID       uuid.UUID `bun:"id"`
	Slug     string    `bun:"slug"`
	Name     string    `bun:"name"`
	Website  string    `bun:"website"`
	LogoKey  string    `bun:"logo_key"`
	Live     int       `bun:"live"`
	Listings int       `bun:"listings"`
	Members  int       `bun:"members"`
	Total    int       `bun:"total"`
}

func readCompanies(ctx context.Context, tx bun.IDB, q string, page int) ([]companyRow, int, error) {
	var rows []companyRow
	err := tx.NewRaw(`SELECT c.id, c.slug, c.name, c.website, c.logo_key, count(*) OVER () AS total,
			(SELECT count(*) FROM listings AS l WHERE l.tenant_id = c.tenant_id AND l.company_id = c.id AND l.state = 'live') AS live,
			(SELECT count(*) FROM listings AS l WHERE l.tenant_id = c.tenant_id AND l.company_id = c.id AND l.state <> 'removed') AS listings,
			(SELECT count(*) FROM company_members AS m WHERE m.tenant_id = c.tenant_id AND m.company_id = c.id) AS members
		FROM companies AS c WHERE c.tenant_id = ? AND (? = '' OR c.name ILIKE ? OR c.website ILIKE ?)
		ORDER BY lower(c.name), c.id LIMIT ? OFFSET ?`, tenant.From(ctx).ID, q, like(q), like(q), pageSize, (page-1)*pageSize).Scan(ctx, &rows)
	if len(rows) == 0 {
		return nil, 0, err
	}
	return rows, rows[0].Total, err
}

// importRow is a past import, without its file.
type importRow struct {
	ID        uuid.UUID  `bun:"id"`
	Name      string     `bun:"name"`
	State     string     `bun:"state"`
	Good      int        `bun:"good"`
	Bad       int        `bun:"bad"`
	Known     int        `bun:"known"`
	Done      int        `bun:"done"`
	CreatedAt time.Time  `bun:"created_at"`
	DoneAt    *time.Time `bun:"done_at"`
}

func readImports(ctx context.Context, tx bun.IDB) ([]importRow, error) {
	var rows []importRow
	err := tx.NewRaw(`SELECT id, name, state, created_at, done_at, coalesce((report->>'good')::int, 0) AS good, coalesce((report->>'bad')::int, 0) AS bad,
			coalesce((report->>'known')::int, 0) AS known, coalesce((report->>'done')::int, 0) AS done
		FROM imports WHERE tenant_id = ? ORDER BY created_at DESC, id LIMIT 50`, tenant.From(ctx).ID).Scan(ctx, &rows)
	return rows, err
}

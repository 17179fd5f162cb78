package staff

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/authz"
	"shingle/internal/money"
	"shingle/tenant"
	"shingle/web/console"
)

// boardRow is a line of the list of boards. Its figures are those of the last
// count; a board younger than that has none yet.
type boardRow struct {
	ID            tenant.ID  `bun:"id"`
	Slug          string     `bun:"slug"`
	Name          string     `bun:"name"`
	State         string     `bun:"state"`
	Currency      string     `bun:"currency"`
	Locale        string     `bun:"locale"`
	Host          string     `bun:"host"`
	CreatedAt     time.Time  `bun:"created_at"`
	Live          int        `bun:"live"`
	Orders        int        `bun:"orders"`
	Sales         int64      `bun:"sales"`
	Fees          int64      `bun:"fees"`
	Failed        int        `bun:"failed"`
	DomainTrouble int        `bun:"domain_trouble"`
	Stripe        string     `bun:"stripe"`
	ActiveAt      *time.Time `bun:"active_at"`
	CountedAt     *time.Time `bun:"counted_at"`
	Plan          string     `bun:"plan"`
	PlanState     string     `bun:"plan_state"`
	Place         time.Time  `bun:"place"`
}

// boardFilter is what the list is narrowed by, as the address says it.
type boardFilter struct {
	Q, State, Health, Activity, Sort string
	// Plan is a plan's id, or "none".
	Plan  string
	After cursor
}

var (
	boardStates    = []string{"active", "suspended", "closed"}
	boardHealth    = []string{"trouble", "tasks", "domains", "stripe"}
	boardActivity  = []string{"week", "quiet", "never"}
	boardSorts     = []string{"newest", "active", "live"}
	boardSortOrder = map[string]string{"newest": "b.created_at", "active": "coalesce(m.active_at, 'epoch')",
		// Keyset needs one type for all: the number of listings as a time.
		"live": "to_timestamp(coalesce(m.live, 0))"}
)

func oneOf(v string, of []string) string {
	if slices.Contains(of, v) {
		return v
	}
	return ""
}

func readFilter(c *gin.Context) boardFilter {
	f := boardFilter{Q: strings.TrimSpace(c.Query("q")), State: oneOf(c.Query("state"), boardStates), Health: oneOf(c.Query("health"), boardHealth),
		Activity: oneOf(c.Query("activity"), boardActivity), Sort: oneOf(c.Query("sort"), boardSorts), After: parseCursor(c.Query("before"))}
	if _, err := uuid.Parse(c.Query("plan")); err == nil || c.Query("plan") == "none" {
		f.Plan = c.Query("plan")
	}
	if f.Sort == "" {
		f.Sort = "newest"
	}
	return f
}

func like(q string) string {
	return "%" + strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(strings.ToLower(q)) + "%"
}

// boardsQuery finds a page of boards by keyset. Hosts are looked up for the
// page's boards alone, and the figures come from the summaries, so that the list
// answers at once with ten thousand boards.
func boardsQuery(f boardFilter, limit int) (string, []any) {
	var where []string
	var args []any
	add := func(cond string, vs ...any) {
		where, args = append(where, cond), append(args, vs...)
	}
	if f.Q != "" {
		l := like(f.Q)
		// Owners' addresses are the operators'; a grant names its operator as text.
		add(`(lower(b.name) LIKE ? OR b.slug LIKE ? OR b.id::text = ? OR b.id IN (SELECT board_id FROM hosts WHERE host LIKE ?)
			OR b.id IN (SELECT r.tenant_id FROM casbin_rules AS r JOIN operators AS o ON r.v0 = o.id::text WHERE r.ptype = 'g' AND r.v1 = 'owner' AND o.email LIKE ?))`,
			l, l, strings.ToLower(f.Q), l, l)
	}
	if f.State != "" {
		add(`b.state = ?`, f.State)
	}
	switch f.Plan {
	case "":
	case "none":
		add(`NOT EXISTS (SELECT FROM board_plans AS bp WHERE bp.tenant_id = b.id)`)
	default:
		add(`EXISTS (SELECT FROM board_plans AS bp WHERE bp.tenant_id = b.id AND bp.plan_id = ?)`, f.Plan)
	}
	switch f.Health {
	case "trouble":
		add(`(m.failed > 0 OR m.domain_trouble > 0 OR m.stripe = 'unfinished')`)
	case "tasks":
		add(`m.failed > 0`)
	case "domains":
		add(`m.domain_trouble > 0`)
	case "stripe":
		add(`coalesce(m.stripe, 'none') <> 'ready'`)
	}
	switch f.Activity {
	case "week":
		add(`m.active_at > now() - interval '7 days'`)
	case "quiet":
		add(`m.active_at < now() - interval '30 days'`)
	case "never":
		add(`m.active_at IS NULL`)
	}
	place := boardSortOrder[f.Sort]
	if !f.After.zero() {
		add(`(`+place+`, b.id) < (?::timestamptz, ?::uuid)`, f.After.at, f.After.id)
	}
	cond := ""
	if len(where) > 0 {
		cond = "WHERE " + strings.Join(where, " AND ")
	}
	// Only what orders the list is sorted; the rest is read for the page's boards.
	return `WITH page AS (SELECT b.id, ` + place + ` AS place FROM boards AS b LEFT JOIN board_summaries AS m ON m.tenant_id = b.id ` + cond + `
			ORDER BY ` + place + ` DESC, b.id DESC LIMIT ?)
		SELECT b.id, b.slug, b.name, b.state, b.currency, b.locale, b.created_at, p.place,
			(SELECT host FROM hosts AS h WHERE h.board_id = b.id AND h.canonical) AS host,
			coalesce(m.live, 0) AS live, coalesce(m.orders, 0) AS orders, coalesce(m.sales, 0) AS sales, coalesce(m.fees, 0) AS fees, coalesce(m.failed, 0) AS failed,
			coalesce(m.domain_trouble, 0) AS domain_trouble, coalesce(m.stripe, 'none') AS stripe, m.active_at, m.counted_at, coalesce(pl.name, '') AS plan, coalesce(bp.state, '') AS plan_state
		FROM page AS p JOIN boards AS b ON b.id = p.id LEFT JOIN board_summaries AS m ON m.tenant_id = b.id
			LEFT JOIN board_plans AS bp ON bp.tenant_id = b.id LEFT JOIN plans AS pl ON pl.id = bp.plan_id
		ORDER BY p.place DESC, b.id DESC`, append(args, limit)
}

func readBoards(ctx context.Context, tx bun.IDB, f boardFilter, limit int) ([]boardRow, error) {
	var rows []boardRow
	q, args := boardsQuery(f, limit)
	err := tx.NewRaw(q, args...).Scan(ctx, &rows)
	return rows, err
}

func (s *Staff) options(c *gin.Context, prefix, chosen string, values []string, any string) []console.Option {
	var out []console.Option
	if any != "" {
		out = append(out, console.Option{Label: s.t(c, any)})
	}
	for _, v := range values {
		out = append(out, console.Option{Value: v, Label: s.t(c, prefix+v), Selected: v == chosen})
	}
	return out
}

func (s *Staff) boards(c *gin.Context) error {
	f := readFilter(c)
	var rows []boardRow
	var sold []struct {
		ID   string `bun:"id"`
		Name string `bun:"name"`
	}
	err := s.Platform.Read(c.Request.Context(), func(ctx context.Context, tx bun.IDB) (err error) {
		if rows, err = readBoards(ctx, tx, f, pageSize+1); err != nil {
			return err
		}
		return tx.NewRaw(`SELECT id, name FROM plans ORDER BY position, name`).Scan(ctx, &sold)
	})
	if err != nil {
		return err
	}
	next := ""
	if len(rows) > pageSize {
		rows = rows[:pageSize]
		last := rows[len(rows)-1]
		next = cursor{last.Place, uuid.UUID(last.ID)}.String()
	}
	choices := []console.Option{{Label: s.t(c, "staff.plan.any")}, {Value: "none", Label: s.t(c, "staff.plan.without"), Selected: f.Plan == "none"}}
	for _, p := range sold {
		choices = append(choices, console.Option{Value: p.ID, Label: p.Name, Selected: p.ID == f.Plan})
	}
	var counted *time.Time
	for _, r := range rows {
		if r.CountedAt != nil && (counted == nil || r.CountedAt.After(*counted)) {
			counted = r.CountedAt
		}
	}
	var actions []console.Link
	if s.Allowed(c, authz.Can("board", "create")) {
		actions = append(actions, console.Link{Label: s.t(c, "staff.boards.new"), URL: "/staff/boards/new", Icon: "plus"})
	}
	actions = append(actions, s.csvLink(c, "/staff/boards.csv"))
	return s.render(c, http.StatusOK, "boards", s.t(c, "staff.nav.boards"), map[string]any{"Rows": rows, "F": f, "Next": next, "Query": c.Request.URL.Query(), "Counted": counted,
		"Filtered": f.Q != "" || f.State != "" || f.Health != "" || f.Activity != "" || f.Plan != "" || !f.After.zero(),
		"Plans":    choices,
		"States":   s.options(c, "board.state.", f.State, boardStates, "staff.boards.any_state"), "Healths": s.options(c, "staff.health.", f.Health, boardHealth, "staff.health.any"),
		"Activities": s.options(c, "staff.activity.", f.Activity, boardActivity, "staff.activity.any"), "Sorts": s.options(c, "staff.sort.", f.Sort, boardSorts, "")}, actions...)
}

func (s *Staff) boardsCSV(c *gin.Context) error {
	f := readFilter(c)
	out := newFile("boards", "id", "slug", "name", "state", "plan", "plan_state", "host", "created", "currency", "live_listings", "orders_30_days", "sales_30_days", "fees_30_days", "failed_tasks", "domain_trouble", "stripe", "last_active", "counted")
	err := s.Platform.Read(c.Request.Context(), func(ctx context.Context, tx bun.IDB) error {
		rows, err := readBoards(ctx, tx, f, maxExport)
		for i := range rows {
			r := &rows[i]
			out.add(r.ID.String(), r.Slug, r.Name, r.State, r.Plan, r.PlanState, r.Host, stamp(&r.CreatedAt), r.Currency, strconv.Itoa(r.Live), strconv.Itoa(r.Orders), money.Plain(r.Sales, r.Currency),
				money.Plain(r.Fees, r.Currency), strconv.Itoa(r.Failed), strconv.Itoa(r.DomainTrouble), r.Stripe, stamp(r.ActiveAt), stamp(r.CountedAt))
		}
		return err
	})
	if err != nil {
		return err
	}
	return out.send(c)
}

// cursor is where a page by keyset goes on: a time and an id.
type cursor struct {
	at time.Time
	id uuid.UUID
}

func (k cursor) zero() bool { return k.at.IsZero() && k.id == uuid.Nil }

func (k cursor) String() string { return k.at.UTC().Format(time.RFC3339Nano) + "_" + k.id.String() }

// parseCursor reads a cursor of an address; anything else is the beginning.
func parseCursor(text string) cursor {
	at, id, ok := strings.Cut(text, "_")
	t, err := time.Parse(time.RFC3339Nano, at)
	u, err2 := uuid.Parse(id)
	if !ok || err != nil || err2 != nil {
		return cursor{}
	}
	return cursor{t, u}
}

// FirstPage is the query of the list without a filter, for the test of its plan.
func FirstPage() (string, []any) { return boardsQuery(boardFilter{Sort: "newest"}, pageSize+1) }

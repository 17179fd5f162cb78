package testkit

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/uptrace/bun"

	"shingle/internal/fault"
	"shingle/internal/pg"
	"shingle/tenant"
)

// Rival is another board that tries to reach a board's rows, with some of the
// walls between them standing.
type Rival struct {
	// World has the rival's door; make the services under test anew over it.
	*World
	// Ctx names the board that the code believes to act for.
	Ctx context.Context
	// scopeAway: the code believes to be the owner, and Postgres alone knows better.
	scopeAway bool
}

// EachWall runs a twin test with both walls, and once with each alone:
//
//   - Bun's scope, and every WHERE that names the board: a login that sees
//     through row level security;
//   - row level security: code that believes to act for the owner, so that its
//     own conditions let everything pass, on a transaction bound to the rival.
//
// The rival must own nothing that try looks for. Whatever try does, no row of
// the owner's, in any table, may be another one after it.
func EachWall(t *testing.T, w *World, owner, rival *tenant.Tenant, try func(t *testing.T, r *Rival)) {
	t.Helper()
	bind := "set_config('app.tenant_id', '" + rival.ID.String() + "'"
	for _, wall := range []struct {
		name string
		r    *Rival
	}{
		{"both walls", &Rival{World: w, Ctx: w.Ctx(t, rival)}},
		{"the scope alone", &Rival{World: w.through(t, w.PG.Superuser, func(q string) string { return q }), Ctx: w.Ctx(t, rival)}},
		{"row level security alone", &Rival{World: w.through(t, w.PG.App, func(q string) string { return binding.ReplaceAllLiteralString(q, bind) }),
			Ctx: w.Ctx(t, owner), scopeAway: true}},
	} {
		t.Run(wall.name, func(t *testing.T) {
			before := w.rowsOf(t, owner)
			try(t, wall.r)
			for table, rows := range w.rowsOf(t, owner) {
				if rows != before[table] {
					t.Errorf("the owner's %s were touched", table)
				}
			}
		})
	}
}

// rowsOf sums up all rows of a board, by table.
func (w *World) rowsOf(t *testing.T, board *tenant.Tenant) map[string]string {
	t.Helper()
	super := w.PG.Open(t, w.PG.Superuser, 1)
	rows, err := super.QueryContext(t.Context(), `SELECT c.relname, (xpath('//s/text()', query_to_xml(format(
			'SELECT count(*) || md5(coalesce(string_agg(x::text, chr(10) ORDER BY x::text), '''')) AS s FROM %I x WHERE tenant_id = %L', c.relname, $1::text), true, false, '')))[1]::text
		FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped
		WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace`, board.ID.String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	out := map[string]string{}
	for rows.Next() {
		var table, sum string
		if err := rows.Scan(&table, &sum); err != nil {
			t.Fatal(err)
		}
		out[table] = sum
	}
	if err := rows.Err(); err != nil || len(out) < 20 {
		t.Fatalf("%d tables of boards: %v", len(out), err)
	}
	return out
}

// binding is how tenant's door binds a transaction to a board.
var binding = regexp.MustCompile(`set_config\('app\.tenant_id', '[^']*'`)

// Refused wants an error of one of the kinds, fault.NotFound when there is none,
// or a key's: a reference to another board's row is none. Where row level
// security stands alone, what it lets nobody read or write counts too.
func (r *Rival) Refused(t *testing.T, what string, err error, kinds ...fault.Kind) {
	t.Helper()
	if len(kinds) == 0 {
		kinds = []fault.Kind{fault.NotFound}
	}
	for _, k := range kinds {
		if err != nil && fault.Is(err, k) {
			return
		}
	}
	if pg.Code(err) == "23503" {
		return
	}
	if r.scopeAway && (errors.Is(err, sql.ErrNoRows) || pg.Code(err) == "42501") {
		return
	}
	t.Errorf("%s: %v, want it refused", what, err)
}

// Try wants what fn does in the rival's transaction to be refused.
func (r *Rival) Try(t *testing.T, what string, fn tenant.Fn, kinds ...fault.Kind) {
	t.Helper()
	r.Refused(t, what, r.DB.Write(r.Ctx, fn), kinds...)
}

// Nothing wants a list to be empty: fn says how many it got.
func (r *Rival) Nothing(t *testing.T, what string, fn func(ctx context.Context, tx bun.IDB) (int, error)) {
	t.Helper()
	err := r.DB.Write(r.Ctx, func(ctx context.Context, tx bun.IDB) error {
		n, err := fn(ctx, tx)
		if n != 0 {
			t.Errorf("%s: the rival sees %d", what, n)
		}
		return err
	})
	if err != nil {
		r.Refused(t, what, err)
	}
}

// through is the same world with the app's door on another login, every
// statement passing through see first.
func (w *World) through(t testing.TB, url string, see func(query string) string) *World {
	t.Helper()
	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	cfg.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
	db := sql.OpenDB(&seenConnector{Connector: stdlib.GetConnector(*cfg), see: see})
	db.SetMaxOpenConns(4)
	t.Cleanup(func() { _ = db.Close() })
	other := *w
	other.DB = tenant.NewDB(db, tenant.NewNotifier(w.PG.App, slog.New(slog.DiscardHandler)))
	return &other
}

type seenConnector struct {
	driver.Connector
	see func(string) string
}

func (c *seenConnector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return &seenConn{conn.(*stdlib.Conn), c.see}, nil
}

// seenConn is pgx's connection, which shows what goes over it.
type seenConn struct {
	*stdlib.Conn
	see func(string) string
}

func (c *seenConn) ExecContext(ctx context.Context, q string, args []driver.NamedValue) (driver.Result, error) {
	return c.Conn.ExecContext(ctx, c.see(q), args)
}

func (c *seenConn) QueryContext(ctx context.Context, q string, args []driver.NamedValue) (driver.Rows, error) {
	return c.Conn.QueryContext(ctx, c.see(q), args)
}

// Plan is a statement of the code under test and how Postgres runs it.
type Plan struct{ Query, Plan string }

// Plans runs do on doors whose statements are noted, then explains each as the
// role that sent it. Call ANALYZE first: see Analyze.
func (w *World) Plans(t testing.TB, do func(w *World)) []Plan {
	t.Helper()
	var mu sync.Mutex
	seen := map[string][]string{}
	note := func(url string) func(string) string {
		return func(q string) string {
			word, _, _ := strings.Cut(strings.TrimSpace(q), " ")
			switch strings.ToUpper(word) {
			case "SELECT", "UPDATE", "DELETE", "INSERT", "WITH":
				mu.Lock()
				defer mu.Unlock()
				seen[url] = append(seen[url], q)
			case "BEGIN;":
				mu.Lock()
				defer mu.Unlock()
				if b := binding.FindString(q); b != "" {
					seen[url] = append(seen[url], "SELECT "+b+", true)")
				}
			}
			return q
		}
	}
	noted := w.through(t, w.PG.App, note(w.PG.App))
	noted.Platform = tenant.NewPlatform(w.through(t, w.PG.Platform, note(w.PG.Platform)).DB.Bun().DB, w.Notifier)
	do(noted)
	var out []Plan
	for url, queries := range seen {
		tx, err := w.PG.Open(t, url, 1).BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, q := range queries {
			p := Plan{Query: q}
			if binding.MatchString(q) {
				_, err = tx.ExecContext(t.Context(), q)
			} else if p.Plan, err = explain(t.Context(), tx, q); err == nil {
				out = append(out, p)
			}
			if err != nil {
				t.Fatalf("%s: %v", q, err)
			}
		}
		_ = tx.Rollback()
	}
	return out
}

func explain(ctx context.Context, tx *sql.Tx, q string) (string, error) {
	rows, err := tx.QueryContext(ctx, "EXPLAIN "+q)
	if err != nil {
		return "", err
	}
	defer func() { _ = rows.Close() }()
	var plan strings.Builder
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			return "", err
		}
		plan.WriteString(line + "\n")
	}
	return plan.String(), rows.Err()
}

// Analyze gathers what the planner goes by; nothing does so by itself here.
func (w *World) Analyze(t testing.TB) {
	t.Helper()
	if _, err := w.PG.Open(t, w.PG.Owner, 1).ExecContext(t.Context(), "ANALYZE"); err != nil {
		t.Fatal(err)
	}
}
